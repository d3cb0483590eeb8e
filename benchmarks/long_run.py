"""
A training of very many episodes: what a rollout costs at its end against its begin, against the callback that a user would
write by hand (POT's Sinkhorn in `on_rollout_end` over all episodes so far), and how memory grows.

    python benchmarks/long_run.py [--quick] [--out benchmarks/results/long_run.csv]

Episodes are ten steps of noise for the cost, two steps for the memory: what is measured grows, if it does, with their number.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import gc
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from scipy.spatial.distance import cdist
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WassersteinA2C, WassersteinPPO

DIM = 8
TARGET = np.random.default_rng(0).normal(size=(100, DIM))


class Noise(gym.Env):
    """Observations are noise, and episodes last ``length`` steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (DIM,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.normal(size=DIM).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        observation = self.np_random.normal(size=DIM).astype(np.float32)
        return observation, float(action), self.steps >= self.length, False, {}


class ByHand(BaseCallback):
    """Mean states of all episodes so far; their potential at every rollout's end."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings: list[np.ndarray] = []
        self.costs: list[float] = []

    def _on_training_start(self) -> None:
        self.sums = self.model._last_obs.astype(float)
        self.counts = np.ones(len(self.sums))
        self.spent = 0.0

    def _on_step(self) -> bool:
        begin = time.process_time()
        new = self.locals["new_obs"].astype(float)
        for env, done in enumerate(self.locals["dones"]):
            if done:
                last = self.locals["infos"][env]["terminal_observation"]
                self.embeddings.append((self.sums[env] + last) / (self.counts[env] + 1))
                self.sums[env], self.counts[env] = new[env], 1
            else:
                self.sums[env] += new[env]
                self.counts[env] += 1
        self.spent += time.process_time() - begin
        return True

    def _on_rollout_end(self) -> None:
        import ot

        begin = time.process_time()
        costs = cdist(np.array(self.embeddings), TARGET)
        epsilon = 0.05 * float(np.median(costs))
        n, m = costs.shape
        _, log = ot.sinkhorn(np.full(n, 1 / n), np.full(m, 1 / m), costs, epsilon, method="sinkhorn_log", log=True, warn=False)
        self.potential = epsilon * log["log_u"]
        self.costs.append(self.spent + time.process_time() - begin)
        self.spent = 0.0


def our_costs(n_rollouts: int) -> tuple[list[float], int]:
    """CPU seconds inside our code, a rollout."""
    costs = [0.0]

    class Timed(WassersteinPPO):
        def _update_info_buffer(self, infos, dones=None):
            begin = time.process_time()
            super()._update_info_buffer(infos, dones)
            costs[-1] += time.process_time() - begin

        def _add_bonus(self, buffer, behaviour):
            begin = time.process_time()
            super()._add_bonus(buffer, behaviour)
            costs[-1] += time.process_time() - begin

        def train(self):
            costs.append(0.0)

    model = Timed("MlpPolicy", made_env(10), target=TARGET, wasserstein_coef=-1.0, n_steps=64, batch_size=1024, seed=0)
    end_rollout = model.dual_callback.end_rollout

    def timed_end(*args):
        begin = time.process_time()
        end_rollout(*args)
        costs[-1] += time.process_time() - begin

    model.dual_callback.end_rollout = timed_end
    model.learn(n_rollouts * 1024)
    return costs[:n_rollouts], model.dual_callback.window.seen


def made_env(length: int):
    # Without SB3's Monitor, which keeps three numbers of every episode for ever.
    return DummyVecEnv([lambda: Noise(length)] * 16)


def by_hand_costs(n_rollouts: int) -> list[float]:
    class NoTraining(PPO):
        def train(self):
            pass

    callback = ByHand()
    NoTraining("MlpPolicy", made_env(10), n_steps=64, batch_size=1024, seed=0).learn(n_rollouts * 1024, callback)
    return callback.costs


def memory(n_episodes: int) -> list[tuple[int, float]]:
    """(episodes, resident MiB) at every tenth."""
    model = WassersteinA2C("MlpPolicy", made_env(2), target=TARGET, wasserstein_coef=-1.0, n_steps=16, seed=0)
    found = []
    for tenth in range(10):
        model.learn(2 * n_episodes // 10, reset_num_timesteps=tenth == 0)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found.append((model.dual_callback.window.seen, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
        print(f"{found[-1][0]:7d} episodes  {found[-1][1]:.1f} MiB", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: a tenth of everything")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    th.set_num_threads(1)
    scale = 10 if args.quick else 1
    n_rollouts = 100 // scale
    rows = [("memory_mib", episodes, round(mib, 1)) for episodes, mib in memory(100_000 // scale)]
    ours, episodes = our_costs(n_rollouts)
    tenth = max(1, n_rollouts // 10)
    # The first rollout fills the window: from then on its size is the same.
    first, last = np.median(ours[3 : 3 + tenth]), np.median(ours[-tenth:])
    print(
        f"ours: {1e3 * first:.2f} ms a rollout at first, {1e3 * last:.2f} at the end ({episodes} episodes): {last / first:.3f}"
    )
    rows += [("ours_ms", i, round(1e3 * cost, 3)) for i, cost in enumerate(ours)]
    try:
        theirs = by_hand_costs(n_rollouts)
    except ImportError:
        print("POT is not installed: nothing to compare with (pip install pot)")
    else:
        begin, end = np.median(theirs[:tenth]), np.median(theirs[-tenth:])
        print(f"by hand: {1e3 * begin:.2f} ms at first, {1e3 * end:.2f} at the end: ours is {end / last:.0f} x cheaper")
        rows += [("by_hand_ms", i, round(1e3 * cost, 3)) for i, cost in enumerate(theirs)]
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["what", "at", "value"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
