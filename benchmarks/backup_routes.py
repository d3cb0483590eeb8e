"""
S1's motivation: K routers for one network, a link fails, and another router's way still stands; against K independent seeds.

    python benchmarks/backup_routes.py      # 10 seeds, about 2 CPU-minutes; resumes from the CSV
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch as th
from rows import RESULTS, Rows

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from backup_routes import unharmed  # the sys.path of the examples is set above

COEFS = {"population": 1.0, "independent": 0.0}


def study(learner: str, seed: int, timesteps: int) -> dict[str, float | str]:
    share, returns = unharmed(COEFS[learner], seed, timesteps)
    return {"unharmed": share, "best": max(returns), "worst": min(returns)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=30_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "backup_routes.csv")
    args = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*does not repel.*")
    book = Rows(args.out, ["learner", "seed"], ["unharmed", "best", "worst"])
    for seed in range(args.seeds):
        for learner in COEFS:
            book.add({"learner": learner, "seed": seed}, partial(study, learner, seed, args.timesteps))
    shares = {}
    for learner in COEFS:
        group = book.where(learner=learner)
        shares[learner] = np.mean([float(row["unharmed"]) for row in group])
        worst = np.mean([float(row["worst"]) for row in group])
        print(
            f"{learner:12} {len(group)} seeds: unharmed by {shares[learner]:.0%} of the failures, slowest member {worst:.2f}"
        )
    return 0 if shares["population"] >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
