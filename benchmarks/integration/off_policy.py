"""
WassersteinSAC on two goals that are as good as each other: drawn to the way to one of them, driven from it, or left alone.

    python -m benchmarks.integration.off_policy      # about 35 CPU-minutes

Goals-v0, SAC's own settings, 4,000 steps. The target is the straight way to the left goal, as an occupancy measure. "left" is
the share of 20 episodes of the final stochastic policy that end nearer to it than to the right one, "return" their mean
return. λ = 0 without a target is SAC itself: its CPU time is what the others are compared with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.returns import RETURN
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import count, mean
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import Target, WassersteinSAC, collect_embeddings
from sb3_wasserstein.embeddings import FinalState, StateOccupancy
from sb3_wasserstein.envs import Goals

OCCUPANCY = StateOccupancy(horizon=16)
WAY = np.linspace([0.0, 0.0], [-1.0, 1.0], 17)


def study(coef: float, seed: int, steps: int) -> dict[str, Value]:
    ours: dict[str, Any] = {"target": Target.from_trajectories([WAY], OCCUPANCY), "wasserstein_coef": coef} if coef else {}
    model = WassersteinSAC("MlpPolicy", Goals(), embedding=OCCUPANCY, learning_starts=200, seed=seed, device="cpu", **ours)
    model.learn(steps)
    env = make_vec_env(Goals, 4, seed=10_000 + seed)
    ends = collect_embeddings(model, env, FinalState(), 20)
    returns = collect_embeddings(model, env, RETURN, 20)
    return {"left": float((ends[:, 0] < 0).mean()), "return": float(returns.mean())}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for seed, coef in product(args.seeds, (-1.0, 1.0, 0.0)):
        yield {"coef": coef, "seed": seed}, partial(study, coef, seed, 400 if args.quick else 4_000)


if __name__ == "__main__":
    columns = {
        "all left": count(lambda row: float(row["left"]) == 1.0), "none left": count(lambda row: float(row["left"]) == 0.0),
        "return": mean("return"), "CPU s": mean("cpu_s"),
    }  # fmt: skip
    sys.exit(Study(__doc__, "off_policy", ["coef", "seed"], ["left", "return"], runs, ["coef"], columns, seeds=10).main())
