"""
K routers for one network, after the motivation of Abdullah et al. 2018: a link fails, another router's way still stands. The
control are K independent seeds.

    python -m benchmarks.repulsion.backup_routes      # 10 seeds, about 4 CPU-minutes
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import product

from benchmarks._lib.examples import example
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study

COEFS = {"population": 1.0, "independent": 0.0}


def study(learner: str, seed: int, timesteps: int) -> dict[str, Value]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not repel.*")
        share, returns = example("backup_routes").unharmed(COEFS[learner], seed, timesteps)
    return {"unharmed": float(share), "best": float(max(returns)), "worst": float(min(returns))}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for seed, learner in product(args.seeds, COEFS):
        yield {"learner": learner, "seed": seed}, partial(study, learner, seed, 1_024 if args.quick else 30_000)


if __name__ == "__main__":
    columns = {name: mean(name) for name in ("unharmed", "best", "worst")}
    sys.exit(Study(__doc__, "backup_routes", ["learner", "seed"], list(columns), runs, ["learner"], columns, seeds=10).main())
