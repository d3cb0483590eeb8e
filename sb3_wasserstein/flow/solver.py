"""From any particles to the optimum: Newton or gradient steps, continuation in γ, a coarse-to-fine start, greedy jumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sb3_wasserstein.flow.steps import Step, descend, differentiate, greedy, newton_direction, scan_actions

if TYPE_CHECKING:
    from sb3_wasserstein.flow.evaluation import Evaluation
    from sb3_wasserstein.flow.particles import ParticleFlow

CONTINUATION = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
# Grids of more nodes than this start from the solution on half the intervals, by number of dimensions.
_COARSEST = {1: 300, 2: 1_000}
_STEPS_PER_LEVEL = 3
# What the quadratic model may still promise when a solve ends: of J, and of the spread of V on states that ρ hardly visits.
_PROMISE_J, _PROMISE_V = 1e-14, 1e-12
# Continuation takes a second and third step at one discount while they promise more than this share of V's spread.
_ON_THE_WAY = 1e-2
# A particle jumps to the greedy action when that is better by this share of V's spread.
_JUMP = 1e-9
_MAX_ROUNDS = 20


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


def newton_step(flow: ParticleFlow, at: Evaluation) -> Step:
    """The state-wise Newton step: what the Hessian leaves at a critical point, where its transport part vanishes."""
    low, high = flow.mdp.low, flow.mdp.high
    found = differentiate(at.q, flow.particles, second=True)
    assert found.hessian is not None
    direction = newton_direction(found.gradient, found.hessian, flow.particles, low, high)
    return descend(at.q, found, flow.particles, direction, low, high)


def gradient_step(flow: ParticleFlow, at: Evaluation) -> Step:
    """a ← Proj_box(a − η ∇_a Q), η = 1 / max ∂²_a Q over particles that ρ visits: the explicit Euler step of the flow."""
    low, high = flow.mdp.low, flow.mdp.high
    found = differentiate(at.q, flow.particles, second=True)
    assert found.hessian is not None
    visited = at.rho > 1e-12 * at.rho.max()
    steepest = float(found.hessian[visited].abs().sum(-1).max())
    longest = 0.25 * float((high - low).min()) / max(float(found.gradient[visited].abs().max()), 1e-300)
    direction = -found.gradient * min(1 / max(steepest, 1e-300), longest)
    return descend(at.q, found, flow.particles, direction, low, high)


STEPS = {"newton": newton_step, "gradient": gradient_step}


class _Run:
    def __init__(self, max_iterations: int) -> None:
        self.left = max_iterations
        self.history: list[float] = []

    def level(self, flow: ParticleFlow, discount: float | None, method: str, last: bool, jumps: bool) -> None:
        """Descend at one discount: a few steps on the way, until nothing is promised any more at the last."""
        scan = scan_actions(flow.mdp.low, flow.mdp.high)
        steps, rounds, waiting = 0, 0, 0
        at = flow.evaluation(discount)
        while self.left > 0 and (last or steps < _STEPS_PER_LEVEL):
            step = STEPS[method](flow, at)
            promised = (step.promised * flow.weights).sum(1)
            spread = float(at.V.max() - at.V.min()) + abs(at.J)
            if not last and steps and float(promised.mean()) <= _ON_THE_WAY * spread:
                return
            steps, self.left = steps + 1, self.left - 1
            flow.particles = step.actions
            at = flow.evaluation(discount)
            self.history.append(at.J if last else flow.evaluation(flow.discount).J)
            settled = float(at.rho @ promised) <= _PROMISE_J * at.scale
            waiting = waiting + 1 if settled else 0
            if not settled or (float(promised.mean()) > _PROMISE_V * spread and waiting < 10):
                continue
            if not last or not jumps or rounds == _MAX_ROUNDS:
                return
            rounds, waiting = rounds + 1, 0
            least, where = greedy(at.q, flow.particles, scan)
            with torch.no_grad():
                behind = at.q(flow.particles) - least[:, None] > _JUMP * spread
            if not behind.any():
                return
            flow.particles = torch.where(behind[..., None], where[:, None], flow.particles)
            at = flow.evaluation(discount)


def refine(coarse: ParticleFlow, fine: ParticleFlow) -> None:
    """Carry particles to a finer grid: interpolated rank by rank, which in one dimension interpolates quantiles."""
    source = coarse.particles.sort(1).values if coarse.particles.shape[-1] == 1 else coarse.particles
    indices, weights = coarse.grid.linear_weights(fine.grid.nodes)
    fine.particles = (weights[:, :, None, None] * source[indices]).sum(1)


def _descend(flow: ParticleFlow, method: str, continuation: bool, run: _Run) -> None:
    target = flow.discount
    levels: list[float | None] = []
    if continuation and method == "newton" and flow.grid.size > _COARSEST.get(flow.grid.dim, 1_500):
        coarse = flow.coarsened()
        _descend(coarse, method, continuation, run)
        refine(coarse, flow)
    elif continuation:
        levels = [gamma for gamma in CONTINUATION if target is None or gamma < target]
    for discount in levels:
        run.level(flow, discount, method, last=False, jumps=False)
    run.level(flow, target, method, last=True, jumps=continuation and method == "newton")


def solve(flow: ParticleFlow, method: str, continuation: bool, max_iterations: int) -> tuple[int, list[float]]:
    """Run the flow to its end; see :meth:`ParticleFlow.solve`. Returns iterations and history."""
    run = _Run(max_iterations)
    _descend(flow, method, continuation, run)
    return max_iterations - run.left, run.history
