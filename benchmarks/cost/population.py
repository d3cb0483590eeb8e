"""
What a population costs: several processes against one, and the share of a round that members' distances take.

    python -m benchmarks.cost.population        # wants two idle cores for at least three minutes

"processes": 4 policies, serial and in processes by turns, since a shared machine's pace changes; ``ratio`` is of the
wall-clock times, ``at_best`` that of two halves that exchange nothing: what the cores, caches and memory allow. "pairs": 32
policies with about 100 episodes each; ``share`` is the CPU time spent on the distances and potentials between members.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import PPO

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import only
from benchmarks._lib.study import Run, Study
from benchmarks._lib.timing import Sampler
from sb3_wasserstein import Population
from sb3_wasserstein.envs import Goals

#: 96 episodes of 16 steps a rollout
SETTINGS: dict[str, Any] = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 3e-3, "gamma": 1.0}
ROUND = 96 * 16
#: parts that a training is cut into, so that executors take turns
TURNS = 11


def population(n_policies: int, executor: str) -> Population:
    return Population(PPO, "MlpPolicy", Goals, n_policies, executor=executor, n_envs=16, seed=0, device="cpu", **SETTINGS)


def alone(rounds: int) -> float:
    """Seconds that half of the policies take, which know nothing of the other half."""
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", "returns of the first")
    half = population(2, "serial")
    begin = time.perf_counter()
    half.learn(rounds * ROUND)
    return time.perf_counter() - begin


def processes(rounds: int) -> dict[str, Value]:
    executors = ("serial", "process")
    members = {executor: population(4, executor) for executor in executors}
    seconds, unbound = dict.fromkeys(executors, 0.0), 0.0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for turn in range(TURNS):
            for executor in executors:
                begin = time.perf_counter()
                members[executor].learn(rounds // TURNS * ROUND, reset_num_timesteps=turn == 0)
                seconds[executor] += time.perf_counter() - begin
            unbound += max(pool.map(alone, [rounds // TURNS] * 2, chunksize=1))
    same = np.array_equal(members["serial"].distances, members["process"].distances)
    for one in members.values():
        one.close()
    return {"ratio": seconds["serial"] / seconds["process"], "at_best": seconds["serial"] / unbound, "same": str(same)}


def pairs(n_policies: int, rounds: int) -> dict[str, Value]:
    members = population(n_policies, "serial")
    with Sampler() as sampler:
        members.learn(rounds * ROUND)
    shares = sampler.shares()
    return {"share": sum(shares.get(folder, 0.0) for folder in ("population", "duals", "transport"))}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    warnings.filterwarnings("ignore", "returns of the first")
    yield {"what": "processes"}, partial(processes, TURNS if args.quick else 55 * TURNS)
    yield {"what": "pairs"}, partial(pairs, 4 if args.quick else 32, 2 if args.quick else 8)


if __name__ == "__main__":
    results = ["ratio", "at_best", "same", "share"]
    columns = {name: only(name) for name in results}
    sys.exit(Study(__doc__, "population", ["what"], results, runs, ["what"], columns).main())
