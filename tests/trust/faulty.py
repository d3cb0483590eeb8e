"""An environment that goes wrong when it is told to, and one whose state can be taken along."""

import os
import signal

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Faulty(gym.Env):
    """
    Noise, five steps an episode. At step ``at`` of its life it does ``what``: raises in ``step`` or in the next ``reset``,
    returns NaN or infinity, is interrupted, or dies.
    """

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, what="nothing", at=20) -> None:
        self.what, self.at, self.life = what, at, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        if self.what == "reset" and self.life >= self.at:
            raise RuntimeError("the door is shut")
        return self._observed(), {}

    def step(self, action):
        self.life += 1
        self.time += 1
        observation, reward = self._observed(), float(self.np_random.normal())
        if self.life == self.at:
            if self.what == "step":
                raise RuntimeError("the motor is on fire")
            if self.what == "interrupt":
                raise KeyboardInterrupt
            if self.what == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            observation, reward = {
                "nan_observation": (observation * np.float32("nan"), reward),
                "inf_observation": (observation * np.float32("inf"), reward),
                "nan_reward": (observation, float("nan")),
                "inf_reward": (observation, float("inf")),
            }.get(self.what, (observation, reward))
        return observation, reward, False, self.time >= 5, {}

    def _observed(self):
        return self.np_random.normal(size=2).astype(np.float32)


class Restorable(gym.Env):
    """A walk whose whole state, generator included, can be taken out and put back."""

    observation_space = spaces.Box(-50, 50, (2,), np.float32)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.normal(size=2), 0
        return self.place.astype(np.float32), {}

    def step(self, action):
        self.place = self.place + 0.1 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[action]
        self.place += 0.05 * self.np_random.normal(size=2)
        self.time += 1
        return self.place.astype(np.float32), float(-np.abs(self.place).sum()), False, self.time >= 7, {}

    def state(self):
        return self.np_random.bit_generator.state, self.place.copy(), self.time

    def restore(self, state) -> None:
        generator, place, self.time = state
        self.np_random.bit_generator.state = generator
        self.place = place.copy()
