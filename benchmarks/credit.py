"""
The three ways to give an episode's λ h(φ(τ)) to its steps. One factor at a time: PPO as in ``attraction.py``, λ = −1.

    python benchmarks/credit.py                   # 3 credits, 3 maps, 5 seeds: about 5 CPU-minutes; resumes from the CSV
    python benchmarks/credit.py --table

"episodes" is the number of episodes until the mean return of the last 100 is within 10 % of the optimum, counted at the end of
each rollout; a run that never gets there has none (nan). "greedy" is the final deterministic policy's return.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch as th
from rows import RESULTS, Rows
from stable_baselines3.common.callbacks import BaseCallback
from teachers import embedding_of, outcome, pupil

from sb3_wasserstein import Target
from sb3_wasserstein.envs import HEIGHT_MAPS, HillyGrid

STEPS = 120_000
#: of the visits, in cells, as in attraction.py
BLUR = 1.0
CREDITS = ("telescoping", "episode", "terminal")


class Arrival(BaseCallback):
    """Notes the first time that the last 100 episodes are within 10 % of the optimum."""

    def __init__(self, optimum: float) -> None:
        super().__init__()
        self.optimum = optimum
        self.episodes = float("nan")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        window = self.model.dual_callback.window
        if np.isnan(self.episodes) and window.seen >= 100 and window.returns[-100:].mean() >= 1.1 * self.optimum:
            self.episodes = float(window.seen)


def study(credit: str, name: str, seed: int, steps: int) -> dict[str, float]:
    grid = HillyGrid(name)
    target = Target.from_trajectories([grid.optimal_path], embedding_of(grid.heights, BLUR))
    arrival = Arrival(grid.optimal_return)
    model = pupil(grid.heights, target, -1.0, seed, steps, credit, arrival, BLUR)
    return {"episodes": arrival.episodes, **outcome(model, grid.heights), "optimum": grid.optimal_return}


def table(rows: list[dict[str, str]]) -> None:
    """Print how many seeds arrive, and when."""
    print(f"{'map':10} {'credit':12} {'within 10 %':>12} {'optimal':>8} {'episodes: median':>17} {'worst':>7} {'mean':>8}")
    for name in HEIGHT_MAPS:
        for credit in CREDITS:
            group = [row for row in rows if (row["map"], row["credit"]) == (name, credit)]
            if not group:
                continue
            episodes, greedy, mean, optimum = (
                np.array([float(row[field]) for row in group]) for field in ("episodes", "greedy", "mean", "optimum")
            )
            near, exact, n = int((mean >= 1.1 * optimum).sum()), int((greedy == optimum).sum()), len(group)
            # A run that never arrives counts as later than all others.
            late = np.where(np.isnan(episodes), np.inf, episodes)
            counts = f"{f'{near}/{n}':>12} {f'{exact}/{n}':>8}"
            print(f"{name:10} {credit:12} {counts} {np.median(late):17.0f} {late.max():7.0f} {mean.mean():8.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "credit.csv")
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = Rows(None if args.quick else args.out, ["credit", "map", "seed"], ["episodes", "greedy", "mean", "optimum"])
    if not args.table:
        for seed in range(1 if args.quick else args.seeds):
            for name in HEIGHT_MAPS:
                for credit in CREDITS:
                    key = {"credit": credit, "map": name, "seed": seed}
                    rows.add(key, partial(study, credit, name, seed, 3_000 if args.quick else STEPS))
    table(rows.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
