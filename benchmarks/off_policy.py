"""
WassersteinSAC on two goals that are as good as each other: drawn to the way to one of them, driven from it, or left alone.

    python benchmarks/off_policy.py            # about 20 CPU-minutes; resumes from the CSV
    python benchmarks/off_policy.py --table

Goals-v0, SAC's own settings, 4,000 steps. The target is the straight way to the left goal, as an occupancy measure. "left" is
the share of 20 episodes of the final stochastic policy that end nearer to it than to the right one, "return" their mean
return. λ = 0 without a target is SAC itself: its CPU time is what the others are held against.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
import torch as th
from rows import RESULTS, Rows
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinSAC, collect_embeddings
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding, StateOccupancy
from sb3_wasserstein.envs import Goals

STEPS, EPISODES = 4_000, 20
COEFS = (-1.0, 1.0, 0.0)
OCCUPANCY = StateOccupancy(horizon=16)
WAY = np.linspace([0.0, 0.0], [-1.0, 1.0], 17)
RETURN = FunctionEmbedding(lambda trajectory: [trajectory.rewards.sum()], 1)


def study(coef: float, seed: int, steps: int) -> dict[str, float]:
    ours = {"target": Target.from_trajectories([WAY], OCCUPANCY), "wasserstein_coef": coef} if coef else {}
    model = WassersteinSAC("MlpPolicy", Goals(), embedding=OCCUPANCY, learning_starts=200, seed=seed, device="cpu", **ours)
    model.learn(steps)
    env = make_vec_env(Goals, 4, seed=10_000 + seed)
    ends = collect_embeddings(model, env, FinalState(), EPISODES)
    returns = collect_embeddings(model, env, RETURN, EPISODES)
    return {"left": float((ends[:, 0] < 0).mean()), "return": float(returns.mean())}


def table(book: Rows) -> bool:
    """Print where the policies went; whether attraction and repulsion decide it."""
    holds = True
    print(f"{'λ':>4} {'left':>22} {'return':>8} {'CPU s':>6}")
    for coef in COEFS:
        rows = book.where(coef=coef)
        if not rows:
            continue
        left, returns, cpu = (np.array([float(row[name]) for row in rows]) for name in ("left", "return", "cpu_s"))
        decided = f"{int((left == 1).sum())} all, {int((left == 0).sum())} none of {len(rows)}"
        print(f"{coef:4g} {decided:>22} {returns.mean():8.2f} {cpu.mean():6.1f}")
        if coef:
            holds &= bool((left == (1.0 if coef < 0 else 0.0)).mean() >= 0.9)
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    book = Rows(None if args.quick else RESULTS / "off_policy.csv", ["coef", "seed"], ["left", "return"])
    if args.table:
        return 0 if table(book) else 1
    for seed in range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds)):
        for coef in COEFS:
            book.add({"coef": coef, "seed": seed}, partial(study, coef, seed, 400 if args.quick else STEPS))
    return 0 if table(book) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
