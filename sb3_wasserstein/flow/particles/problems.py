"""Control problems ready for the flow: known physics, and any Gymnasium environment whose state can be set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from sb3_wasserstein._validation import check_callable, check_count, check_number
from sb3_wasserstein.flow.grid.grid import Grid
from sb3_wasserstein.flow.particles.flow import ParticleFlow, check_task
from sb3_wasserstein.flow.particles.mdp import Dynamics
from sb3_wasserstein.flow.particles.policy import ObservationToState


@dataclass(frozen=True)
class Problem:
    """
    Everything a :class:`ParticleFlow` asks for but the number of particles, and how the environment's observations are read.

    :param dynamics: batched torch callable, states (B, d) and actions (B, k) -> next states without noise (B, d)
    :param cost: batched torch callable, states and actions -> cost (B,), minimised
    :param grid: the grid of states
    :param action_low: (k,) lower bounds of the actions
    :param action_high: (k,) upper bounds
    :param noise: standard deviation of the Gaussian noise added in a step, a number or one per state dimension
    :param observation_to_state: (B, obs) -> (B, d), for :meth:`ParticleFlow.as_policy`; None where they are the states
    :param discount: the discount the cost was written for; None: ergodic

    Example:
        >>> from sb3_wasserstein.flow import Grid, Problem
        >>> problem = Problem(lambda s, a: s + 0.1 * a, lambda s, a: (s**2 + a**2)[:, 0], Grid(-3, 3, 31), [-2.0], [2.0], 0.3)
        >>> problem.flow(n_particles=2).particles.shape
        torch.Size([31, 2, 1])
    """

    dynamics: Dynamics
    cost: Dynamics
    grid: Grid
    action_low: Sequence[float] | np.ndarray
    action_high: Sequence[float] | np.ndarray
    noise: float | Sequence[float]
    observation_to_state: ObservationToState | None = None
    discount: float | None = None

    def __post_init__(self) -> None:
        check_task(self.dynamics, self.cost, self.grid, self.noise, self.discount)
        if self.observation_to_state is not None:
            check_callable("observation_to_state", self.observation_to_state, "(observations)")

    def flow(self, n_particles: int = 4, initial: torch.Tensor | np.ndarray | None = None) -> ParticleFlow:
        """
        The particle flow of this problem; its ``as_policy()`` plays the environment.

        :param n_particles: actions per node
        :param initial: μ₀ on the nodes, (cells,), where there is a discount; None: uniform
        """
        low, high = self.action_low, self.action_high
        found = ParticleFlow(self.dynamics, self.cost, self.grid, low, high, n_particles, self.noise, self.discount, initial)
        found.observation_to_state = self.observation_to_state
        return found


def pendulum(cells: int | Sequence[int] = 61, noise: float = 0.0) -> Problem:
    """
    The physics of Gymnasium's ``Pendulum-v1``: state (angle, velocity), ergodic cost.

    :param cells: nodes per dimension
    :param noise: of the velocity per step. Below h/√3 (h the spacing) the grid's own diffusion is what there is: the
        noise-free environment is best played by a policy for the least noise that the grid carries
    :return: the problem; its ``flow()`` is solved, and plays the environment
    :raises ValueError: if there are fewer than 4 cells

    Example:
        >>> from sb3_wasserstein.flow import pendulum
        >>> pendulum(cells=21).flow(n_particles=4).particles.shape
        torch.Size([441, 4, 1])
    """

    def dynamics(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        velocity = (s[:, 1] + (15.0 * torch.sin(s[:, 0]) + 3.0 * a[:, 0]) * 0.05).clamp(-8.0, 8.0)
        return torch.stack([s[:, 0] + velocity * 0.05, velocity], dim=1)

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        angle = torch.remainder(s[:, 0] + math.pi, 2 * math.pi) - math.pi
        return angle**2 + 0.1 * s[:, 1] ** 2 + 0.001 * a[:, 0] ** 2

    check_number("noise", noise)
    grid = Grid([-math.pi, -8.0], [math.pi, 8.0], cells)

    def state(observations: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.atan2(observations[:, 1], observations[:, 0]), observations[:, 2]], dim=1)

    return Problem(dynamics, cost, grid, [-2.0], [2.0], [0.0, noise], state)


def mountain_car(cells: int | Sequence[int] = 61, discount: float = 0.99) -> Problem:
    """
    The physics of Gymnasium's ``MountainCarContinuous-v0``: state (position, velocity), discounted.

    The reward is −0.1 a² a step and +100 on arrival. Paying 100 (1 − γ) / γ a step until arrival, and nothing after it, is the
    same cost but for the constant 100 / γ, and is smooth in the action.

    :param cells: nodes per dimension
    :param discount: γ
    :return: the problem; its ``flow()`` is solved, and plays the environment
    :raises ValueError: if there are fewer than 4 cells, or ``discount`` is not in (0, 1)

    Example:
        >>> from sb3_wasserstein.flow import mountain_car
        >>> mountain_car(cells=21).discount
        0.99
    """
    if not 0 < check_number("discount", discount) < 1:
        raise ValueError(f"discount must lie in (0, 1), got {discount!r}")
    goal, waiting = 0.45, 100.0 * (1.0 - discount) / discount

    def dynamics(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        x, v = s[:, 0], s[:, 1]
        velocity = (v + 0.0015 * a[:, 0] - 0.0025 * torch.cos(3.0 * x)).clamp(-0.07, 0.07)
        position = (x + velocity).clamp(-1.2, 0.6)
        velocity = torch.where((position <= -1.2) & (velocity < 0), torch.zeros_like(velocity), velocity)
        moved = torch.stack([position, velocity], dim=1)
        return torch.where((x >= goal)[:, None], s, moved)

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        # Past the goal the action does nothing: a trace of a cost makes it 0 there.
        return torch.where(s[:, 0] >= goal, 1e-6 * a[:, 0] ** 2, 0.1 * a[:, 0] ** 2 + waiting)

    grid = Grid([-1.2, -0.07], [0.6, 0.07], cells)
    return Problem(dynamics, cost, grid, [-1.0], [1.0], 0.0, None, discount)


def _set_attribute(env: Any, state: np.ndarray) -> None:
    env.unwrapped.state = state.copy()


def _get_attribute(env: Any) -> np.ndarray:
    return np.asarray(env.unwrapped.state, dtype=np.float64)


class _Simulator:
    """
    One step of the environment from every state that is asked for, at Chebyshev points of the action box, once; between
    these actions a polynomial, which torch differentiates.
    """

    def __init__(
        self, env: Any, set_state: Callable[[Any, np.ndarray], None], get_state: Callable[[Any], np.ndarray], nodes: int
    ) -> None:
        self.env, self._set, self._get, self._nodes = env, set_state, get_state, nodes
        self.low, self.high = (np.asarray(x, dtype=np.float64) for x in (env.action_space.low, env.action_space.high))
        unit = -np.cos(np.pi * np.arange(nodes) / (nodes - 1))
        # T_j(x_i) at the Chebyshev points: its inverse turns Chebyshev polynomials into those that are 1 at one point each.
        self._inverse = torch.as_tensor(np.linalg.inv(np.polynomial.chebyshev.chebvander(unit, nodes - 1)))
        tiled = np.stack(np.meshgrid(*[unit] * len(self.low), indexing="ij"), axis=-1).reshape(-1, len(self.low))
        self._actions = self.low + (tiled + 1) / 2 * (self.high - self.low)
        self._simulated = cache(self._simulate)

    def _simulate(self, state: tuple[float, ...]) -> torch.Tensor:
        """Next states and cost at all action nodes, (nodes^k, d + 1)."""
        found = []
        for action in self._actions:
            self._set(self.env, np.array(state))
            _, reward, terminated, _, _ = self.env.step(action.astype(self.env.action_space.dtype))
            if terminated:
                raise ValueError(
                    f"env terminates from state {list(state)} under action {action.tolist()}: the flow solves tasks that "
                    "go on. Keep such states off the grid, or write dynamics and cost with an absorbing state (mountain_car)"
                )
            found.append(np.append(self._get(self.env), -float(reward)))
        return torch.as_tensor(np.array(found))

    def __call__(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Next states and cost, (B, d + 1)."""
        unique, inverse = torch.unique(states.detach(), dim=0, return_inverse=True)
        simulated = torch.stack([self._simulated(tuple(state)) for state in unique.tolist()])[inverse]
        scaled = 2 * (actions - torch.as_tensor(self.low)) / torch.as_tensor(self.high - self.low) - 1
        # The products of the polynomials of each action, (B, nodes^k).
        basis = torch.ones(len(actions), 1, dtype=torch.float64)
        for x in scaled.unbind(1):
            terms = [torch.ones_like(x), x]
            while len(terms) < self._nodes:
                terms.append(2 * x * terms[-1] - terms[-2])
            basis = (basis[:, :, None] * (torch.stack(terms, dim=1) @ self._inverse)[:, None, :]).flatten(1)
        return (basis[:, :, None] * simulated).sum(1)


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
    low = getattr(getattr(env, "action_space", None), "low", None)
    if low is None or low.ndim != 1 or not 1 <= len(low) <= 2 or not np.isfinite([low, env.action_space.high]).all():
        raise ValueError(f"env must have a finite Box of one or two actions, got {getattr(env, 'action_space', env)!r}")
    check_callable("set_state", set_state, "(env, state)")
    check_callable("get_state", get_state, "(env)")
    if check_count("action_nodes", action_nodes, 2) > 100:
        raise ValueError(f"action_nodes must be at most 100, of which every state is stepped at each; got {action_nodes}")
    env.reset(seed=0)
    simulator = _Simulator(env, set_state, get_state, action_nodes)
    return Problem(
        lambda states, actions: simulator(states, actions)[:, :-1],
        lambda states, actions: simulator(states, actions)[:, -1],
        grid,
        simulator.low,
        simulator.high,
        noise,
        observation_to_state,
        discount,
    )
