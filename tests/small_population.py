"""A population that trains in a second."""

import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO

from sb3_wasserstein import Population
from sb3_wasserstein.envs import Goals

PPO_KWARGS = {"n_steps": 48, "batch_size": 96, "n_epochs": 2, "gamma": 1.0, "learning_rate": 3e-3, "device": "cpu"}
ROUND = 48 * 4


def make(n_policies=2, env=Goals, **kwargs):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not repel.*")
        return Population(PPO, "MlpPolicy", env, n_policies, **{"n_envs": 4, "seed": 3, **PPO_KWARGS, **kwargs})


def parameters(population):
    return [np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()]) for model in population.models]


class FromOrigin(Goals):
    """Begins at the origin, so that nothing of it needs saving between episodes."""

    def __init__(self, slow=0.0) -> None:
        super().__init__()
        self.slow = slow

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self._position = np.zeros(2)
        return self._position.astype(np.float32), {}

    def step(self, action):
        if self.slow:
            time.sleep(self.slow)
        return super().step(action)


class OddError(ValueError):
    """Cannot be made again from its message."""

    def __init__(self, name, value) -> None:
        super().__init__(f"{name} is {value}")


class Ordered(FromOrigin):
    """The first environment that finds the file ``orders`` removes it, and does what it says."""

    def __init__(self, orders) -> None:
        super().__init__()
        self.orders = Path(orders)
        if self.orders.name == "now":
            raise OddError("speed", "too large")

    def step(self, action):
        with suppress(FileNotFoundError):
            order = self.orders.read_text()
            self.orders.unlink()
            if order == "raise":
                raise OddError("speed", "too large")
            if order == "interrupt":
                raise KeyboardInterrupt
            if order == "exit":
                sys.exit(3)
            if order == "die":
                os._exit(3)
            if order == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if order == "hang":
                time.sleep(1000)
        return super().step(action)


class Faulty(gym.Env):
    """Raises in ``step`` after so many steps, in the environments that were seeded with an odd number."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, after=100) -> None:
        self.after, self.steps, self.odd = after, 0, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.odd = seed % 2 == 1
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        self.time += 1
        if self.odd and self.steps > self.after:
            raise ValueError("the motor is on fire")
        return self.observation_space.sample(), float(self.steps % 7), False, self.time >= 5, {}
