"""A chain of unstable Duffing oscillators, each with an actuator; the problem is ours, after Dus (arXiv 2604.14765)."""

from __future__ import annotations

import numpy as np
import torch

from sb3_wasserstein._validation import check_count, check_number
from sb3_wasserstein.envs.control import ControlTask


class CoupledOscillators(ControlTask):
    """
    n oscillators on a path, state (q, p) of 2n coordinates:

        p⁺ = p + dt (−K q − β q³ − .1 p + u) + .3 √dt w,    q⁺ = q + dt p⁺,    cost mean(q² + p² + .1 u²)

    with K the path's Laplacian minus the identity (its lowest modes are unstable), dt = .05, and u = 3 times the action. With
    β = 0 it is linear–quadratic: :meth:`linear_quadratic` gives the matrices of its Riccati equation.

    :param n: number of oscillators
    :param beta: β ≥ 0, the cubic stiffness
    :param horizon: number of steps of an episode
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/CoupledOscillators-v0", n=3)
        >>> env.observation_space.shape, env.action_space.shape
        ((6,), (3,))
    """

    dt, damping, control_cost, max_control, disturbance = 0.05, 0.1, 0.1, 3.0, 0.3

    def __init__(self, n: int = 10, beta: float = 1.0, horizon: int = 200, render_mode: str | None = None) -> None:
        if check_number("beta", beta) < 0:
            raise ValueError(f"beta must be finite and >= 0; got {beta!r}")
        self.n = check_count("n", n)
        self.beta = float(beta)
        shock = self.disturbance * np.sqrt(self.dt) * np.eye(self.n)
        # The disturbance enters through p⁺, and so reaches q⁺ in the same step.
        super().__init__(np.vstack([self.dt * shock, shock]), 0.1, 5.0, self.n, horizon, render_mode)

    def _force(self, q: torch.Tensor) -> torch.Tensor:
        """−K q − β q³: the Laplacian by differences, as the path has them."""
        stretch = q.diff(dim=1)
        zero = q.new_zeros(len(q), 1)
        pull = torch.cat([stretch, zero], 1) - torch.cat([zero, stretch], 1)
        return pull + q - self.beta * q**3

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        q, p = states[:, : self.n], states[:, self.n :]
        p = p + self.dt * (self._force(q) - self.damping * p + self.max_control * actions)
        return torch.cat([q + self.dt * p, p], 1)

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        controls = self.max_control * actions
        return ((states**2).sum(1) + self.control_cost * (controls**2).sum(1)) / self.n

    def linear_quadratic(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(A, B, Q, R) of the problem with β = 0: s⁺ = A s + B a + noise w, cost sᵀQ s + aᵀR a."""
        identity = np.eye(self.n)
        laplacian = 2 * identity - np.eye(self.n, k=1) - np.eye(self.n, k=-1)
        laplacian[0, 0] -= 1
        laplacian[-1, -1] -= 1
        to_p = np.hstack([-self.dt * (laplacian - identity), (1 - self.dt * self.damping) * identity])
        A = np.vstack([np.hstack([identity, 0 * identity]) + self.dt * to_p, to_p])
        B = self.max_control * np.vstack([self.dt**2 * identity, self.dt * identity])
        return A, B, np.eye(2 * self.n) / self.n, self.control_cost * self.max_control**2 * identity / self.n
