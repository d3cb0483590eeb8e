"""
Populations of SB3's PPO in the plane: one coefficient and one set of settings for every layout.

    python -m benchmarks.repulsion.ppo                          # 20 seeds of the named layouts, 7 CPU-minutes a seed
    python -m benchmarks.repulsion.ppo --layouts 20             # random layouts of 2 to 5 goals, drawn from --layout-seed
    python -m benchmarks.repulsion.ppo --coef 0                 # the control: members that do not see each other

"full" as in ``plane.py``. A seed goes through all layouts before the next one. The inverse reward comes times 15: the spread
of an untrained policy's returns is then about that of the negative distance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from benchmarks._lib.rows import Row, Value
from benchmarks._lib.statistics import count, mean
from benchmarks._lib.study import Run, Study
from benchmarks.claims import RANDOM_SINCE, drawn_afterwards, full
from benchmarks.repulsion.layouts import HORIZON, LAYOUTS, Layout, Plane, outcome, random_layout
from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.envs import Goals

REWARDS = {"negative_distance": 1.0, "inverse": 15.0}
COEF = 3.6
#: the end of the wall of ``layouts.py`` lies on a diagonal, and traps PPO: its mean saturates in the corner of the box
LAYOUTS = {**LAYOUTS, "wall": Layout([(0.0, 1.4)], 2, (((-0.05, 0.35), (0.2, 0.35)),), equal=False)}
#: 96 episodes a rollout
SETTINGS: dict[str, Any] = {
    "n_envs": 16, "n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 1.0, "ent_coef": 0.01,
}  # fmt: skip
ROUND = 96 * 16


class Scaled(Goals):
    """Goals with the reward in another unit."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, REWARDS[self.reward] * reward, terminated, truncated, info


def path_of(model: BaseAlgorithm, layout: Layout, reward: str) -> tuple[np.ndarray, float]:
    """The path of the mean actions from the origin, and its return."""
    plane, position, path, total = Plane([layout], reward), th.zeros(1, 1, 2), [np.zeros(2)], 0.0
    for _ in range(HORIZON):
        action, _ = model.predict(path[-1].astype(np.float32), deterministic=True)
        position, gained = plane.step(position, th.as_tensor(action)[None, None])
        path.append(position[0, 0].double().numpy())
        total += REWARDS[reward] * float(gained)
    return np.stack(path), total


def run(layout: Layout, reward: str, coef: float, seed: int, rounds: int) -> dict[str, Value]:
    population = Population(
        PPO,
        "MlpPolicy",
        Scaled,
        layout.n_policies,
        wasserstein_coef=coef,
        embedding=StateOccupancy(horizon=HORIZON),
        env_kwargs={"reward": reward, **layout.env_kwargs()},
        seed=seed,
        device="cpu",
        **SETTINGS,
    )
    population.learn(rounds * ROUND)
    found = [path_of(model, layout, reward) for model in population.models]
    full, goals = outcome(layout, np.stack([path for path, _ in found]))
    return {
        "full": str(bool(full)),
        "goals": " ".join(map(str, goals)),
        "returns": " ".join(f"{total:.2f}" for _, total in found),
        "fresh_starts": sum(population.exchange.restarts.values()),
    }


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layouts", type=int, default=0, help="random layouts, one seed and one of the rewards each, instead")
    parser.add_argument("--layout-seed", type=int, default=RANDOM_SINCE)
    parser.add_argument("--rewards", nargs="+", choices=list(REWARDS), default=list(REWARDS))
    parser.add_argument("--coef", type=float, default=COEF)
    parser.add_argument("--rounds", type=int, default=160)


def runs(args: argparse.Namespace) -> Iterator[Run]:
    tasks = [(name, LAYOUTS[name], reward, seed) for seed in args.seeds for reward in args.rewards for name in LAYOUTS]
    if args.layouts:
        numbers = range(args.layout_seed, args.layout_seed + args.layouts)
        tasks = [(f"random{number}", random_layout(number), list(REWARDS)[k % 2], k) for k, number in enumerate(numbers)]
    for name, layout, reward, seed in tasks:
        key = {"layout": name, "reward": reward, "coef": args.coef, "seed": seed}
        yield key, partial(run, layout, reward, args.coef, seed, 2 if args.quick else args.rounds)


def named(rows: list[Row]) -> list[Row]:
    """Random layouts as one, and as another one those that were drawn before the settings were fixed."""

    def name(row: Row) -> str:
        return row["layout"] if row["layout"] in LAYOUTS else "random" if drawn_afterwards(row) else "earlier"

    return [{**row, "layout": name(row)} for row in rows]


if __name__ == "__main__":
    columns = {"full": count(full), "fresh starts": mean("fresh_starts"), "CPU s": mean("cpu_s")}
    keys, results = ["layout", "reward", "coef", "seed"], ["full", "goals", "returns", "fresh_starts"]
    sys.exit(Study(__doc__, "repulsion_ppo", keys, results, runs, keys[:3], columns, 20, options, named).main())
