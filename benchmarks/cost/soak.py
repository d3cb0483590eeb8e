"""
A training that runs for long, and what it is paid in: noise, spikes of 1e6, constants, behaviours that are all one, and
behaviours that collapse to a point and spread again.

    python -m benchmarks.cost.soak      # about six CPU-minutes

WassersteinA2C with λ = 1 on sixteen environments whose episodes last 20 steps; the first case is 2e6 steps, 1e5 episodes.
Growth of the resident memory and CPU time a rollout are taken after the first tenth, at twenty points. ``largest_coef`` is the
largest effective coefficient that was logged.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study
from benchmarks._lib.timing import resident_mib
from sb3_wasserstein import WassersteinA2C

DIM = 4
N_ENVS = 16
ROLLOUT = 16 * N_ENVS
EPISODE = 20
CASES = {"noise": 2_000_000, "spikes": 200_000, "constant": 200_000, "equal": 200_000, "collapse": 200_000}


class Coefficients(KVWriter):
    """The effective coefficients that are logged."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        if "wasserstein/coef_effective" in key_values:
            self.found.append(key_values["wasserstein/coef_effective"])

    def close(self) -> None:
        pass


class Adversary(gym.Env[np.ndarray, np.int64]):
    """Observations of noise, for ``EPISODE`` steps; what is unusual about it, the case says."""

    observation_space = spaces.Box(-np.inf, np.inf, (DIM,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, case: str, period: int = 2_000) -> None:
        self.case, self.period, self.life = case, period, 0

    def _observe(self) -> np.ndarray:
        gone = self.case == "equal" or (self.case == "collapse" and self.life // self.period % 2 == 1)
        return np.zeros(DIM, np.float32) if gone else self.np_random.normal(size=DIM).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.life += 1
        self.time += 1
        reward = float(action) + 0.1 * self.np_random.normal()
        if self.case == "spikes" and self.np_random.random() < 0.01:
            reward = 1e6 * self.np_random.choice([-1.0, 1.0])
        return self._observe(), 1.0 if self.case == "constant" else reward, self.time >= EPISODE, False, {}


def soak(case: str, quick: bool) -> dict[str, Value]:
    """One training in twenty parts: what it cost at its begin and at its end."""
    n_steps = CASES[case] // (100 if quick else 1)
    # Without SB3's Monitor, which keeps three numbers of every episode for ever.
    env = DummyVecEnv([lambda: Adversary(case)] * N_ENVS)
    target = np.random.default_rng(0).normal(size=(32, DIM))
    model = WassersteinA2C("MlpPolicy", env, target=target, wasserstein_coef=1.0, n_steps=16, seed=0, device="cpu")
    coefs = Coefficients()
    model.set_logger(Logger(None, [coefs]))
    memory, cost = [], []
    for part in range(20):
        begin = time.process_time()
        with warnings.catch_warnings():
            # Where rewards are constant the returns do not differ, which is what the case is about.
            warnings.simplefilter("ignore")
            model.learn(n_steps // 20, log_interval=1 if quick else 10, reset_num_timesteps=part == 0)
        cost.append(1e3 * (time.process_time() - begin) / (n_steps // 20 / ROLLOUT))
        gc.collect()
        memory.append(resident_mib())
    finite = all(bool(th.isfinite(p).all()) for p in model.policy.parameters()) and np.isfinite(model.embeddings).all()
    first, last = float(np.median(cost[2:7])), float(np.median(cost[-5:]))
    return {
        "steps": model.num_timesteps,
        "episodes": model.num_timesteps // EPISODE,
        "memory_mib": memory[-1],
        "memory_growth": memory[-1] / memory[1] - 1,
        "rollout_ms": last,
        "rollout_ratio": last / first,
        "finite": float(finite and np.isfinite(coefs.found).all()),
        "largest_coef": max(coefs.found),
    }


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for case in CASES:
        yield {"case": case}, partial(soak, case, args.quick)


if __name__ == "__main__":
    results = ["steps", "episodes", "memory_mib", "memory_growth", "rollout_ms", "rollout_ratio", "finite", "largest_coef"]
    columns = {name: mean(name) for name in results}
    sys.exit(Study(__doc__, "soak", ["case"], results, runs, ["case"], columns).main())
