"""
S1's motivation: K routers for one network, a link fails, and another router's way still stands; against K independent seeds.

    python benchmarks/backup_routes.py      # 10 seeds, about 2 CPU-minutes; resumes from the CSV
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch as th

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from backup_routes import unharmed  # the sys.path of the examples is set above

FIELDS = ["learner", "seed", "unharmed", "best", "worst", "cpu_s", "commit"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=30_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "backup_routes.csv")
    args = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*does not repel.*")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows = list(csv.DictReader(args.out.open())) if args.out.exists() else []
    for seed in range(args.seeds):
        for learner, coef in (("population", 1.0), ("independent", 0.0)):
            if any((row["learner"], row["seed"]) == (learner, str(seed)) for row in rows):
                continue
            begin = time.process_time()
            share, returns = unharmed(coef, seed, args.timesteps)
            values = (learner, seed, share, max(returns), min(returns), round(time.process_time() - begin, 1), commit)
            rows.append({field: str(value) for field, value in zip(FIELDS, values, strict=True)})
            with args.out.open("a", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(rows[-1])
    shares = {}
    for learner in ("population", "independent"):
        group = [row for row in rows if row["learner"] == learner]
        shares[learner] = np.mean([float(row["unharmed"]) for row in group])
        worst = np.mean([float(row["worst"]) for row in group])
        print(
            f"{learner:12} {len(group)} seeds: unharmed by {shares[learner]:.0%} of the failures, slowest member {worst:.2f}"
        )
    return 0 if shares["population"] >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
