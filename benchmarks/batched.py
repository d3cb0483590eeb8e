"""
`batched_sinkhorn` over all pairs of K policies against a loop over `ot.sinkhorn`, to the same L1 error of both marginals.

    python benchmarks/batched.py [--quick] [--plain] [--csv benchmarks/results/batched.csv]

CPU time of one thread, interleaved, medians. Ours includes checks and cost matrices; POT is given its cost matrices, and the
loosest of its thresholds at which every pair reaches 1e-3.
"""

from __future__ import annotations

# isort: off
from report import Report, cpu, interleaved, marginal_error
# isort: on

import itertools
import sys
import tracemalloc

import numpy as np
from scipy.spatial.distance import cdist

from sb3_wasserstein.duals import batched_sinkhorn

TOL = 1e-3
EPSILON = 0.05
DIM = 10
#: episodes a policy -> policies, least ratio
LINES = {20: (32, 10.0), 100: (16, 1.5), 256: (8, 1.2)}


def main() -> int:
    report = Report(__doc__)
    arguments = report.start()
    try:
        import ot
    except ImportError:
        print("POT is not installed: nothing to compare with (pip install pot)")
        return 0
    print("episodes  pairs   ours ms  POT loop ms   ratio   us/pair  us/pair, 1/4    MiB")
    for episodes, (policies, line) in LINES.items():
        rng = np.random.default_rng(0)
        clouds = [
            rng.normal(size=(episodes, DIM)) + 0.5 * rng.normal(size=DIM) for _ in range(4 if arguments.quick else policies)
        ]
        xs, ys = (list(side) for side in zip(*itertools.combinations(clouds, 2), strict=True))
        costs = [cdist(x, y) for x, y in zip(xs, ys, strict=True)]
        epsilon = EPSILON * float(np.median(costs))
        p = np.full(episodes, 1 / episodes)

        def ours(xs=xs, ys=ys, epsilon=epsilon):
            return batched_sinkhorn(xs, ys, epsilon=epsilon, relative=False)

        def loop(threshold: float, costs=costs, epsilon=epsilon, p=p) -> list[np.ndarray]:
            return [ot.sinkhorn(p, p, cost, epsilon, stopThr=threshold / np.sqrt(len(p)), numItermax=20_000) for cost in costs]

        for threshold in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
            plans = loop(threshold)
            if max(marginal_error(plan, p, p) for plan in plans) <= TOL:
                break
        exact = np.array([(plan * cost).sum() for plan, cost in zip(plans, costs, strict=True)])
        entropy = np.array([epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(p, p))).sum() for plan in plans])
        gap = float(np.abs(ours()[1] / (exact + entropy) - 1).max())
        quarter = len(xs) // 4
        taken = interleaved(
            3 if arguments.quick else 9,
            ours=lambda ours=ours: cpu(ours),
            pot=lambda loop=loop, threshold=threshold: cpu(lambda: loop(threshold)),
            part=lambda ours=ours, some=(xs[:quarter], ys[:quarter]): cpu(lambda: ours(*some)),
        )
        mine, theirs, part = taken["ours"], taken["pot"], taken["part"]
        tracemalloc.start()
        ours()
        memory = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        row = {
            "episodes": episodes, "pairs": len(xs), "ours_ms": 1e3 * mine, "pot_ms": 1e3 * theirs, "ratio": theirs / mine,
            "us_per_pair": 1e6 * mine / len(xs), "us_per_pair_quarter": 1e6 * part / max(quarter, 1), "peak_mib": memory,
            "distance_gap": gap,
        }  # fmt: skip
        report.row(**row)
        print(f"{episodes:8d} {len(xs):6d} {row['ours_ms']:9.2f} {row['pot_ms']:12.2f} {row['ratio']:7.2f} "
              f"{row['us_per_pair']:9.1f} {row['us_per_pair_quarter']:13.1f} {memory:6.1f}", flush=True)  # fmt: skip
        report.at_least(f"{episodes} episodes: ratio", row["ratio"], line)
        report.at_most(f"{episodes} episodes: distances from POT's", gap, 5e-3)
        report.at_most(f"{episodes} episodes: cost per pair over that of a quarter", mine * quarter / part / len(xs), 1.3)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
