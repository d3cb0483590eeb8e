"""A runner on a line: |speed| is the reward, left and right are as good as each other."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

DRAG, PUSH, HORIZON = 0.1, 0.1, 100
#: the return of a runner that pushes one way all the time
BEST = float(sum(PUSH / DRAG * (1 - (1 - DRAG) ** step) for step in range(1, HORIZON + 1)))


class Runner(gym.Env[np.ndarray, np.ndarray]):
    """Observation: (speed,), within [−1, 1]; action: the push, within [−1, 1]; 100 steps."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.1, 1.1, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._speed, self._steps = 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._speed, self._steps = float(self.np_random.uniform(-0.05, 0.05)), 0
        return np.array([self._speed], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._speed += PUSH * float(np.clip(action[0], -1.0, 1.0)) - DRAG * self._speed
        return np.array([self._speed], np.float32), abs(self._speed), False, self._steps >= HORIZON, {}
