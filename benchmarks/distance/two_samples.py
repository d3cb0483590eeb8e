"""
How often two-sample tests say that behaviours differ, of 30 episodes each: where they do not, and where they do.

    python -m benchmarks.distance.two_samples

``compare`` is the test of `sb3_wasserstein.compare`. ``mmd`` (Gretton et al. 2012: a Gaussian kernel whose width is the
median distance) and ``energy`` (Székely & Rizzo 2013) are tested by the same number of permutations. ``c2st`` (Lopez-Paz &
Oquab 2017) is a nearest-neighbour classifier, learnt on half of the episodes, and a binomial test of its hits on the other
half. All read the same points, each feature divided by its standard deviation in both samples together.

Part "level": the share of p < 0.05 over pairs of samples of one law. Part "power": the same over pairs of 30 episodes, drawn
from 200 each, of one PPO at 30 % and at 100 % of its training; an episode is its mean state.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import binom

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import only
from benchmarks._lib.study import Run, Study
from benchmarks.distance.samples import LAWS, TASKS, Floats, recorded
from sb3_wasserstein import compare
from sb3_wasserstein.compare import Resampling

TESTS = ("compare", "mmd", "energy", "c2st")
N_EPISODES, N_PERMUTATIONS = 30, 500
#: steps of training, of which the first checkpoint has taken 30 %
STEPS = {"CartPole-v1": 50_000, "LunarLander-v3": 100_000, "Hopper-v5": 50_000}


def permutation_p_value(similarities: Floats, rng: np.random.Generator) -> float:
    """
    :param similarities: (2 n, 2 n) of both samples; the statistic is the mean within them less the mean between them
    :param rng: of the permutations
    """
    n = len(similarities) // 2
    signs = np.repeat([1.0, -1.0], n)
    permuted = np.stack([signs, *(rng.permutation(signs) for _ in range(N_PERMUTATIONS))])
    statistics = ((permuted @ similarities) * permuted).sum(axis=1)
    # Samples with ties give equal statistics, which rounding must not tell apart.
    least = statistics[0] - 1e-9 * np.abs(similarities).sum()
    return float((1 + (statistics[1:] >= least).sum()) / (N_PERMUTATIONS + 1))


def classifier_p_value(distances: Floats, rng: np.random.Generator) -> float:
    """:param distances: (2 n, 2 n) between the points of both samples"""
    n = len(distances) // 2
    labels = np.repeat([0, 1], n)
    order = np.concatenate([sample * n + rng.permutation(n) for sample in (0, 1)])
    learnt = rng.permutation(np.concatenate([order[: n // 2], order[n : n + n // 2]]))
    others = np.setdiff1d(order, learnt)
    hits = int((labels[learnt][distances[np.ix_(others, learnt)].argmin(axis=1)] == labels[others]).sum())
    return float(binom.sf(hits - 1, len(others), 0.5))


def p_values(x: Floats, y: Floats, rng: np.random.Generator) -> list[float]:
    """One of each test."""
    both = np.concatenate([x, y])
    spread = both.std(axis=0)
    distances = cdist(*2 * (both / np.where(spread > 0, spread, 1.0),))
    width = float(np.median(distances[np.triu_indices(len(both), 1)]))
    seed = int(rng.integers(2**31))
    # The interval is not asked for.
    quick = Resampling(n_splits=1, n_subsamples=1)
    return [
        compare(x, y, n_permutations=N_PERMUTATIONS, resampling=quick, seed=seed).p_value,
        permutation_p_value(np.exp(-0.5 * (distances / width) ** 2), np.random.default_rng(seed)),
        permutation_p_value(-distances, np.random.default_rng(seed)),
        classifier_p_value(distances, rng),
    ]


def shares(draw: Callable[[np.random.Generator], tuple[Floats, Floats]], pairs: int) -> dict[str, Value]:
    rng = np.random.default_rng(0)
    found: NDArray[np.bool_] = np.array([p_values(*draw(rng), rng) for _ in range(pairs)]) < 0.05
    return {**dict(zip(TESTS, found.mean(axis=0).tolist(), strict=True)), "pairs": pairs}


def level(law: str, dim: int, pairs: int) -> dict[str, Value]:
    return shares(lambda rng: (LAWS[law](rng, N_EPISODES, dim), LAWS[law](rng, N_EPISODES, dim)), pairs)


def power(task: str, steps: int, n_recorded: int, pairs: int) -> dict[str, Value]:
    early, late = recorded(task, (3 * steps // 10, steps), n_recorded)

    def some(rng: np.random.Generator) -> tuple[Floats, Floats]:
        return early[rng.permutation(n_recorded)[:N_EPISODES]], late[rng.permutation(n_recorded)[:N_EPISODES]]

    return shares(some, pairs)


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for law in ("normal", "discrete"):
        yield {"part": "level", "of": law, "dim": 4}, partial(level, law, 4, 3 if args.quick else 300)
    for task in TASKS[: 1 if args.quick else None]:
        steps, n_recorded, pairs = (8_192, 40, 3) if args.quick else (STEPS[task], 200, 40)
        yield {"part": "power", "of": task, "dim": ""}, partial(power, task, steps, n_recorded, pairs)


if __name__ == "__main__":
    keys = ["part", "of", "dim"]
    columns = {name: only(name) for name in TESTS}
    sys.exit(Study(__doc__, "two_samples", keys, [*TESTS, "pairs"], runs, keys, columns).main())
