"""
WPO against SB3's SAC with the same networks and rates: Pendulum-v1, and Box2D and MuJoCo tasks as a slow study.

    python -m benchmarks.wpo.control --first-seed 20 --seeds 10
    python -m benchmarks.wpo.control --study slow       # wants gymnasium[box2d,mujoco], and an hour

Each row is one training. The score is the mean return of the deterministic policy over fixed starts (100 on Pendulum-v1,
those of ``flow/particles.py``; 20 elsewhere). ``cpu_seconds`` is of the training alone, in one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean, middle
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import WPO

SMALL: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 128, "policy_kwargs": {"net_arch": [64, 64]}}
# The same networks and rates, eight updates after every eight steps; the fused Adam only saves time.
SLOW = {
    **SMALL,
    "learning_starts": 10_000,
    "train_freq": 8,
    "gradient_steps": 8,
    "policy_kwargs": {"net_arch": [64, 64], "optimizer_kwargs": {"fused": True}},
}


def falling(progress_remaining: float) -> float:
    """To a tenth, for both algorithms."""
    return 1e-3 * max(progress_remaining, 0.1)


# At .99 either forgets more often how to brake a pendulum that turns at full speed.
PENDULUM = {**SMALL, "learning_rate": falling, "gamma": 0.98}
MILESTONES = (10_000, 20_000, 30_000, 40_000, 50_000)
TASKS: dict[str, tuple[dict[str, Any], int, tuple[int, ...], int]] = {
    "Pendulum-v1": (PENDULUM, 10_000, (2_000, 4_000, 6_000, 8_000, 10_000), 100),
    "HalfCheetah-v5": (SLOW, 50_000, MILESTONES, 20),
    "LunarLanderContinuous-v3": (SLOW, 50_000, MILESTONES, 20),
}
VARIANTS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
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


def score(model: BaseAlgorithm, task: str, episodes: int) -> float:
    """Mean return from the starts of seeds 0, 1, …, all at once."""
    vec = DummyVecEnv([lambda: gym.make(task)] * episodes)
    vec.seed(0)
    observations: Any = vec.reset()
    running = np.ones(episodes, dtype=bool)
    returns = np.zeros(episodes)
    while running.any():
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, dones, _ = vec.step(actions)
        returns += running * rewards
        running &= ~dones
    vec.close()
    return float(returns.mean())


class Scores(BaseCallback):
    """Scores at the milestones, and the seconds that they take."""

    def __init__(self, task: str, milestones: tuple[int, ...], episodes: int) -> None:
        super().__init__()
        self.task, self.milestones, self.episodes = task, milestones, episodes
        self.scores: list[float] = []
        self.seconds = 0.0

    def _on_step(self) -> bool:
        if self.num_timesteps in self.milestones:
            clock = time.process_time()
            generator = torch.get_rng_state()
            self.scores.append(score(self.model, self.task, self.episodes))
            torch.set_rng_state(generator)
            self.seconds += time.process_time() - clock
        return True


def train(task: str, variant: str, seed: int, quick: bool) -> dict[str, Value]:
    kwargs, steps, milestones, episodes = TASKS[task]
    if quick:
        steps, milestones, episodes = 500, (100, 200, 300, 400, 500), 2
    algorithm, extra = VARIANTS[variant]
    scores = Scores(task, milestones, episodes)
    clock = time.process_time()
    algorithm("MlpPolicy", task, seed=seed, **kwargs, **extra).learn(steps, callback=scores)
    row: dict[str, Value] = {f"score_{i}": f"{value:.1f}" for i, value in enumerate(scores.scores, 1)}
    return row | {"cpu_seconds": f"{time.process_time() - clock - scores.seconds:.1f}"}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", nargs="+", default=["pendulum"], choices=["pendulum", "variants", "slow"])


def runs(args: argparse.Namespace) -> Iterator[Run]:
    keys: list[tuple[str, str, int]] = []
    if "pendulum" in args.study:
        keys += [("Pendulum-v1", variant, seed) for seed in args.seeds for variant in ("wpo", "sac")]
    if "variants" in args.study:
        keys += [("Pendulum-v1", variant, seed) for variant in list(VARIANTS)[2:] for seed in args.seeds[:2]]
    if "slow" in args.study:
        tasks = ("HalfCheetah-v5", "LunarLanderContinuous-v3")
        keys += [(task, variant, seed) for seed in args.seeds for task in tasks for variant in ("wpo", "sac")]
    for key in keys:
        yield dict(zip(KEYS, key, strict=True)), partial(train, *key, args.quick)


if __name__ == "__main__":
    columns = {**{f"score {i}": middle(f"score_{i}") for i in (3, 5)}, "CPU s": mean("cpu_seconds")}
    sys.exit(Study(__doc__, "wpo", KEYS, RESULTS, runs, KEYS[:2], columns, 5, options).main())
