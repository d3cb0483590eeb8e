"""
The gradient flow and the Newton flow of Dus 2026, and the way from any particles to the optimum.

A flow stops in its basin. Continuation in the discount γ, a start from a coarser grid, jumps to greedy actions lead out of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from sb3_wasserstein._validation import check_options
from sb3_wasserstein.flow.particles.mdp import Derivatives, Evaluation, GridMDP, differentiate, evaluate
from sb3_wasserstein.flow.particles.policy import ParticlePolicy


@dataclass(frozen=True)
class SolverOptions:
    """
    How :meth:`ParticleFlow.solve` gets from any particles to the optimum. Tolerances have no unit: they are shares of the
    size of the policy's costs or of the spread of its value.

    :param discounts: γ of the continuation, before the problem's own
    :param steps_per_discount: most steps at each of these
    :param worthwhile: what a step at such a γ must promise to be followed by another one, a share of V's spread
    :param coarse_start: most nodes of a grid that needs no start from the solution on half its intervals: in one dimension,
        in two, in more
    :param tolerance: decrease of J that the quadratic model may still promise at the end, a share of the costs
    :param value_tolerance: the same of V on average over all states, ρ or not, a share of V's spread
    :param patience: steps that states which ρ hardly visits get after J has settled
    :param jump: what the greedy action must be better by for a particle to jump there, a share of V's spread
    :param max_jumps: most rounds of such jumps
    :param armijo: share of the promised decrease that a step has to keep
    :param halvings: most trials of a step, at least 1, each half as long as the one before
    :param scan: scanned actions of the greedy search along each dimension: for one dimension, two, more

    Example:
        >>> from sb3_wasserstein.flow import SolverOptions, pendulum
        >>> flow = pendulum(cells=11).flow(n_particles=1)
        >>> flow.solve(options=SolverOptions(discounts=(0.0, 0.9))).iterations < 100
        True
    """

    discounts: tuple[float, ...] = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    steps_per_discount: int = 3
    worthwhile: float = 1e-2
    coarse_start: tuple[int, int, int] = (300, 1_000, 1_500)
    tolerance: float = 1e-14
    value_tolerance: float = 1e-12
    patience: int = 10
    jump: float = 1e-9
    max_jumps: int = 20
    armijo: float = 1e-4
    halvings: int = 12
    scan: tuple[int, int, int] = (65, 17, 7)

    def __post_init__(self) -> None:
        check_options(self)
        if len(self.coarse_start) != 3 or len(self.scan) != 3 or min(self.scan) < 2 or self.halvings < 1:
            raise ValueError(f"coarse_start and scan must have three entries, scan >= 2, and halvings be >= 1; got {self}")


@dataclass(frozen=True)
class Result:
    """
    What :meth:`ParticleFlow.solve` reached.

    :param J: the cost of the policy it ended with
    :param iterations: evaluations of a policy that were followed by a step, on all grids and at all discounts
    :param history: J after each of them: at the flow's own discount, also while continuation is at a smaller one, and on
        coarse grids first where it starts from one
    :param gap: max_s ρ(s) (E Q(s, π(s)) − min_a Q(s, a)), 0 at an optimum; the gradient alone can vanish elsewhere

    Example:
        >>> from sb3_wasserstein.flow import Grid, ParticleFlow
        >>> dynamics, cost = (lambda s, a: s + 0.1 * a), (lambda s, a: (s**2 + a**2)[:, 0])
        >>> flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 31), -2, 2, n_particles=2, noise=0.3)
        >>> result = flow.solve()
        >>> result.iterations == len(result.history), bool(result.gap < 1e-9)
        (True, True)
    """

    J: float
    iterations: int
    history: list[float]
    gap: float


def newton_direction(at: Evaluation, found: Derivatives, actions: torch.Tensor) -> torch.Tensor:
    """
    The state-wise Newton step v = −∇Q / |∂²Q|: at a critical point the transport part of the Hessian vanishes. Eigenvalues of
    ∂²Q are made positive, so that v descends where Q is not convex. Coordinates that a bound stops are left out, and no step
    is longer than a quarter of the box.
    """
    low, high = at.mdp.low, at.mdp.high
    stopped = ((actions <= low) & (found.gradient > 0)) | ((actions >= high) & (found.gradient < 0))
    free = (~stopped).to(found.gradient.dtype)
    matrix = found.hessian * free[..., :, None] * free[..., None, :]
    values, vectors = (matrix[..., 0], torch.ones_like(matrix)) if len(low) == 1 else torch.linalg.eigh(matrix)
    # A flat direction takes the longest step: its curvature is put where the cap below decides.
    values = values.abs().clamp(min=1e-300)
    inside = (vectors.transpose(-1, -2) @ (found.gradient * free)[..., None]).squeeze(-1)
    steps = torch.where(inside == 0, torch.zeros_like(inside), -inside / values)
    direction = (vectors @ steps.nan_to_num(0.0, 1e300, -1e300)[..., None]).squeeze(-1) * free
    excess = (direction.abs() / (0.25 * (high - low))).amax(-1, keepdim=True)
    return direction / excess.clamp(min=1.0)


def euler_direction(at: Evaluation, found: Derivatives, actions: torch.Tensor) -> torch.Tensor:
    """−η ∇_a Q, η = 1 / max ∂²_a Q over particles that ρ visits: the explicit Euler step of the gradient flow."""
    visited = at.rho > 1e-12 * at.rho.max()
    steepest = float(found.hessian[visited].abs().sum(-1).max())
    longest = 0.25 * float((at.mdp.high - at.mdp.low).min()) / max(float(found.gradient[visited].abs().max()), 1e-300)
    return -found.gradient * min(1 / max(steepest, 1e-300), longest)


DIRECTIONS = {"newton": newton_direction, "gradient": euler_direction}


class Step(NamedTuple):
    """New actions, and the decrease of Q that the quadratic model promised each of them, (n, m)."""

    actions: torch.Tensor
    promised: torch.Tensor


def descend(at: Evaluation, method: str, options: SolverOptions, start: torch.Tensor | None = None) -> Step:
    """
    a ← Proj_box(a + α v), α halved for each particle until Q falls enough (Armijo). Every state's E_π' Q_π ≤ E_π Q_π, so J
    falls too, by the policy improvement theorem: no evaluation of J is needed inside.

    :param method: a key of ``DIRECTIONS``, the one of v
    :param start: actions (n, m, k); None: the policy's particles
    """
    actions, mdp = at.policy.particles if start is None else start, at.mdp
    found = differentiate(at.q, actions, second=True)
    direction = DIRECTIONS[method](at, found, actions)
    # Values of Q closer than this differ by round-off.
    slack = 1e-13 * float(found.value.max() - found.value.min())
    scale = torch.ones(*found.value.shape, 1, dtype=torch.float64)
    for _ in range(options.halvings):
        trial = mdp.project(actions + scale * direction)
        with torch.no_grad():
            reached = at.q(trial)
        failed = reached > found.value + options.armijo * (found.gradient * (trial - actions)).sum(-1) + slack
        if not failed.any():
            break
        scale = torch.where(failed[..., None], scale / 2, scale)
    promised = -(found.gradient * (mdp.project(actions + direction) - actions)).sum(-1).clamp(max=0.0)
    # At a kink of the user's own (a clipped speed) the slope promises what no step along it can keep.
    return Step(torch.where(failed[..., None], actions, trial), torch.where(failed, torch.zeros_like(promised), promised))


def greedy(at: Evaluation, options: SolverOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The best of the particles and of a regular scan of the box in each state, after one Newton step of the scan's winner.

    :return: min_a Q (n,), and where (n, k)
    """
    mdp, n = at.mdp, at.mdp.grid.size
    count = options.scan[min(mdp.action_dim, 3) - 1]
    axes = [torch.linspace(float(a), float(b), count, dtype=torch.float64) for a, b in zip(mdp.low, mdp.high, strict=True)]
    scan = torch.cartesian_prod(*axes).reshape(-1, mdp.action_dim)
    with torch.no_grad():
        # A quarter of a million state–action pairs at once: some 100 MB.
        parts = torch.split(scan, max(1, 250_000 // n))
        values = torch.cat([at.q(part.expand(n, -1, -1)) for part in parts], dim=1)
    best = scan[values.argmin(1)][:, None]
    polished = descend(at, "newton", options, best).actions
    candidates = torch.cat([at.policy.particles, best, polished], dim=1)
    with torch.no_grad():
        least, where = at.q(candidates).min(1)
    return least, candidates[torch.arange(n), where]


def greedy_gap(at: Evaluation, options: SolverOptions) -> float:
    """The greedy improvement gap max_s ρ(s) (E Q(s, π(s)) − min_a Q(s, a))."""
    least, _ = greedy(at, options)
    with torch.no_grad():
        own = at.policy.mean(at.q(at.policy.particles))
    return float((at.rho * (own - least)).clamp(min=0.0).max())


@dataclass
class Run:
    """One solve, on all its grids and at all its discounts; ``history`` is J after each step."""

    method: str
    max_iterations: int
    options: SolverOptions
    history: list[float] = field(default_factory=list)

    def solve(self, mdp: GridMDP, policy: ParticlePolicy, continuation: bool) -> ParticlePolicy:
        """The policy that promises nothing more; ``continuation``: whether to leave the basin that the policy is in."""
        newton = self.method == "newton"
        if continuation and newton and mdp.grid.size > self.options.coarse_start[min(mdp.grid.dim, 3) - 1]:
            coarse = mdp.coarsened()
            corners, shares = mdp.grid.linear_weights(coarse.grid.nodes)
            nearest = corners.gather(1, shares.argmax(1, keepdim=True)).squeeze(1)
            start = self.solve(coarse, ParticlePolicy(policy.particles[nearest], policy.weights[nearest]), continuation)
            # Rank by rank, which in one dimension interpolates quantiles.
            source = start.particles.sort(1).values if mdp.action_dim == 1 else start.particles
            corners, shares = coarse.grid.linear_weights(mdp.grid.nodes)
            policy = policy.moved(mdp.project((shares[:, :, None, None] * source[corners]).sum(1)))
        elif continuation:
            for gamma in self.options.discounts:
                if mdp.discount is None or gamma < mdp.discount:
                    policy = self._approach(mdp, gamma, policy)
        return self._settle(mdp, policy, continuation and newton)

    def _approach(self, mdp: GridMDP, gamma: float, policy: ParticlePolicy) -> ParticlePolicy:
        """A few steps at one discount of the continuation."""
        at = evaluate(mdp.at(gamma), policy)
        for number in range(self.options.steps_per_discount):
            step = descend(at, self.method, self.options)
            promised = float(at.policy.mean(step.promised).mean())
            if len(self.history) == self.max_iterations or (number and promised <= self.options.worthwhile * at.spread):
                break
            at = evaluate(at.mdp, at.policy.moved(step.actions))
            self.history.append(evaluate(mdp, at.policy).J)
        return at.policy

    def _settle(self, mdp: GridMDP, policy: ParticlePolicy, jumps: bool) -> ParticlePolicy:
        """Steps at the problem's own discount until none promises anything; with ``jumps`` no greedy action may either."""
        options, at = self.options, evaluate(mdp, policy)
        rounds, waiting = 0, 0
        while len(self.history) < self.max_iterations:
            step, spread = descend(at, self.method, options), at.spread
            promised = at.policy.mean(step.promised)
            at = evaluate(mdp, at.policy.moved(step.actions))
            self.history.append(at.J)
            settled = float(at.rho @ promised) <= options.tolerance * at.scale
            waiting = waiting + 1 if settled else 0
            if not settled or (float(promised.mean()) > options.value_tolerance * spread and waiting < options.patience):
                continue
            if not jumps or rounds == options.max_jumps:
                break
            rounds, waiting = rounds + 1, 0
            least, where = greedy(at, options)
            with torch.no_grad():
                behind = at.q(at.policy.particles) - least[:, None] > options.jump * spread
            if not behind.any():
                break
            at = evaluate(mdp, at.policy.moved(torch.where(behind[..., None], where[:, None], at.policy.particles)))
        return at.policy
