"""A scalar plant with two wells, held on the hill between them; the problem is ours, after Dus (arXiv 2604.14765)."""

from __future__ import annotations

import numpy as np
import torch

from sb3_wasserstein._validation import check_number
from sb3_wasserstein.envs.control import ControlTask


class NonlinearRegulator(ControlTask):
    """
    ``x⁺ = x + dt (x − β x³ + u) + noise √dt w`` with cost ``dt (x² + .1 u²)``, u = 10 times the action.

    Uncontrolled, x = 0 is unstable, and x = ± 1 / √β is where the plant goes; with β = 0 it is linear–quadratic.

    :param beta: β ≥ 0
    :param noise: standard deviation of the disturbance per square root of time
    :param dt: time step
    :param horizon: number of steps of an episode
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/NonlinearRegulator-v0")
        >>> env.observation_space.shape, env.action_space.shape
        ((1,), (1,))
    """

    max_control = 10.0

    def __init__(
        self, beta: float = 1.0, noise: float = 0.5, dt: float = 0.1, horizon: int = 200, render_mode: str | None = None
    ) -> None:
        if check_number("beta", beta) < 0:
            raise ValueError(f"beta must be finite and >= 0; got {beta!r}")
        if check_number("noise", noise) < 0:
            raise ValueError(f"noise must be finite and >= 0; got {noise!r}")
        if not 0 < check_number("dt", dt) <= 0.1:
            raise ValueError(f"dt must lie in (0, 0.1], where the plant's discretisation is stable; got {dt!r}")
        self.beta = float(beta)
        self.dt = float(dt)
        super().__init__(np.array([noise * np.sqrt(dt)]), 0.5, 3.0, 1, horizon, render_mode)

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return states + self.dt * (states - self.beta * states**3 + self.max_control * actions)

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.dt * (states[:, 0] ** 2 + 0.1 * (self.max_control * actions[:, 0]) ** 2)
