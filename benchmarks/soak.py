"""
A training that runs for long, and what it is paid in: noise, spikes of 1e6, constants, behaviours that are all one, and
behaviours that collapse to a point and spread again.

    python benchmarks/soak.py [--quick] [--out benchmarks/results/soak.csv]

WassersteinA2C with λ = 1 on sixteen environments whose episodes last 20 steps; the first case is 2e6 steps, 1e5 episodes.
Growth of the resident memory and CPU time a rollout are taken after the first tenth, at twenty points. What is in the CSV is
not run again. About six minutes of CPU.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import gc
import time
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from rows import RESULTS, Rows
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WassersteinA2C

DIM = 4
N_ENVS = 16
ROLLOUT = 16 * N_ENVS
CASES = {"noise": 2_000_000, "spikes": 200_000, "constant": 200_000, "equal": 200_000, "collapse": 200_000}
RESULT = ["steps", "episodes", "memory_mib", "memory_growth", "rollout_ms", "rollout_ratio", "finite", "largest_coef"]


class Adversary(gym.Env):
    """Observations of noise, for twenty steps; what is unusual about it, the case says."""

    observation_space = spaces.Box(-np.inf, np.inf, (DIM,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, case: str, period: int = 2_000) -> None:
        self.case, self.period, self.life = case, period, 0

    def _observe(self):
        gone = self.case == "equal" or (self.case == "collapse" and self.life // self.period % 2 == 1)
        return np.zeros(DIM, np.float32) if gone else self.np_random.normal(size=DIM).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.life += 1
        self.time += 1
        reward = float(action) + 0.1 * self.np_random.normal()
        if self.case == "spikes" and self.np_random.random() < 0.01:
            reward = 1e6 * self.np_random.choice([-1.0, 1.0])
        return self._observe(), 1.0 if self.case == "constant" else reward, self.time >= 20, False, {}


def soak(case: str, n_steps: int) -> dict[str, float]:
    """One training in twenty parts. :return: what it cost at its begin and at its end"""
    # Without SB3's Monitor, which keeps three numbers of every episode for ever.
    env = DummyVecEnv([lambda: Adversary(case)] * N_ENVS)
    target = np.random.default_rng(0).normal(size=(32, DIM))
    model = WassersteinA2C("MlpPolicy", env, target=target, wasserstein_coef=1.0, n_steps=16, seed=0, device="cpu")
    memory, cost, coefs = [], [], []
    for part in range(20):
        begin = time.process_time()
        model.learn(n_steps // 20, reset_num_timesteps=part == 0)
        cost.append(1e3 * (time.process_time() - begin) / (n_steps // 20 / ROLLOUT))
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        coefs.append(model.dual_callback.scales.episode_return / model.dual_callback.scales.ground_cost)
    finite = all(bool(th.isfinite(p).all()) for p in model.policy.parameters()) and np.isfinite(model.embeddings).all()
    first, last = np.median(cost[2:7]), np.median(cost[-5:])
    print(f"{case}: " + " ".join(f"{mib:.1f}" for mib in memory), flush=True)
    return {
        "steps": model.num_timesteps,
        "episodes": model.dual_callback.window.seen,
        "memory_mib": memory[-1],
        "memory_growth": round(1e4 * (memory[-1] / memory[1] - 1)) / 1e4,
        "rollout_ms": last,
        "rollout_ratio": last / first,
        "finite": float(finite and np.isfinite(coefs).all()),
        "largest_coef": max(coefs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: a hundredth of everything")
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.csv")
    args = parser.parse_args()
    th.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = Rows(None if args.quick else args.out, ["case"], RESULT)
    for case, n_steps in CASES.items():
        rows.add({"case": case}, lambda: soak(case, n_steps // (100 if args.quick else 1)))  # noqa: B023


if __name__ == "__main__":
    main()
