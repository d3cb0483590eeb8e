"""
The three ways to give an episode's λ h(φ(τ)) to its steps. One factor at a time: PPO as in ``hilly_grid.py``, λ = −1.

    python -m benchmarks.attraction.credit      # 3 credits, 3 maps, 5 seeds: about 5 CPU-minutes

"episodes" is the number of episodes until the mean return of the last 100 is within 10 % of the optimum, counted at the end of
each rollout; a run that never gets there has none (nan). "greedy" is the final deterministic policy's return.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import Show, count, middle, values
from benchmarks._lib.study import Run, Study
from benchmarks.attraction.hilly_grid import Curve
from benchmarks.attraction.teachers import embedding_of, outcome, pupil
from benchmarks.claims import near_optimum, optimal
from sb3_wasserstein import Target
from sb3_wasserstein.envs import HEIGHT_MAPS, HillyGrid

STEPS = 120_000
#: of the visits, in cells, as in hilly_grid.py
BLUR = 1.0
CREDITS = ("telescoping", "episode", "terminal")


class Arrival(Curve):
    """Notes the number of episodes at the first end of a rollout at which the last 100 are within 10 % of the optimum."""

    def __init__(self, optimum: float) -> None:
        super().__init__()
        self.optimum = optimum
        self.episodes = float("nan")

    def _on_rollout_end(self) -> None:
        if np.isnan(self.episodes) and len(self.returns) >= 100 and np.mean(self.returns[-100:]) >= 1.1 * self.optimum:
            self.episodes = float(len(self.returns))


def study(credit: str, name: str, seed: int, steps: int) -> dict[str, Value]:
    grid = HillyGrid(name)
    target = Target.from_trajectories([grid.optimal_path], embedding_of(grid.heights, BLUR))
    arrival = Arrival(grid.optimal_return)
    model = pupil(grid.heights, target, -1.0, seed, steps, credit, arrival, BLUR)
    return {"episodes": arrival.episodes, **outcome(model, grid.heights), "optimum": grid.optimal_return}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    steps = 3_000 if args.quick else STEPS
    for seed, name, credit in product(args.seeds, HEIGHT_MAPS, CREDITS):
        yield {"credit": credit, "map": name, "seed": seed}, partial(study, credit, name, seed, steps)


def late(statistic: Callable[[np.ndarray], float]) -> Show:
    """Of the episodes; a run that never arrives counts as later than all others."""
    return lambda rows: f"{statistic(np.nan_to_num(values(rows, 'episodes'), nan=np.inf)):.0f}"


if __name__ == "__main__":
    columns = {"within 10 %": count(near_optimum), "optimal": count(optimal), "median": late(np.median), "worst": late(np.max),
               "mean": middle("mean")}  # fmt: skip
    results = ["episodes", "greedy", "mean", "optimum"]
    sys.exit(Study(__doc__, "credit", ["credit", "map", "seed"], results, runs, ["map", "credit"], columns, seeds=5).main())
