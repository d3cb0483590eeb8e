"""
`batched_sinkhorn` over all pairs of K policies against a loop over `ot.sinkhorn`, to the same L1 error of both marginals.

    python -m benchmarks.distance.batched [--plain]

CPU time of one thread, interleaved, medians. Ours includes checks and cost matrices; POT is given its cost matrices, and the
loosest of its thresholds at which every pair reaches 1e-3. ``us_per_pair_quarter`` is of a quarter of the pairs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study
from benchmarks._lib.timing import cpu, inner_loops, interleaved, marginal_error
from sb3_wasserstein.duals import batched_sinkhorn

#: episodes a policy -> policies
SIZES = {20: 32, 100: 16, 256: 8}
RESULTS = ["pairs", "ours_ms", "pot_ms", "ratio", "us_per_pair", "us_per_pair_quarter", "peak_mib", "distance_gap"]


def measured(episodes: int, policies: int, repeats: int) -> dict[str, Value]:
    import ot

    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(episodes, 10)) + 0.5 * rng.normal(size=10) for _ in range(policies)]
    xs, ys = (list(side) for side in zip(*itertools.combinations(clouds, 2), strict=True))
    costs = [cdist(x, y) for x, y in zip(xs, ys, strict=True)]
    epsilon = 0.05 * float(np.median(costs))
    p = np.full(episodes, 1 / episodes)
    quarter = max(1, len(xs) // 4)

    def ours(n_pairs: int = len(xs)) -> np.ndarray:
        return batched_sinkhorn(xs[:n_pairs], ys[:n_pairs], epsilon=epsilon, relative=False)[1]

    def loop(threshold: float) -> list[np.ndarray]:
        return [ot.sinkhorn(p, p, cost, epsilon, stopThr=threshold / np.sqrt(len(p)), numItermax=20_000) for cost in costs]

    for threshold in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        plans = loop(threshold)
        if max(marginal_error(plan, p, p) for plan in plans) <= 1e-3:
            break
    exact = np.array([(plan * cost).sum() for plan, cost in zip(plans, costs, strict=True)])
    entropy = np.array([epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(p, p))).sum() for plan in plans])
    gap = float(np.abs(ours() / (exact + entropy) - 1).max())
    taken = interleaved(
        repeats, ours=lambda: cpu(ours), pot=lambda: cpu(lambda: loop(threshold)), part=lambda: cpu(lambda: ours(quarter))
    )
    tracemalloc.start()
    ours()
    memory = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    found = (len(xs), 1e3 * taken["ours"], 1e3 * taken["pot"], taken["pot"] / taken["ours"], 1e6 * taken["ours"] / len(xs),
             1e6 * taken["part"] / quarter, memory, gap)  # fmt: skip
    return dict(zip(RESULTS, found, strict=True))


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plain", action="store_true", help="without numba's loops, even where numba is installed")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    loops = inner_loops(args.plain)
    for episodes, policies in SIZES.items():
        policies, repeats = (4, 3) if args.quick else (policies, 9)
        yield {"episodes": episodes, "loops": loops}, partial(measured, episodes, policies, repeats)


if __name__ == "__main__":
    keys = ["episodes", "loops"]
    columns = {name: mean(name) for name in RESULTS}
    sys.exit(Study(__doc__, "batched", keys, RESULTS, runs, keys, columns, options=options).main())
