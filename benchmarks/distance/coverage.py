"""
How often the interval of `sb3_wasserstein.compare` at 95 % holds the true divergence, at 100 episodes of each behaviour.

    python -m benchmarks.distance.coverage

One behaviour is N(0, I), the other is shifted along one axis, or shrunk. The true divergence is the mean of
½ (W(a, b) + W(a', b') − W(a, a') − W(b, b')) over independent samples of 2,048 points, which is 0 on average for equal laws.
``width`` is the interval's mean width, ``estimate`` the mean distance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import only
from benchmarks._lib.study import Run, Study
from benchmarks.distance.samples import Floats, normal
from sb3_wasserstein import compare
from sb3_wasserstein.duals import SinkhornDual

RESULTS = ["coverage", "below", "above", "truth", "truth_se", "estimate", "estimate_sd", "width"]


def other(rng: np.random.Generator, n: int, dim: int, shift: float, spread: float) -> Floats:
    points = spread * normal(rng, n, dim)
    points[:, 0] += shift
    return points


def divergence(rng: np.random.Generator, dim: int, shift: float, spread: float, epsilon: float, n: int) -> float:
    """From large samples."""
    a, a2 = normal(rng, n, dim), normal(rng, n, dim)
    b, b2 = other(rng, n, dim, shift, spread), other(rng, n, dim, shift, spread)
    # The first pair settles ε for all of them.
    dual, values = SinkhornDual(epsilon, debias=False), []
    for x, y in ((a, b), (a2, b2), (a, a2), (b, b2)):
        dual.update(x, y)
        values.append(dual.distance)
    return 0.5 * (values[0] + values[1] - values[2] - values[3])


def coverage(
    dim: int, shift: float, spread: float, epsilon: float, draws: int, n_large: int, n_pairs: int
) -> dict[str, Value]:
    rng = np.random.default_rng(0)
    large = [divergence(rng, dim, shift, spread, epsilon, n_large) for _ in range(n_pairs)]
    truth = float(np.mean(large))
    found = []
    for seed in range(draws):
        a, b = normal(rng, 100, dim), other(rng, 100, dim, shift, spread)
        found.append(compare(a, b, epsilon=epsilon, standardize=False, n_permutations=1, seed=seed))
    lows, highs = np.array([one.interval for one in found]).T
    distances = [one.distance for one in found]
    values = (float(((lows <= truth) & (truth <= highs)).mean()), float((highs < truth).mean()), float((lows > truth).mean()),
              truth, float(np.std(large, ddof=1) / np.sqrt(n_pairs)), float(np.mean(distances)), float(np.std(distances)),
              float((highs - lows).mean()))  # fmt: skip
    return dict(zip(RESULTS, values, strict=True))


def runs(args: argparse.Namespace) -> Iterator[Run]:
    n_large, n_pairs = (256, 2) if args.quick else (2048, 8)
    # The small ε shows a bias, which needs fewer draws.
    for epsilon, draws in ((0.5, 2),) if args.quick else ((0.5, 200), (0.05, 50)):
        for dim in (2,) if args.quick else (2, 8):
            for shift, spread in ((0.0, 1.0), (0.5, 1.0), (2.0, 1.0), (0.0, 0.6)):
                key = {"epsilon": epsilon, "dim": dim, "shift": shift, "spread": spread}
                yield key, partial(coverage, dim, shift, spread, epsilon, draws, n_large, n_pairs)


if __name__ == "__main__":
    keys = ["epsilon", "dim", "shift", "spread"]
    columns = {name: only(name) for name in RESULTS}
    sys.exit(Study(__doc__, "coverage", keys, RESULTS, runs, keys, columns).main())
