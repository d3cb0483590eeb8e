"""Control problems with equations: one batched definition for the environment and for the flows."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_count


class ControlTask(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """
    An endless control problem ``s' = dynamics(s, a) + noise w``, w standard normal, with reward −cost(s, a).

    Subclasses give :meth:`dynamics` and :meth:`cost` as batched torch functions of any floating dtype, in the environment's
    own actions: what :class:`~sb3_wasserstein.flow.ParticleFlow` and :class:`~sb3_wasserstein.flow.NaturalGradient` take. The
    observation is the state. An episode starts from N(0, initial_std²), is ``truncated`` after ``horizon`` steps, and never
    ends otherwise; the state is clipped to ± ``state_limit``, far outside of where a sensible policy goes.

    :param noise: (d, m) matrix, or (d,) standard deviations
    :param initial_std: standard deviation of every coordinate at the start
    :param state_limit: where the environment clips the state
    :param n_actions: dimension of the action, in [−1, 1] each
    :param horizon: number of steps
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import torch
        >>> from sb3_wasserstein.envs import NonlinearRegulator
        >>> task = NonlinearRegulator()
        >>> task.dynamics(torch.zeros(5, 1), torch.zeros(5, 1)).shape, task.cost(torch.zeros(5, 1), torch.zeros(5, 1)).shape
        (torch.Size([5, 1]), torch.Size([5]))
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        noise: NDArray[np.float64],
        initial_std: float,
        state_limit: float,
        n_actions: int,
        horizon: int,
        render_mode: str | None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be "rgb_array" or None; got {render_mode!r}')
        self.noise = noise
        self.initial_std = initial_std
        self.state_limit = state_limit
        self.horizon = check_count("horizon", horizon)
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-state_limit, state_limit, (len(noise),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (n_actions,), np.float32)
        self.state: NDArray[np.float64] = np.zeros(len(noise))
        self._steps = 0

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Next states without the noise, (B, d), of states (B, d) and actions (B, k)."""
        raise NotImplementedError

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Cost of the step, (B,)."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = np.clip(
            self.initial_std * self.np_random.standard_normal(len(self.noise)), -self.state_limit, self.state_limit
        )
        self._steps = 0
        return self.state.astype(np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        state = torch.as_tensor(self.state)[None]
        clipped = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
        if clipped.shape != self.action_space.shape or np.isnan(clipped).any():
            raise ValueError(f"action must lie in {self.action_space}; got {action!r}")
        taken = torch.as_tensor(clipped)[None]
        with torch.no_grad():
            cost = float(self.cost(state, taken))
            mean = self.dynamics(state, taken)[0].numpy()
        if self.noise.ndim == 2:
            shock = self.noise @ self.np_random.standard_normal(self.noise.shape[1])
        else:
            shock = self.noise * self.np_random.standard_normal(len(self.noise))
        self.state = np.clip(mean + shock, -self.state_limit, self.state_limit)
        self._steps += 1
        return self.state.astype(np.float32), -cost, False, self._steps >= self.horizon, {}

    def render(self) -> NDArray[np.uint8] | None:
        """The coordinates of the state as bars around zero; full height is three times ``initial_std``."""
        if self.render_mode is None:
            return None
        size, d = 120, len(self.state)
        width = max(1, 160 // d)
        image = np.full((size, width * d, 3), 255, dtype=np.uint8)
        tops = np.clip(size / 2 * (1 - self.state / (3 * self.initial_std)), 0, size).astype(int)
        for i, top in enumerate(tops):
            low, high = sorted((top, size // 2))
            image[low : high + 1, i * width : (i + 1) * width] = (200, 0, 0)
        return image
