"""Control problems ready for the flow: known physics, and any Gymnasium environment whose state can be set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sb3_wasserstein.flow.grid import Grid
from sb3_wasserstein.flow.mdp import Dynamics
from sb3_wasserstein.flow.particles import ParticleFlow
from sb3_wasserstein.flow.policy import ObservationToState


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

    def flow(self, n_particles: int = 4, initial: torch.Tensor | np.ndarray | None = None) -> ParticleFlow:
        """The particle flow of this problem; its ``as_policy()`` plays the environment."""
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

    grid = Grid([-math.pi, -8.0], [math.pi, 8.0], cells)

    def state(observations: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.atan2(observations[:, 1], observations[:, 0]), observations[:, 2]], dim=1)

    return Problem(dynamics, cost, grid, [-2.0], [2.0], [0.0, noise], state)


def mountain_car(cells: int | Sequence[int] = 61, discount: float = 0.99) -> Problem:
    """
    The physics of Gymnasium's ``MountainCarContinuous-v0``: state (position, velocity), discounted.

    The reward is −.1 a² a step and +100 on arrival. Paying 100 (1 − γ) / γ a step until arrival, and nothing after it, is the
    same cost but for the constant 100 / γ, and is smooth in the action.

    :param cells: nodes per dimension
    :param discount: γ
    :return: the problem; its ``flow()`` is solved, and plays the environment
    :raises ValueError: if there are fewer than 4 cells

    Example:
        >>> from sb3_wasserstein.flow import mountain_car
        >>> mountain_car(cells=21).discount
        0.99
    """
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
