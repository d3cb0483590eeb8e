"""
The stochastic duals of finitely many points against POT's exact dual: S1 Alg. 3 (alternating) and Alg. 4 (semi-discrete).

    python benchmarks/atoms.py [--quick] [--csv benchmarks/results/atoms.csv]

100 atoms a side on the plane, ε = .05 and .1 of the median cost, mini-batches of 64. Error: of the centred potential, its
standard deviation over that of the exact one (of the semi-discrete one also the largest deviation over the range).
For Alg. 3 a table of the steps tried, a_i = step / visits_i^decay.
"""

from __future__ import annotations

# isort: off
from report import Report, cpu
# isort: on

import sys

import numpy as np
import ot
from scipy.spatial.distance import cdist

from sb3_wasserstein.duals import AlternatingDual, SemiDiscreteDual, alternating

BATCH = 64
#: step, decay; the default last
STEPS = ((0.3, 0.25), (1.0, 0.5), (3.0, 0.5), (3.0, 0.75), (3.0, 1.0), (10.0, 1.0), (5.0, 0.75))
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


def main() -> int:
    report = Report(__doc__)
    quick = report.start().quick
    counts = [400, 4_000] if quick else [400, 4_000, 40_000, 400_000]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 2)), 0.7 * rng.normal(size=(100, 2)) + 1.0

    for epsilon in (0.05, 0.1):
        f, absolute = exact(x, y, epsilon)
        for seed in SEEDS:
            semi = SemiDiscreteDual(epsilon=absolute, relative=False, seed=0)
            draws = np.random.default_rng(seed)
            seconds = cpu(lambda semi=semi, draws=draws: [semi.update(x[draws.integers(100, size=20)], y) for _ in range(200)])
            difference = semi.potential(x) - semi.potential(x).mean() - f
            error, largest = float(np.std(difference) / np.std(f)), float(np.abs(difference).max() / np.ptp(f))
            print(f"semi-discrete, ε = {epsilon}, 4,000 samples: error {error:.4f}, largest {largest:.4f}, {seconds:.2f} s")
            report.row(part="semidiscrete", epsilon=epsilon, seed=seed, pairs=4000, error=error, largest=largest)
            report.at_most(f"semi-discrete, ε = {epsilon}: error", error, 0.03)

    f, absolute = exact(x, y, 0.05)
    print(f"alternating, ε = 0.05, pairs {counts}")
    for step, decay in STEPS:
        alternating.DECAY = decay
        errors = np.empty((len(SEEDS), len(counts)))
        correlations = []
        for k, seed in enumerate(SEEDS):
            dual, draws, seen = AlternatingDual(epsilon=absolute, relative=False, step=step, seed=0), None, 0
            draws = np.random.default_rng(seed)
            for c, count in enumerate(counts):
                while seen < count:
                    i, j = draws.integers(100, size=(2, min(BATCH, count - seen)))
                    dual.update(x[i], y[j])
                    seen += len(i)
                values = dual.potential(x)
                errors[k, c] = np.std(values - f) / np.std(f)
            correlations.append(float(np.corrcoef(values, f)[0, 1]))
        medians = np.median(errors, axis=0)
        print(f"  {step:4.1f} / v^{decay:<5} " + " ".join(f"{value:7.4f}" for value in medians)
              + f"   correlation {min(correlations):.4f}", flush=True)  # fmt: skip
        for count, value in zip(counts, medians.tolist(), strict=True):
            report.row(part="alternating", epsilon=0.05, step=step, decay=decay, pairs=count, error=value,
                       correlation=min(correlations) if count == counts[-1] else None)  # fmt: skip
    # The default comes last.
    report.at_least("alternating: correlation after the last pair", min(correlations), 0.9)
    report.at_most(
        "alternating: largest ratio of an error to the one a decade before", float((medians[1:] / medians[:-1]).max()), 1.0
    )
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
