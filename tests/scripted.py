"""Environments in which what happens does not depend on the actions."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SPACES = {
    "discrete": spaces.Discrete(6),
    "box": spaces.Box(-2.0, 2.0, (3,), np.float32),
    "dict": spaces.Dict({"position": spaces.Box(-1.0, 1.0, (2,), np.float32), "mode": spaces.Discrete(3)}),
    "multi_discrete": spaces.MultiDiscrete([3, 2]),
    "multi_binary": spaces.MultiBinary(4),
    "matrix": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
}


class ScriptedEnv(gym.Env):
    """Episode k lasts ``lengths[k % len(lengths)]`` steps; the odd ones are truncated, the others terminate."""

    def __init__(self, space="box", lengths=(3, 7, 5), shift=0.0, seed=0) -> None:
        self.observation_space = SPACES[space]
        self.action_space = spaces.Discrete(2)
        self.lengths = lengths
        self.shift = shift
        self._episode = -1
        self._draws = np.random.default_rng(seed)

    def _observe(self):
        self.observation_space.seed(int(self._draws.integers(2**31)))
        observation = self.observation_space.sample()
        return observation + np.float32(self.shift) if self.shift else observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._episode += 1
        self._step = 0
        return self._observe(), {}

    def step(self, action):
        self._step += 1
        over = self._step >= self.lengths[self._episode % len(self.lengths)]
        odd = self._episode % 2 == 1
        return self._observe(), float(self._draws.normal()), over and not odd, over and odd, {}


class NothingChanges(gym.Env):
    """One observation and no reward, for ``length`` steps; then the episode terminates, or is truncated."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, length, terminates=False, discrete=True) -> None:
        self.action_space = spaces.Discrete(2) if discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.length, self.terminates = length, terminates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.length
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        over = self.left == 0
        return np.ones(1, np.float32), 0.0, over and self.terminates, over and not self.terminates, {}
