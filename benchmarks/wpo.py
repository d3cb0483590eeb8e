"""
WPO against SB3's SAC with the same networks and rates: Pendulum-v1, and Box2D and MuJoCo tasks as a slow study.

    python benchmarks/wpo.py [--quick] [--study pendulum variants slow] [--seeds 5] [--csv FILE]

Each row is one training; rows that the CSV holds are not trained again, so that a study can be stopped and resumed. The score
is the mean return of the deterministic policy over fixed starts (100 on Pendulum-v1, those of benchmarks/flow.py; 20
elsewhere). Seconds are CPU seconds of the training alone, in one thread: the machine may be shared. The slow study wants
``gymnasium[box2d,mujoco]`` and hours.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from rows import Rows
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WPO

SMALL = {"learning_rate": 1e-3, "batch_size": 128, "policy_kwargs": {"net_arch": [64, 64]}}
# The same networks and rates, eight updates after every eight steps; the fused Adam only saves time.
SLOW = {
    **SMALL,
    "learning_starts": 10_000,
    "train_freq": 8,
    "gradient_steps": 8,
    "policy_kwargs": {"net_arch": [64, 64], "optimizer_kwargs": {"fused": True}},
}


def falling(progress_remaining):
    """To a tenth, for both algorithms."""
    return 1e-3 * max(progress_remaining, 0.1)


# At .99 either forgets more often how to brake a pendulum that turns at full speed.
PENDULUM = {**SMALL, "learning_rate": falling, "gamma": 0.98}
MILESTONES = (10_000, 20_000, 30_000, 40_000, 50_000)
TASKS = {
    "Pendulum-v1": (PENDULUM, 10_000, (2_000, 4_000, 6_000, 8_000, 10_000), 100),
    "HalfCheetah-v5": (SLOW, 50_000, MILESTONES, 20),
    "LunarLanderContinuous-v3": (SLOW, 50_000, MILESTONES, 20),
}
VARIANTS = {
    "sac": (SAC, {}),
    "wpo": (WPO, {}),
    "wpo-16-samples": (WPO, {"n_action_samples": 16}),
    "wpo-8-samples": (WPO, {"n_action_samples": 8}),
    "wpo-2-samples": (WPO, {"n_action_samples": 2}),
    "wpo-1-sample": (WPO, {"n_action_samples": 1}),
    "wpo-no-entropy": (WPO, {"ent_coef": 0.0}),
    "wpo-mixture": (WPO, {"actor": "mixture"}),
    "wpo-particles": (WPO, {"actor": "particles"}),
    "wpo-w2": (WPO, {"prox": "w2"}),
    "wpo-kl": (WPO, {"prox": "kl", "prox_coef": 0.1}),
    "wpo-cbrt": (WPO, {"squash_velocity": "cbrt"}),
    "wpo-natural": (WPO, {"natural_gradient": True}),
}
KEYS = ["task", "variant", "seed"]
RESULTS = [*(f"score_{i}" for i in range(1, 6)), "cpu_seconds"]


def score(model, task, episodes):
    """Mean return from the starts of seeds 0, 1, …, all at once."""
    vec = DummyVecEnv([lambda: gym.make(task)] * episodes)
    vec.seed(0)
    observations, running = vec.reset(), np.ones(episodes, dtype=bool)
    returns = np.zeros(episodes)
    while running.any():
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, dones, _ = vec.step(actions)
        returns += running * rewards
        running &= ~dones
    vec.close()
    return float(returns.mean())


class Judge(BaseCallback):
    """Scores at the milestones, and the seconds that they take."""

    def __init__(self, task, milestones, episodes):
        super().__init__()
        self.task, self.milestones, self.episodes = task, milestones, episodes
        self.scores, self.seconds = [], 0.0

    def _on_step(self):
        if self.num_timesteps in self.milestones:
            clock = time.process_time()
            generator = torch.get_rng_state()
            self.scores.append(score(self.model, self.task, self.episodes))
            torch.set_rng_state(generator)
            self.seconds += time.process_time() - clock
        return True


def train(task, variant, seed, quick):
    kwargs, steps, milestones, episodes = TASKS[task]
    if quick:
        steps, milestones, episodes = 500, (100, 200, 300, 400, 500), 2
    algorithm, extra = VARIANTS[variant]
    judge = Judge(task, milestones, episodes)
    clock = time.process_time()
    algorithm("MlpPolicy", task, seed=seed, **kwargs, **extra).learn(steps, callback=judge)
    row = {f"score_{i}": f"{value:.1f}" for i, value in enumerate(judge.scores, 1)}
    return row | {"cpu_seconds": f"{time.process_time() - clock - judge.seconds:.1f}"}


def plan(studies, seeds):
    if "pendulum" in studies:
        yield from (("Pendulum-v1", variant, seed) for seed in seeds for variant in ("wpo", "sac"))
    if "variants" in studies:
        yield from (("Pendulum-v1", variant, seed) for variant in list(VARIANTS)[2:] for seed in seeds[:2])
    if "slow" in studies:
        tasks = ("HalfCheetah-v5", "LunarLanderContinuous-v3")
        yield from ((task, variant, seed) for seed in seeds for task in tasks for variant in ("wpo", "sac"))


def summary(rows):
    for task in TASKS:
        for variant in VARIANTS:
            found = [row for row in rows if (row["task"], row["variant"]) == (task, variant)]
            if found:
                scores = np.array([[float(row[f"score_{i}"]) for i in range(1, 6)] for row in found])
                middle = np.sort(scores, 0)[len(found) // 4 : len(found) - len(found) // 4].mean(0)
                seconds = np.mean([float(row["cpu_seconds"]) for row in found])
                print(f"{task} {variant}: {len(found)} seeds, {seconds:.0f} s")
                for name, values in (("mean", scores.mean(0)), ("worst", scores.min(0)), ("interquartile mean", middle)):
                    print(f"    {name:18} " + " ".join(f"{value:8.1f}" for value in values))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--study", nargs="+", default=["pendulum"], choices=["pendulum", "variants", "slow"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(args.csv, KEYS, RESULTS)
    for key in plan(args.study, range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds))):
        rows.add(dict(zip(KEYS, key, strict=True)), partial(train, *key, args.quick))
    summary(rows.rows)


if __name__ == "__main__":
    main()
