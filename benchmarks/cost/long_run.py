"""
A training of very many episodes: what a rollout costs at its end against its begin, against the callback that a user would
write by hand (POT's Sinkhorn in `on_rollout_end` over all episodes so far), and how memory grows.

    python -m benchmarks.cost.long_run

Episodes are ten steps of noise for the cost, two steps for the memory: what is measured grows, if it does, with their number.
A rollout's CPU time contains its 1,024 steps of the environment and the policy; nothing is trained.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from scipy.spatial.distance import cdist
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks._lib.study import measure_at_once
from benchmarks._lib.timing import resident_mib
from sb3_wasserstein import WassersteinA2C, WassersteinPPO

DIM = 8
TARGET = np.random.default_rng(0).normal(size=(100, DIM))


class Noise(gym.Env[np.ndarray, np.int64]):
    """Observations are noise, and episodes last ``length`` steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (DIM,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.normal(size=DIM).astype(np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        observation = self.np_random.normal(size=DIM).astype(np.float32)
        return observation, float(action), self.steps >= self.length, False, {}


class ByHand(BaseCallback):
    """Mean states of all episodes so far; their potential at every rollout's end."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings: list[np.ndarray] = []

    def _on_training_start(self) -> None:
        self.sums = np.array(self.model._last_obs, dtype=float)
        self.counts = np.ones(len(self.sums))

    def _on_step(self) -> bool:
        new = self.locals["new_obs"].astype(float)
        for env, done in enumerate(self.locals["dones"]):
            if done:
                last = self.locals["infos"][env]["terminal_observation"]
                self.embeddings.append((self.sums[env] + last) / (self.counts[env] + 1))
                self.sums[env], self.counts[env] = new[env], 1
            else:
                self.sums[env] += new[env]
                self.counts[env] += 1
        return True

    def _on_rollout_end(self) -> None:
        import ot

        costs = cdist(np.array(self.embeddings), TARGET)
        epsilon = 0.05 * float(np.median(costs))
        n, m = costs.shape
        _, log = ot.sinkhorn(np.full(n, 1 / n), np.full(m, 1 / m), costs, epsilon, method="sinkhorn_log", log=True, warn=False)
        self.potential = epsilon * log["log_u"]


class NoTraining(PPO):
    """Notes the CPU seconds of each rollout in place of training."""

    costs: list[float]

    def learn(self, *args: Any, **kwargs: Any) -> Any:
        self.costs, self._begin = [], time.process_time()
        return super().learn(*args, **kwargs)

    def train(self) -> None:
        self.costs.append(time.process_time() - self._begin)
        self._begin = time.process_time()


class OursWithoutTraining(NoTraining, WassersteinPPO):
    """WassersteinPPO, the same way."""


def made_env(length: int) -> DummyVecEnv:
    # Without SB3's Monitor, which keeps three numbers of every episode for ever.
    return DummyVecEnv([lambda: Noise(length)] * 16)


def our_costs(n_rollouts: int) -> list[float]:
    """CPU seconds of each rollout."""
    settings: dict[str, Any] = {"n_steps": 64, "batch_size": 1024, "seed": 0, "device": "cpu"}
    model = OursWithoutTraining("MlpPolicy", made_env(10), target=TARGET, wasserstein_coef=-1.0, **settings)
    model.learn(n_rollouts * 1024)
    return model.costs


def by_hand_costs(n_rollouts: int) -> list[float]:
    model = NoTraining("MlpPolicy", made_env(10), n_steps=64, batch_size=1024, seed=0, device="cpu")
    model.learn(n_rollouts * 1024, ByHand())
    return model.costs


def memory(n_episodes: int) -> list[tuple[int, float]]:
    """(episodes, resident MiB) at every tenth."""
    model = WassersteinA2C("MlpPolicy", made_env(2), target=TARGET, wasserstein_coef=-1.0, n_steps=16, seed=0)
    found = []
    for tenth in range(10):
        model.learn(2 * n_episodes // 10, reset_num_timesteps=tenth == 0)
        gc.collect()
        found.append((model.num_timesteps // 2, resident_mib()))
        print(f"{found[-1][0]} episodes: {found[-1][1]:.1f} MiB", flush=True)
    return found


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    scale = 10 if args.quick else 1
    rows: list[dict[str, object]] = [
        {"what": "memory_mib", "at": episodes, "value": mib} for episodes, mib in memory(100_000 // scale)
    ]
    for name, costs in (("ours_ms", our_costs(100 // scale)), ("by_hand_ms", by_hand_costs(100 // scale))):
        tenth = max(1, len(costs) // 10)
        # The first rollouts fill the window.
        begin, end = (1e3 * float(np.median(part)) for part in (costs[3 : 3 + tenth], costs[-tenth:]))
        print(f"{name}: {begin:.1f} at first, {end:.1f} at the end")
        rows += [{"what": name, "at": i, "value": 1e3 * cost} for i, cost in enumerate(costs)]
    return rows


if __name__ == "__main__":
    sys.exit(measure_at_once(__doc__, "long_run", measure))
