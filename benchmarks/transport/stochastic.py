"""
The stochastic duals of finitely many points against POT's exact dual: Abdullah et al. 2018, Alg. 3 (alternating) and Alg. 4
(semi-discrete).

    python -m benchmarks.transport.stochastic

100 atoms a side on the plane, ε = 0.05 and 0.1 of the median cost, mini-batches of 64. Error: of the centred potential, its
standard deviation over that of the exact one; of the semi-discrete one also the largest deviation over the range. Three seeds.
Alg. 3's steps are a_i = step / visits_i^decay with a decay of 0.75.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import ot
from scipy.spatial.distance import cdist

from benchmarks._lib.study import measure_at_once
from benchmarks._lib.timing import inner_loops
from sb3_wasserstein.duals import AlternatingDual, SemiDiscreteDual

BATCH = 64
SEEDS = (1, 2, 3)


def exact(x: np.ndarray, y: np.ndarray, epsilon: float) -> tuple[np.ndarray, float]:
    costs = cdist(x, y)
    absolute = epsilon * float(np.median(costs))
    weights = np.full(len(x), 1 / len(x))
    log = ot.sinkhorn(
        weights, weights, costs, absolute, method="sinkhorn_log", stopThr=1e-11, numItermax=50_000, log=True
    )[1]  # fmt: skip
    f = absolute * log["log_u"]
    return f - f.mean(), absolute


def semidiscrete(x: np.ndarray, y: np.ndarray, epsilon: float) -> list[dict[str, object]]:
    f, absolute = exact(x, y, epsilon)
    rows: list[dict[str, object]] = []
    for seed in SEEDS:
        dual, draws = SemiDiscreteDual(epsilon=absolute, relative=False, seed=0), np.random.default_rng(seed)
        for _ in range(200):
            dual.update(x[draws.integers(100, size=20)], y)
        difference = dual.potential(x) - dual.potential(x).mean() - f
        error, largest = float(np.std(difference) / np.std(f)), float(np.abs(difference).max() / np.ptp(f))
        print(f"semi-discrete, ε = {epsilon}, 4,000 samples: error {error:.4f}, largest {largest:.4f}", flush=True)
        found = {"pairs": 4000, "error": error, "largest": largest}
        rows.append({"part": "semidiscrete", "epsilon": epsilon, "seed": seed, **found})
    return rows


def alternating(x: np.ndarray, y: np.ndarray, epsilon: float, step: float, counts: list[int]) -> list[dict[str, object]]:
    f, absolute = exact(x, y, epsilon)
    errors, correlations = np.empty((len(SEEDS), len(counts))), []
    for k, seed in enumerate(SEEDS):
        dual = AlternatingDual(epsilon=absolute, relative=False, step=step, seed=0)
        draws, seen = np.random.default_rng(seed), 0
        for c, wanted in enumerate(counts):
            while seen < wanted:
                i, j = draws.integers(100, size=(2, min(BATCH, wanted - seen)))
                dual.update(x[i], y[j])
                seen += len(i)
            errors[k, c] = np.std(dual.potential(x) - f) / np.std(f)
        correlations.append(float(np.corrcoef(dual.potential(x), f)[0, 1]))
    medians = np.median(errors, axis=0).tolist()
    print(f"alternating, step {step:g}: " + " ".join(f"{value:.4f}" for value in medians), flush=True)
    common: dict[str, object] = {"part": "alternating", "epsilon": epsilon, "step": step}
    rows = [{**common, "pairs": wanted, "error": value} for wanted, value in zip(counts, medians, strict=True)]
    rows[-1]["correlation"] = min(correlations)
    return rows


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    loops, rng = inner_loops(), np.random.default_rng(0)
    x, y = rng.normal(size=(100, 2)), 0.7 * rng.normal(size=(100, 2)) + 1.0
    counts = [400, 4_000] if args.quick else [400, 4_000, 40_000, 400_000]
    rows = [row for epsilon in (0.05, 0.1) for row in semidiscrete(x, y, epsilon)]
    rows += [row for step in (1.0, 3.0, 5.0, 10.0) for row in alternating(x, y, 0.05, step, counts)]
    return [{**row, "loops": loops} for row in rows]


if __name__ == "__main__":
    sys.exit(measure_at_once(__doc__, "stochastic", measure))
