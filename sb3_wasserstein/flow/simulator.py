"""A Gymnasium environment whose state can be set, as differentiable dynamics and cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from sb3_wasserstein.flow.grid import Grid
from sb3_wasserstein.flow.physics import Problem
from sb3_wasserstein.flow.policy import ObservationToState


def _set_attribute(env: Any, state: np.ndarray) -> None:
    env.unwrapped.state = state.copy()


def _get_attribute(env: Any) -> np.ndarray:
    return np.asarray(env.unwrapped.state, dtype=np.float64)


class Simulator:
    """
    One step of the environment from every state that is asked for, at Chebyshev points of the action box, once; between
    these actions a polynomial, which torch differentiates.
    """

    def __init__(
        self,
        env: Any,
        set_state: Callable[[Any, np.ndarray], None],
        get_state: Callable[[Any], np.ndarray],
        nodes: int,
    ) -> None:
        self.env, self._set, self._get = env, set_state, get_state
        self.low, self.high = (np.asarray(x, dtype=np.float64) for x in (env.action_space.low, env.action_space.high))
        k = len(self.low)
        unit = -np.cos(np.pi * np.arange(nodes) / (nodes - 1))
        self._degree = nodes
        # T_j(x_i) at the Chebyshev points: its inverse turns values there into coefficients.
        matrix = np.polynomial.chebyshev.chebvander(unit, nodes - 1)
        self._inverse = torch.as_tensor(np.linalg.inv(matrix))
        tiled = np.stack(np.meshgrid(*[unit] * k, indexing="ij"), axis=-1).reshape(-1, k)
        self._actions = self.low + (tiled + 1) / 2 * (self.high - self.low)
        self._rows: dict[bytes, int] = {}
        self._table: list[torch.Tensor] = []
        self._stacked = torch.zeros(0)

    def _simulate(self, state: np.ndarray) -> torch.Tensor:
        """Next states and cost at all action nodes, as Chebyshev coefficients (nodes^k, d + 1)."""
        found = []
        for action in self._actions:
            self._set(self.env, state)
            _, reward, terminated, _, _ = self.env.step(action.astype(self.env.action_space.dtype))
            if terminated:
                raise ValueError(
                    f"env terminates from state {state.tolist()} under action {action.tolist()}: the flow solves tasks that "
                    "go on. Keep such states off the grid, or write dynamics and cost with an absorbing state (mountain_car)"
                )
            found.append(np.append(self._get(self.env), -float(reward)))
        values = torch.as_tensor(np.array(found))
        k = len(self.low)
        shaped = values.reshape(*[self._degree] * k, -1)
        for axis in range(k):
            shaped = torch.tensordot(self._inverse, shaped.movedim(axis, 0), dims=1).movedim(0, axis)
        return shaped.reshape(self._degree**k, -1)

    def _coefficients(self, states: torch.Tensor) -> torch.Tensor:
        unique, inverse = torch.unique(states, dim=0, return_inverse=True)
        rows = []
        for state in unique.numpy():
            key = state.tobytes()
            if key not in self._rows:
                self._rows[key] = len(self._table)
                self._table.append(self._simulate(state))
            rows.append(self._rows[key])
        if len(self._stacked) != len(self._table):
            self._stacked = torch.stack(self._table)
        return self._stacked[torch.tensor(rows)][inverse]

    def _basis(self, actions: torch.Tensor) -> torch.Tensor:
        """The products of Chebyshev polynomials of each action, (B, nodes^k)."""
        scaled = 2 * (actions - torch.as_tensor(self.low)) / torch.as_tensor(self.high - self.low) - 1
        product = torch.ones(len(actions), 1, dtype=torch.float64)
        for axis in range(actions.shape[1]):
            x = scaled[:, axis]
            terms = [torch.ones_like(x), x]
            while len(terms) < self._degree:
                terms.append(2 * x * terms[-1] - terms[-2])
            basis = torch.stack(terms, dim=1)
            product = (product[:, :, None] * basis[:, None, :]).flatten(1)
        return product

    def __call__(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Next states and cost, (B, d + 1)."""
        return (self._basis(actions)[:, :, None] * self._coefficients(states.detach())).sum(1)

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Next states (B, d)."""
        return self(states, actions)[:, :-1]

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The negative reward (B,)."""
        return self(states, actions)[:, -1]


def from_env(
    env: Any,
    grid: Grid,
    noise: float | Sequence[float] = 0.0,
    *,
    set_state: Callable[[Any, np.ndarray], None] = _set_attribute,
    get_state: Callable[[Any], np.ndarray] = _get_attribute,
    observation_to_state: ObservationToState | None = None,
    action_nodes: int = 5,
    discount: float | None = None,
) -> Problem:
    """
    A problem from a Gymnasium environment with deterministic, never terminating dynamics and a Box of one or two actions.

    :param env: the environment, or its id
    :param grid: the grid of its states
    :param noise: standard deviation per step and dimension that the flow adds
    :param set_state: ``set_state(env, state)``; default: ``env.unwrapped.state = state``
    :param get_state: ``get_state(env) -> state``; default: reads ``env.unwrapped.state``
    :param observation_to_state: (B, obs) -> (B, d) for the policy; None: as :meth:`ParticleFlow.as_policy` guesses
    :param action_nodes: Chebyshev points per action, at each of which every state is stepped once
    :param discount: γ, or None for the ergodic cost
    :raises ValueError: where a step terminates, or the action space is no finite Box of one or two dimensions
    :return: the problem; its ``flow()`` is solved, and plays the environment

    Example:
        >>> from sb3_wasserstein.flow import Grid, from_env
        >>> problem = from_env("Pendulum-v1", Grid([-3.14159265, -8], [3.14159265, 8], cells=11))
        >>> problem.flow(n_particles=2).particles.shape
        torch.Size([121, 2, 1])
    """
    if isinstance(env, str):
        import gymnasium

        env = gymnasium.make(env, max_episode_steps=-1)
    low = getattr(env.action_space, "low", None)
    if low is None or low.ndim != 1 or len(low) > 2 or not np.isfinite([low, env.action_space.high]).all():
        raise ValueError(f"env must have a finite Box of one or two actions, got {env.action_space}")
    if action_nodes < 2:
        raise ValueError(f"action_nodes must be at least 2, got {action_nodes}")
    env.reset(seed=0)
    simulator = Simulator(env, set_state, get_state, action_nodes)
    dynamics, cost = simulator.dynamics, simulator.cost
    return Problem(dynamics, cost, grid, simulator.low, simulator.high, noise, observation_to_state, discount)
