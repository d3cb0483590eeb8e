"""
How far apart two samples of one law are on average, which should be nothing, and whether the nearer law is found to be nearer.

    python -m benchmarks.distance.null

Three estimators, in median ground costs: ``compare`` is the cross-fitted number of `sb3_wasserstein.compare`; ``left_out`` is
`SinkhornDual.distance` of samples, in which a point does not count for itself; ``in_sample`` is that of the same points taken
for laws, in which it does. ``_se`` is the mean's standard error.

Part "null": two samples of n points of a normal law, of a mixture of three, of twelve points; and random halves of 100
episodes of one PPO policy (mean state, in standard deviations). Part "ranking": the share of draws in which a sample of
N(0, I) is nearer to another one than a sample of N(0, 0.64 I) is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import only
from benchmarks._lib.study import Run, Study
from benchmarks.distance.samples import LAWS, TASKS, Floats, normal, recorded
from sb3_wasserstein import Target
from sb3_wasserstein.compare import Resampling, divergences
from sb3_wasserstein.duals import SinkhornDual

ESTIMATORS = ("compare", "left_out", "in_sample")


def distances(x: Floats, y: Floats, epsilon: float, rng: np.random.Generator) -> Floats:
    """(3,) by each estimator, in median ground costs."""
    unit = float(np.median(cdist(x, y)))
    solver = {"epsilon": epsilon * unit, "relative": False}
    pairs = [(list(x[:, None]), list(y[:, None]))]
    found = [float(divergences(pairs, Resampling().n_splits, rng, {**solver, "cost": "euclidean"})[0])]
    for laws in ((x, y), (Target(x), Target(y))):
        dual = SinkhornDual(epsilon)
        dual.update(*laws)
        found.append(dual.distance)
    return np.array(found) / unit


def null(draw: Callable[[np.random.Generator], tuple[Floats, Floats]], epsilon: float, repetitions: int) -> dict[str, Value]:
    rng = np.random.default_rng(0)
    found = np.array([distances(*draw(rng), epsilon, rng) for _ in range(repetitions)])
    means, errors = found.mean(axis=0).tolist(), (found.std(axis=0, ddof=1) / np.sqrt(repetitions)).tolist()
    named = dict(zip(ESTIMATORS, means, strict=True)) | dict(zip((f"{name}_se" for name in ESTIMATORS), errors, strict=True))
    return {**named, "repetitions": repetitions}


def of_a_law(name: str, dim: int, n: int, epsilon: float, repetitions: int) -> dict[str, Value]:
    return null(lambda rng: (LAWS[name](rng, n, dim), LAWS[name](rng, n, dim)), epsilon, repetitions)


def of_a_policy(task: str, steps: int, epsilon: float, repetitions: int) -> dict[str, Value]:
    (points,) = recorded(task, (steps,), 100)
    spread = points.std(axis=0)
    points = points / np.where(spread > 0, spread, 1.0)

    def halves(rng: np.random.Generator) -> tuple[Floats, Floats]:
        order = rng.permutation(100)
        return points[order[:50]], points[order[50:]]

    return null(halves, epsilon, repetitions)


def ranking(dim: int, n: int, epsilon: float, repetitions: int) -> dict[str, Value]:
    rng = np.random.default_rng(0)
    nearer = []
    for _ in range(repetitions):
        target = normal(rng, n, dim)
        same, shrunk = (distances(spread * normal(rng, n, dim), target, epsilon, rng) for spread in (1.0, 0.8))
        nearer.append(same < shrunk)
    return {**dict(zip(ESTIMATORS, np.mean(nearer, axis=0).tolist(), strict=True)), "repetitions": repetitions}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    repetitions = 2 if args.quick else 100
    for epsilon in (0.5,) if args.quick else (0.05, 0.5):
        for task in TASKS[: 1 if args.quick else None]:
            key = {"part": "null", "law": task, "dim": "", "n": 50, "epsilon": epsilon}
            yield key, partial(of_a_policy, task, 2048 if args.quick else 20_480, epsilon, repetitions)
        for law in LAWS:
            for dim in (2,) if args.quick else (2, 4, 16, 70):
                for n in (20,) if args.quick else (20, 100, 256):
                    key = {"part": "null", "law": law, "dim": dim, "n": n, "epsilon": epsilon}
                    yield key, partial(of_a_law, law, dim, n, epsilon, repetitions)
        key = {"part": "ranking", "law": "normal", "dim": 8, "n": 256, "epsilon": epsilon}
        yield key, partial(ranking, 8, 256, epsilon, repetitions)


if __name__ == "__main__":
    keys = ["part", "law", "dim", "n", "epsilon"]
    results = [*ESTIMATORS, *(f"{name}_se" for name in ESTIMATORS)]
    columns = {name: only(name) for name in results}
    sys.exit(Study(__doc__, "null", keys, [*results, "repetitions"], runs, keys, columns).main())
