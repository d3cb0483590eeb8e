"""The user's dynamics and cost on the grid: a finite MDP that is differentiable in the actions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import scipy.sparse as sparse
import torch

from sb3_wasserstein.flow.chain import KRYLOV_SIZE
from sb3_wasserstein.flow.grid import Grid, per_dimension
from sb3_wasserstein.flow.transition import AxisNoise, Transition

Dynamics: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# The penalty on next states past the last interval: its height, in spreads of the cost, at _MARGIN of the box beyond it.
_PENALTY, _MARGIN = 10.0, 0.05


def _first(rows: torch.Tensor, states: torch.Tensor, actions: torch.Tensor) -> str:
    row = int(torch.nonzero(rows)[0])
    return f"state {states[row].tolist()} and action {actions[row].tolist()}"


class GridMDP:
    """
    A controlled process ``s' = dynamics(s, a) + noise · w`` with a cost, on the nodes of a grid.

    In dimensions where some action leads off the grid, next states past the last interval pay a smooth penalty. Where a next
    state is clamped to the box nothing depends on the action any more, and "do nothing" on an unstable plant would look
    stationary; the penalty's slope leads back inside.

    :param dynamics: batched callable, states (B, d) and actions (B, k) -> next states (B, d), differentiable by torch
    :param cost: batched callable, states and actions -> cost (B,)
    :param grid: the grid of states
    :param action_low: lower bounds of the actions, a number or one per action dimension
    :param action_high: upper bounds
    :param noise: standard deviation of the Gaussian noise per step, a number or one per state dimension
    :param n_particles: actions per node, for the estimate of memory
    :raises ValueError: on bounds, shapes, dtypes or NaN, or a grid that does not fit
    :raises TypeError: on callables that depend on the action, but not differentiably
    """

    def __init__(
        self,
        dynamics: Dynamics,
        cost: Dynamics,
        grid: Grid,
        action_low: float | Sequence[float] | np.ndarray,
        action_high: float | Sequence[float] | np.ndarray,
        noise: float | Sequence[float] | np.ndarray,
        n_particles: int,
    ) -> None:
        if not isinstance(grid, Grid):
            raise TypeError(f"grid must be a Grid(low, high, cells), got {type(grid).__name__}")
        for name, function in (("dynamics", dynamics), ("cost", cost)):
            if not callable(function):
                raise TypeError(f"{name} must be a callable of (states, actions), got {type(function).__name__}")
        self.dynamics, self.cost, self.grid = dynamics, cost, grid
        k = max(np.size(action_low), np.size(action_high))
        self.low = torch.as_tensor(per_dimension("action_low", action_low, k))
        self.high = torch.as_tensor(per_dimension("action_high", action_high, k))
        if (self.low >= self.high).any():
            raise ValueError(f"action_low must lie below action_high, got {self.low.tolist()} and {self.high.tolist()}")
        self.noise = per_dimension("noise", noise, grid.dim)
        if (self.noise < 0).any():
            raise ValueError(f"noise is a standard deviation and must not be negative, got {self.noise.tolist()}")
        self.effective_noise = np.array([grid.noise_kernel(std, axis)[1] for axis, std in enumerate(self.noise)])
        self._inner_low = torch.as_tensor(grid.low + grid.spacing)
        self._inner_high = torch.as_tensor(grid.high - grid.spacing)
        self._margin = torch.as_tensor(_MARGIN * (grid.high - grid.low))
        self._check_memory(n_particles)
        self.penalty = _PENALTY * self._check_callables()
        self._edged, self._penalised = self._find_edges()

    @cached_property
    def axis_noise(self) -> AxisNoise:
        """N, the law of the noise on the nodes."""
        return AxisNoise([self.grid.noise_matrix(std, axis) for axis, std in enumerate(self.noise)])

    @property
    def action_dim(self) -> int:
        """k, the number of action dimensions."""
        return len(self.low)

    def _check_memory(self, n_particles: int) -> None:
        """Estimate the memory that the flow will need, before anything is allocated."""
        n, corners = self.grid.size, 4**self.grid.dim
        particles = n * n_particles * (6 * corners + 10 * self.action_dim)
        # B with its transpose, the noise along each axis, and either a factorisation of the full matrix or GMRES's vectors.
        matrices = 3 * n * corners * min(n_particles, 8) + sum(cells**2 for cells in self.grid.cells)
        needed = 8 * (particles + matrices + (3 * n * n if n <= KRYLOV_SIZE else 160 * n))
        try:
            available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError):
            return
        if needed > 0.8 * available:
            raise ValueError(
                f"grid with {n:,} nodes and n_particles={n_particles} needs about {needed / 2**30:,.0f} GiB, this machine has "
                f"{available / 2**30:,.0f}: take fewer cells (now {self.grid.cells}) or fewer particles"
            )

    def _check_callables(self) -> float:
        """
        Call dynamics and cost on a few nodes: shapes, dtype, finiteness, and whether they are differentiable.

        :return: the spread of the cost
        """
        generator = torch.Generator().manual_seed(0)
        size = min(self.grid.size, 256)
        states = self.grid.nodes[torch.linspace(0, self.grid.size - 1, size).long()]
        span = self.high - self.low
        unit = torch.rand(2, size, self.action_dim, generator=generator, dtype=torch.float64)
        first, second = self.low + span * unit
        costs = []
        for name, call in (("dynamics", self.step), ("cost", self.stage_cost)):
            actions = first.clone().requires_grad_(True)
            output = call(states, actions)
            costs.append(output.detach())
            slope = torch.zeros_like(first)
            if output.requires_grad:
                (found,) = torch.autograd.grad(output.sum(), actions, allow_unused=True)
                slope = slope if found is None else found
            if not slope.any() and not torch.equal(output.detach(), call(states, second).detach()):
                raise TypeError(
                    f"{name} changes with the action, but torch finds no gradient: write it with differentiable torch "
                    "operations (no numpy, .detach(), .item(), round or sign)"
                )
        return float(costs[1].max() - costs[1].min()) or 1.0

    def _find_edges(self) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The dimensions that have an edge to fall off, and those of them where some action leads off it; 1 or 0 each, (d,).

        An angle has none. Nor has a dimension that the physics itself clips to the grid's bounds, like a speed: no action
        leads off, and some lead exactly onto the edge.
        """
        width = torch.as_tensor(self.grid.high - self.grid.low)
        middle = (self.low + self.high) / 2
        choices = torch.cartesian_prod(*torch.stack([self.low, middle, self.high], dim=1)).reshape(-1, self.action_dim)
        furthest = torch.full((self.grid.dim,), -torch.inf, dtype=torch.float64)
        with torch.no_grad():
            for action in choices:
                following = self.step(self.grid.nodes, action.expand(self.grid.size, -1))
                past = torch.maximum(following - torch.as_tensor(self.grid.high), torch.as_tensor(self.grid.low) - following)
                furthest = torch.maximum(furthest, (past / width).amax(0))
        wall = furthest.abs() <= 1e-9
        edged = ~wall & ~torch.tensor(self.grid.periodic)
        return edged.double(), (edged & (furthest > 0)).double()

    def _checked(
        self, name: str, output: object, shape: tuple[int, ...], states: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
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
            bad = ~(finite if finite.ndim == 1 else finite.all(1))
            raise ValueError(f"{name} returned NaN or infinity at {_first(bad, states, actions)}")
        return output

    def step(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The next states without noise, (B, d), checked."""
        return self._checked("dynamics", self.dynamics(states, actions), tuple(states.shape), states, actions)

    def stage_cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The cost (B,), checked."""
        return self._checked("cost", self.cost(states, actions), (len(states),), states, actions)

    def _excess(self, following: torch.Tensor) -> torch.Tensor:
        past = torch.relu(following - self._inner_high) + torch.relu(self._inner_low - following)
        return self.penalty * ((past / self._margin) ** 2 * self._penalised).sum(1)

    def action_value(self, actions: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
        """
        c(s, a) + E future(s'), for actions at every node.

        :param actions: (n, m, k)
        :param future: what arriving at a node is worth before the noise acts, γ N V, (n,)
        :return: (n, m)
        """
        n, m, _ = actions.shape
        states = self.grid.nodes.repeat_interleave(m, 0)
        flat = actions.reshape(n * m, -1)
        following = self.step(states, flat)
        indices, weights = self.grid.weights(following)
        ahead = (weights * future[indices]).sum(1)
        return (self.stage_cost(states, flat) + self._excess(following) + ahead).reshape(n, m)

    def leaving(self, actions: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The probability that a next state, noise included, falls off the grid.

        :return: below ``low`` and above ``high``, both (n, d)
        """
        n, m, _ = actions.shape
        with torch.no_grad():
            following = self.step(self.grid.nodes.repeat_interleave(m, 0), actions.reshape(n * m, -1))
        # A noise of 0 becomes a step function that ignores round-off at the edge.
        scale = torch.as_tensor(np.maximum(self.noise, 1e-9 * (self.grid.high - self.grid.low)))
        rim = torch.as_tensor(np.where(self.noise > 0, 0.0, 1e-7 * (self.grid.high - self.grid.low)))
        below = torch.special.ndtr((torch.as_tensor(self.grid.low) - rim - following) / scale) * self._edged
        above = torch.special.ndtr((following - torch.as_tensor(self.grid.high) - rim) / scale) * self._edged
        share = weights[:, :, None]
        return (below.reshape(n, m, -1) * share).sum(1), (above.reshape(n, m, -1) * share).sum(1)

    def future_value(self, actions: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
        """E future(s') alone, (n, m): the part of :meth:`action_value` that the dynamics carry."""
        n, m, _ = actions.shape
        following = self.step(self.grid.nodes.repeat_interleave(m, 0), actions.reshape(n * m, -1))
        indices, weights = self.grid.weights(following)
        return (weights * future[indices]).sum(1).reshape(n, m)

    def chain(self, actions: torch.Tensor, weights: torch.Tensor) -> tuple[Transition, np.ndarray]:
        """
        The chain and the cost of a policy of weighted particles.

        :param actions: (n, m, k)
        :param weights: (n, m)
        :return: P, c_π (n,)
        """
        n, m, _ = actions.shape
        with torch.no_grad():
            states = self.grid.nodes.repeat_interleave(m, 0)
            flat = actions.reshape(n * m, -1)
            following = self.step(states, flat)
            indices, values = self.grid.weights(following)
            cost = ((self.stage_cost(states, flat) + self._excess(following)).reshape(n, m) * weights).sum(1)
            values = values * weights.reshape(-1, 1)
        rows = np.repeat(np.arange(n), m * indices.shape[1])
        matrix = sparse.csr_matrix((values.numpy().ravel(), (rows, indices.numpy().ravel())), shape=(n, n))
        return Transition(matrix, self.axis_noise), cost.numpy()
