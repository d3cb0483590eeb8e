"""The user's dynamics and cost on the grid: a finite MDP that is differentiable in the actions, and a policy's cost in it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sparse
import torch

from sb3_wasserstein.flow.grid.chain import AxisNoise, Chain, Transition
from sb3_wasserstein.flow.grid.grid import Grid
from sb3_wasserstein.flow.particles.policy import ParticlePolicy

Dynamics: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class GridMDP:
    """
    A controlled process ``s' = dynamics(s, a) + noise · w`` with a cost, on the nodes of a grid.

    In dimensions where some action leads off the grid, next states past the last interval pay a smooth penalty. Where a next
    state is clamped to the box nothing depends on the action any more, and "do nothing" on an unstable plant would look
    stationary; the penalty's slope leads back inside.

    All but the last field are arguments of :class:`~sb3_wasserstein.flow.ParticleFlow`, as arrays: ``low`` and ``high`` (k,)
    bound the actions, ``noise`` is (d,), and ``initial``, the law μ₀ of the discounted cost, (n,).

    :param factorised_nonzeros: transition matrices with more non-zeros than this are left to GMRES, see :class:`Chain`
    :raises ValueError: if dynamics or cost return other shapes or dtypes, or NaN
    :raises TypeError: if they depend on the action, but not differentiably
    """

    dynamics: Dynamics
    cost: Dynamics
    grid: Grid
    low: torch.Tensor
    high: torch.Tensor
    noise: np.ndarray
    discount: float | None
    initial: torch.Tensor
    factorised_nonzeros: int = 500_000

    def __post_init__(self) -> None:
        # These call dynamics and cost. Copies at another discount share what is cached.
        _ = self._penalty, self.edges, self.axis_noise

    def at(self, discount: float | None) -> GridMDP:
        """The same MDP at another discount."""
        other = copy.copy(self)
        object.__setattr__(other, "discount", discount)
        return other

    def coarsened(self) -> GridMDP:
        """The same problem on half the intervals."""
        cells = [max(4, (n + 1) // 2) for n in self.grid.cells]
        grid = Grid(self.grid.low, self.grid.high, cells, periodic=self.grid.periodic)
        indices, weights = grid.linear_weights(self.grid.nodes)
        law = torch.zeros(grid.size, dtype=torch.float64)
        law.index_add_(0, indices.flatten(), (weights * self.initial[:, None]).flatten())
        return replace(self, grid=grid, initial=law)

    @property
    def gamma(self) -> float:
        """γ, 1 for the ergodic cost."""
        return 1.0 if self.discount is None else self.discount

    @property
    def _corners(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.as_tensor(self.grid.low), torch.as_tensor(self.grid.high)

    @property
    def action_dim(self) -> int:
        """k, the number of action dimensions."""
        return len(self.low)

    @cached_property
    def axis_noise(self) -> AxisNoise:
        """N, the law of the noise on the nodes."""
        return AxisNoise([self.grid.noise_matrix(std, axis) for axis, std in enumerate(self.noise)])

    @property
    def effective_noise(self) -> np.ndarray:
        """(d,) the noise that the chain has: the spline's own, h/√3, where the spacing h is too coarse for the user's."""
        return np.array([self.grid.noise_kernel(std, axis)[1] for axis, std in enumerate(self.noise)])

    def project(self, actions: torch.Tensor) -> torch.Tensor:
        """The nearest actions in the box."""
        return torch.minimum(torch.maximum(actions, self.low), self.high)

    @cached_property
    def _penalty(self) -> float:
        """What a next state pays per squared distance past the last interval, the width of the box being 1."""
        generator = torch.Generator().manual_seed(0)
        size = min(self.grid.size, 256)
        states = self.grid.nodes[torch.linspace(0, self.grid.size - 1, size).long()]
        unit = torch.rand(2, size, self.action_dim, generator=generator, dtype=torch.float64)
        first, second = self.low + (self.high - self.low) * unit
        _check_differentiable("dynamics", self.step, states, first, second)
        costs = _check_differentiable("cost", self.stage_cost, states, first, second)
        # Large beside the spread of the cost: one spread is paid at 1.6 % of the width.
        return 4000.0 * (float(costs.max() - costs.min()) or 1.0)

    @cached_property
    def edges(self) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The dimensions that have an edge to fall off, and those of them where some action leads off it; 1 or 0 each, (d,).

        An angle has none. Nor has a dimension that the physics itself clips to the grid's bounds, like a speed: no action
        leads off, and some lead exactly onto the edge.
        """
        low, high = self._corners
        choices = torch.cartesian_prod(*torch.stack([self.low, (self.low + self.high) / 2, self.high], dim=1))
        furthest = torch.full((self.grid.dim,), -torch.inf, dtype=torch.float64)
        with torch.no_grad():
            for action in choices.reshape(-1, self.action_dim):
                following = self.step(self.grid.nodes, action.expand(self.grid.size, -1))
                past = torch.maximum(following - high, low - following)
                furthest = torch.maximum(furthest, (past / (high - low)).amax(0))
        wall = furthest.abs() <= 1e-9
        edged = ~wall & ~torch.tensor(self.grid.periodic)
        return edged.double(), (edged & (furthest > 0)).double()

    def step(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The next states without noise, (B, d), checked."""
        return _checked("dynamics", self.dynamics(states, actions), tuple(states.shape), states, actions)

    def stage_cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The cost (B,), checked."""
        return _checked("cost", self.cost(states, actions), (len(states),), states, actions)

    def outcome(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Of actions (n, m, k) at every node: the cost (n m,), with the penalty for next states past the last interval, and the
        next states without noise (n m, d).
        """
        n, m, k = actions.shape
        states, flat = self.grid.nodes.repeat_interleave(m, 0), actions.reshape(n * m, k)
        following = self.step(states, flat)
        (low, high), inset = self._corners, torch.as_tensor(self.grid.spacing)
        past = (torch.relu(following - (high - inset)) + torch.relu(low + inset - following)) / (high - low)
        return self.stage_cost(states, flat) + self._penalty * (past**2 * self.edges[1]).sum(1), following

    def _expected(self, following: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
        indices, weights = self.grid.weights(following)
        return (weights * future[indices]).sum(1)

    def action_value(self, actions: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
        """
        c(s, a) + E future(s'), for actions at every node.

        :param actions: (n, m, k)
        :param future: what arriving at a node is worth before the noise acts, γ N V, (n,)
        :return: (n, m)
        """
        cost, following = self.outcome(actions)
        return (cost + self._expected(following, future)).reshape(actions.shape[:2])

    def ahead(self, actions: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
        """E future(s') alone, (n, m): the part of :meth:`action_value` that the dynamics carry."""
        return self._expected(self.outcome(actions)[1], future).reshape(actions.shape[:2])

    def chain(self, policy: ParticlePolicy) -> tuple[Transition, np.ndarray]:
        """P and c_π (n,) of a policy."""
        n = self.grid.size
        with torch.no_grad():
            cost, following = self.outcome(policy.particles)
            indices, values = self.grid.weights(following)
            values = values * policy.weights.reshape(-1, 1)
        rows = np.repeat(np.arange(n), values.numel() // n)
        matrix = sparse.csr_matrix((values.numpy().ravel(), (rows, indices.numpy().ravel())), shape=(n, n))
        return Transition(matrix, self.axis_noise), policy.mean(cost.reshape(policy.weights.shape)).numpy()


def check_memory(grid: Grid, k: int, n_particles: int) -> None:
    """Estimate the memory that the flow will need, before anything is allocated."""
    n, corners = grid.size, 4**grid.dim
    particles = n * n_particles * (6 * corners + 10 * k)
    # B with its transpose, the noise along each axis, and GMRES's vectors or a factorisation.
    matrices = 3 * n * corners * min(n_particles, 8) + sum(cells**2 for cells in grid.cells) + 160 * n
    needed = 8 * (particles + matrices)
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return
    if needed > 0.8 * available:
        raise ValueError(
            f"grid with {n:,} nodes and n_particles={n_particles} needs about {needed / 2**30:,.0f} GiB, this machine has "
            f"{available / 2**30:,.0f}: take fewer cells (now {grid.cells}) or fewer particles"
        )


def _check_differentiable(
    name: str, call: Dynamics, states: torch.Tensor, first: torch.Tensor, second: torch.Tensor
) -> torch.Tensor:
    """
    What a callable gives for the first actions; it must not differ for the second ones where torch finds no gradient.

    :raises TypeError: where it does
    """
    actions = first.clone().requires_grad_(True)
    slope = None
    with torch.enable_grad():
        output = call(states, actions)
        if output.requires_grad:
            (slope,) = torch.autograd.grad(output.sum(), actions, allow_unused=True)
    if (slope is None or not slope.any()) and not torch.equal(output.detach(), call(states, second).detach()):
        raise TypeError(
            f"{name} changes with the action, but torch finds no gradient: write it with differentiable torch "
            "operations (no numpy, .detach(), .item(), round or sign)"
        )
    return output.detach()


def _checked(name: str, output: object, shape: tuple[int, ...], states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"{name} must return a torch tensor, got {type(output).__name__}")
    if output.shape != shape:
        raise ValueError(
            f"{name} must return shape {shape} for states {tuple(states.shape)} and actions {tuple(actions.shape)}, "
            f"got {tuple(output.shape)}"
        )
    if output.dtype != torch.float64:
        raise ValueError(f"{name} must compute in float64, as its arguments do, but returned {output.dtype}")
    finite = torch.isfinite(output.detach())
    if not finite.all():
        row = int(torch.nonzero(~finite)[0, 0])
        place = f"state {states[row].tolist()} and action {actions[row].tolist()}"
        raise ValueError(f"{name} returned NaN or infinity at {place}")
    return output


@dataclass(frozen=True, eq=False)
class Evaluation:
    """
    What a policy costs in an MDP.

    :param mdp: the MDP
    :param policy: the policy
    :param chain: its chain
    :param J: its cost
    :param V: relative or discounted value, (n,)
    :param rho: stationary law or discounted occupancy, (n,)
    :param scale: the size of its costs, E_ρ |c_π|
    :param future: γ N V, what arriving at a node is worth before the noise N acts, (n,)
    """

    mdp: GridMDP
    policy: ParticlePolicy
    chain: Chain
    J: float
    V: torch.Tensor
    rho: torch.Tensor
    scale: float
    future: torch.Tensor

    def q(self, actions: torch.Tensor) -> torch.Tensor:
        """Q(s, a) up to the constant J, (n, m) for actions (n, m, k)."""
        return self.mdp.action_value(actions, self.future)

    @property
    def spread(self) -> float:
        """The range of V and |J|: the unit in which advantages of actions are large or small."""
        return float(self.V.max() - self.V.min()) + abs(self.J)

    def complaints(self) -> list[str]:
        """What speaks against J: mass that falls off the grid, a chain in parts. Empty when nothing does."""
        mdp, grid, discount = self.mdp, self.mdp.grid, self.chain.discount
        found = []
        with torch.no_grad():
            _, following = mdp.outcome(self.policy.particles)
        noise, width = torch.as_tensor(mdp.noise), torch.as_tensor(grid.high - grid.low)
        # A noise of 0 becomes a step function that ignores round-off at the edge.
        scale, rim = torch.maximum(noise, 1e-9 * width), torch.where(noise > 0, torch.zeros_like(noise), 1e-7 * width)
        # The start's own mass may lie at the edge: what counts is where the chain goes.
        law = self.rho if discount is None else self.rho - (1 - discount) * torch.as_tensor(self.chain.initial)

        def share_past(past: torch.Tensor) -> np.ndarray:
            """The share of steps, noise included, that end past one side of the grid, (d,)."""
            off = torch.special.ndtr((past - rim) / scale).reshape(*self.policy.weights.shape, -1)
            return (law @ self.policy.mean(off) * mdp.edges[0]).numpy()

        low_share = share_past(torch.as_tensor(grid.low) - following)
        high_share = share_past(following - torch.as_tensor(grid.high))
        share = float((low_share + high_share).sum())
        # A thousandth of the steps moved J by 0.7 % on a linear plant; a discounted start may itself lie at the edge.
        limit = 1e-3 if discount is None else 1e-2
        if share > limit:
            low = grid.low - 0.5 * (grid.high - grid.low) * (low_share > limit / 10)
            high = grid.high + 0.5 * (grid.high - grid.low) * (high_share > limit / 10)
            found.append(
                f"the chain leaves mass at the grid's edge: {share:.2%} of its steps end outside. Try "
                f"Grid(low={np.round(low, 6).tolist()}, high={np.round(high, 6).tolist()}, ...), or, where "
                "the physics itself stops at the edge, clip the next state to the grid's bounds in dynamics"
            )
        # A chain that mixes slower than in a million steps has a J that the grid's round-off decides.
        if (discount is None or self.chain.restarted) and (gap := self.chain.spectral_gap()) < 1e-6:
            found.append(
                f"the chain is reducible, or nearly: its spectral gap is {gap:.1e}, so J depends on where it starts. "
                "Use more noise, a discount, or a grid that covers one of its parts"
            )
        return found


class Derivatives(NamedTuple):
    """Q (n, m), ∇_a Q (n, m, k) and, where it was asked for, ∂²_a Q (n, m, k, k), else an empty tensor."""

    value: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor


def differentiate(q: Callable[[torch.Tensor], torch.Tensor], actions: torch.Tensor, second: bool = False) -> Derivatives:
    """
    Q and its derivatives in the action, particle by particle. Actions that do not enter have derivative 0 exactly.

    :param q: actions (n, m, k) -> values (n, m)
    :param actions: (n, m, k)
    :param second: whether the Hessian is wanted
    """
    actions = actions.detach().requires_grad_(True)
    value = q(actions)
    k = actions.shape[-1]
    gradient = torch.zeros_like(actions)
    hessian = torch.zeros(*actions.shape, k, dtype=torch.float64) if second else torch.empty(0)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), actions, create_graph=second, materialize_grads=True)
    if second and gradient.requires_grad:
        for i in range(k):
            total = gradient[..., i].sum()
            (hessian[..., i, :],) = torch.autograd.grad(total, actions, retain_graph=i < k - 1, materialize_grads=True)
    return Derivatives(value.detach(), gradient.detach(), hessian)


def evaluate(mdp: GridMDP, policy: ParticlePolicy, extra: torch.Tensor | None = None) -> Evaluation:
    """
    Solve for V, J and ρ of a policy; when ergodic, V = 0 at the grid's centre.

    :param extra: cost per state on top of the actions', (n,)
    """
    transition, cost = mdp.chain(policy)
    if extra is not None:
        cost = cost + extra.numpy()
    chain = Chain(transition, mdp.discount, mdp.initial.numpy(), mdp.grid.centre, mdp.factorised_nonzeros)
    V, J = chain.value(cost)
    rho = chain.occupancy()
    future = torch.as_tensor(mdp.gamma * mdp.axis_noise.expect(V))
    scale = float(rho @ np.abs(cost)) or 1.0
    return Evaluation(mdp, policy, chain, J, torch.as_tensor(V), torch.as_tensor(rho), scale, future)
