"""
Reward-free imitation from five state-only trajectories: StateOccupancy, λ < 0, the environment's reward switched off.

    python benchmarks/imitation.py                # 10 seeds of ours, 3 of each control, 5 of PWIL; resumes from the CSV
    python benchmarks/imitation.py --tasks CartPole-v1 --methods wasserstein
    python benchmarks/imitation.py --table        # the table of what the CSV holds, and its verdict

Every method gets 100k steps of PPO with the same settings, and the same for all tasks. "return" is the mean of 40 episodes of
the final stochastic policy, with the environment's own reward. The CartPole that is trained on never ends before its 500 steps
(no survival bonus can leak in): what is reported is the return on CartPole-v1 itself, the number of steps until the pole or
the cart first leaves its bounds.

Methods: "wasserstein" is ours; "zero" has no reward at all; "constant" has +1 at every step; "pwil" has the reward of
``pwil.py``; "gail" comes from ``gail/run.py``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from imitation_tasks import (
    LINES,
    RANDOM,
    SHARES,
    STEPS,
    compressed,
    evaluation_env,
    horizon,
    lessons,
    side_by_side,
    time_limit,
    training_env,
)
from pwil import PWILReward
from rows import RESULTS, Rows
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import StateOccupancy

SEEDS = {"wasserstein": 10, "zero": 3, "constant": 3, "pwil": 5}
SETTINGS: dict[str, Any] = {"n_steps": 192, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.98}
RATE = 1e-3
COEF = -10.0


def rate(progress_remaining: float) -> float:
    """A noisy potential would shake the policy to the end at a constant rate; at none it would stop too early."""
    return RATE * max(progress_remaining, 0.1)


def learner(task: str, method: str, seed: int) -> PPO:
    """The untrained model."""
    demonstrations, _, _ = lessons(task)
    common: dict[str, Any] = {"learning_rate": rate, "seed": seed, "device": "cpu", **SETTINGS}
    if method == "pwil":
        env = side_by_side(lambda: PWILReward(training_env(task), demonstrations, time_limit(task)), task, seed)
        return PPO("MlpPolicy", VecNormalize(env, norm_obs=False, gamma=SETTINGS["gamma"]), **common)
    env = side_by_side(lambda: training_env(task, float(method == "constant")), task, seed)
    if method != "wasserstein":
        return PPO("MlpPolicy", env, **common)
    embedding = StateOccupancy(compressed, horizon=horizon(task))
    return WassersteinPPO(
        "MlpPolicy",
        env,
        embedding=embedding,
        target=Target.from_trajectories(demonstrations, embedding),
        wasserstein_coef=COEF,
        dual_kwargs={"cost": SaturatingCost(), "debias": False},
        **common,
    )


def imitate(task: str, method: str, seed: int, steps: int) -> dict[str, float]:
    """One run; the return of its policy."""
    with warnings.catch_warnings():
        # The reward is off: that the returns do not differ is what was asked for.
        warnings.filterwarnings("ignore", message=".*the spread of returns.*")
        model = learner(task, method, seed).learn(steps)
    mean, _ = evaluate_policy(model, make_vec_env(lambda: evaluation_env(task), 8, seed=10_000 + seed), 40, False, warn=False)
    return {"return": float(mean)}


def table(rows: list[dict[str, str]]) -> bool:
    """Print returns by task and method; whether every line holds for ours, and no peer is ahead by more than 5 %."""
    holds = True
    print(f"{'task':15} {'method':12} {'mean':>8} {'worst':>8} {'best':>8} {'reached':>9} {'CPU s':>6}")
    for task, line in LINES.items():
        expert = lessons(task)[2]
        print(f"{task:15} {'expert':12} {expert:8.1f}")
        means = {}
        for method in [*SEEDS, "gail"]:
            runs = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            if not runs:
                continue
            returns = np.array([float(row["return"]) for row in runs])
            means[method] = float(returns.mean())
            cpu = np.mean([float(row["cpu_s"]) for row in runs])
            reached = int((returns >= line).sum())
            missed = method == "wasserstein" and reached < SHARES[task] * len(runs)
            verdict = f"   missed: {line:g} on {SHARES[task]:.0%} of the seeds" if missed else ""
            spread = f"{returns.mean():8.1f} {returns.min():8.1f} {returns.max():8.1f}"
            print(f"{task:15} {method:12} {spread} {f'{reached}/{len(runs)}':>9} {cpu:6.1f}{verdict}")
            holds &= not missed
        ours = means.get("wasserstein", np.nan)
        for peer in {"pwil", "gail"} & set(means):
            behind = (means[peer] - ours) / (expert - RANDOM[task])
            if behind > 0.05:
                print(f"{task:15} behind {peer} by {behind:.1%} of the gap between the expert and random actions")
                holds = False
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(LINES), default=list(LINES))
    parser.add_argument("--methods", nargs="+", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--seeds", type=int, default=None, help=f"default: {SEEDS}")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "imitation.csv")
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = Rows(None if args.quick else args.out, ["task", "method", "seed", "steps"], ["return"])
    if args.table:
        return 0 if table(rows.rows) else 1
    steps = 5_000 if args.quick else STEPS
    for method in args.methods:
        seeds = 1 if args.quick else args.seeds or SEEDS[method]
        for seed in range(args.first_seed, args.first_seed + seeds):
            for task in args.tasks:
                key = {"task": task, "method": method, "seed": seed, "steps": steps}
                rows.add(key, partial(imitate, task, method, seed, steps))
    return 0 if table(rows.rows) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
