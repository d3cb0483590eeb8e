"""
What a population costs: several processes against one, and the pairs' share of a round.

    python benchmarks/population.py --speed       # serial against process, 4 policies, at least 3 minutes; wants idle cores
    python benchmarks/population.py --pairs       # K = 32 with 100 episodes each, against a round of theirs
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import PPO

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


def speed(rounds: int) -> bool:
    """
    Wall time of the same training, and whether its result is the same; by turns, since a shared machine's pace changes. Beside
    them two halves that exchange nothing: what the cores, caches and memory allow at best.
    """
    executors = ("serial", "process")
    members = {executor: population(4, executor) for executor in executors}
    seconds, busy, unbound = dict.fromkeys(executors, 0.0), dict.fromkeys(executors, 0.0), 0.0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for turn in range(TURNS):
            for executor in executors:
                begin, cpu = time.perf_counter(), time.process_time()
                members[executor].learn(rounds // TURNS * ROUND, reset_num_timesteps=turn == 0)
                seconds[executor] += time.perf_counter() - begin
                busy[executor] += time.process_time() - cpu
            unbound += max(pool.map(alone, [rounds // TURNS] * 2, chunksize=1))
    ratio = seconds["serial"] / seconds["process"]
    print(f"4 policies, {rounds} rounds: serial {seconds['serial']:.0f} s, process {seconds['process']:.0f} s, {ratio:.3f} ×")
    print(f"CPU in the parent: {busy['process']:.1f} s of {busy['serial']:.1f} s, {busy['process'] / busy['serial']:.1%}")
    print(f"two halves that exchange nothing: {unbound:.0f} s, {seconds['serial'] / unbound:.2f} × on these cores")
    same = np.array_equal(members["serial"].distances, members["process"].distances)
    print(f"same result: {same}")
    for one in members.values():
        one.close()
    return same and ratio >= 1.7


def pairs(n_policies: int, rounds: int) -> bool:
    """CPU of the exchange over the CPU of a round."""
    members = population(n_policies, "serial")
    spent = []
    turns = members.exchange.turns

    def timed(*args: Any) -> Any:
        begin = time.process_time()
        result = turns(*args)
        spent.append(time.process_time() - begin)
        return result

    members.exchange.turns = timed  # type: ignore[method-assign]
    begin = time.process_time()
    members.learn(rounds * ROUND)
    share = sum(spent) / (time.process_time() - begin)
    print(f"{n_policies} policies, 96 episodes each: the pairs take {np.median(spent):.3f} s a round, {share:.1%} of it")
    return share <= 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a few rounds")
    args = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", "returns of the first")
    holds = True
    if args.speed or not args.pairs:
        holds &= speed(TURNS if args.quick else 55 * TURNS)
    if args.pairs or not args.speed:
        holds &= pairs(32, 2 if args.quick else 8)
    return 0 if holds or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
