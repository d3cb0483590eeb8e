"""
The RKHS dual on a stream of samples: how its cost grows, and what the default (Sinkhorn on a window) takes for its accuracy.

    python benchmarks/streaming.py [--quick] [--csv benchmarks/results/streaming.csv]

1. RKHSDual: CPU time and memory against the number of samples, faithful (S1 Alg. 1) and bounded.
2. S1 Alg. 1, its step the best of C in {1, 3, 10, 30} ε, against SinkhornDual on as few samples as reach an equal or better
   gap and potential error; the reference is SinkhornDual in float64 on a large sample. Where Alg. 1 is not run to the end, its
   time a n + b n² is fitted to the two halves of the run, and its gap and error are taken to halve per decade (which is kind).
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import pickle
import sys
import time
import warnings

import numpy as np

from sb3_wasserstein.duals import RKHSDual, SinkhornDual

EPSILON = 0.1
BATCH = 500


def plane(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(n, 2)), 0.7 * rng.normal(size=(n, 2)) + 0.7


def simplex(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.dirichlet(np.linspace(0.05, 1, 70), size=n), rng.dirichlet(np.linspace(1, 0.05, 70), size=n)


def stream(dual: RKHSDual, law, samples: int, seed: int = 0) -> float:
    """CPU seconds of the updates alone."""
    rng, spent = np.random.default_rng(seed), 0.0
    for _ in range(samples // BATCH):
        x, y = law(rng, BATCH)
        start = time.process_time()
        dual.update(x, y)
        spent += time.process_time() - start
    return spent


def growth(rows: list[dict], missed: list[str], quick: bool) -> None:
    print("1. growth       samples    CPU s    us/sample    state KiB")
    for name, budget, counts in (
        ("bounded", 256, (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)),
        ("faithful", None, (1_000, 2_000) if quick else (1_000, 4_000, 16_000)),
    ):
        times, sizes = [], []
        for count in counts:
            dual = RKHSDual(epsilon=EPSILON, budget=budget, seed=0)
            times.append(stream(dual, plane, count))
            sizes.append(len(pickle.dumps(dual.state_dict())) / 1024)
            print(f"   {name:10s} {count:9d} {times[-1]:8.3f} {1e6 * times[-1] / count:12.1f} {sizes[-1]:12.1f}", flush=True)
            rows.append({"part": name, "samples": count, "cpu_s": times[-1], "state_kib": sizes[-1]})
        # The first decade fills the budget.
        used = slice(1 if len(counts) > 2 else 0, None)
        logs = np.log(np.array(counts[used]))
        time_exponent, size_exponent = (np.polyfit(logs, np.log(values[used]), 1)[0] for values in (times, sizes))
        print(f"   {name:10s} exponents: time {time_exponent:.3f}, memory {size_exponent:.3f}")
        if budget is not None and time_exponent > 1.05:
            missed.append(f"bounded: time exponent {time_exponent:.3f} > 1.05")
        if budget is not None and size_exponent > 0.02:
            missed.append(f"bounded: memory exponent {size_exponent:.3f} > 0.02")


def objective(dual: RKHSDual, x: np.ndarray, y: np.ndarray) -> float:
    """The dual objective on fresh samples: the last 256 that `distance` goes by would do the RKHS injustice."""
    f, g = dual._f(x), dual._g(y)
    density = np.exp(np.minimum((f[:, None] + g - dual.ground_cost.matrix(x, y)) / dual.epsilon_, 50.0))
    return float(f.mean() + g.mean() - dual.epsilon_ * (density.mean() - 1.0))


def race(name: str, law, samples: int, measured: int, line: float, rows: list[dict], missed: list[str]) -> None:
    rng = np.random.default_rng(1)
    x, y = law(rng, 3000)
    exact = SinkhornDual(epsilon=EPSILON, debias=False, dtype="float64", tol=1e-6)
    exact.update(x, y)
    new = law(rng, 1000)[0]
    target = exact.potential(new)
    absolute, spread = exact.epsilon_, target.std()

    fresh = law(np.random.default_rng(4), 2000)

    def judge(dual, distance: float) -> tuple[float, float]:
        potential = dual.potential(new)
        return abs(distance / exact.distance - 1), float(np.std(potential - target) / spread)

    best = None
    for step in (1.0, 3.0, 10.0, 30.0):
        dual = RKHSDual(epsilon=absolute, relative=False, budget=None, step=step, seed=0)
        first = stream(dual, law, measured // 2)
        both = first + stream(dual, law, measured // 2, seed=3)
        gap, error = judge(dual, objective(dual, *fresh))
        print(f"   {name:8s} RKHS, C = {step:4.0f} ε {measured:7d} samples {both:8.2f} s   "
              f"gap {gap:.3f}  error {error:.3f}", flush=True)  # fmt: skip
        if best is None or error < best[1]:
            best = gap, error, first, both
    halved = 2 ** np.log10(samples / measured)
    quadratic = max(2 * (best[3] - 2 * best[2]) / measured**2, 0.0)
    linear = best[3] / measured - quadratic * measured
    gap, error, seconds = best[0] / halved, best[1] / halved, linear * samples + quadratic * samples**2
    for n in (25, 50, 100, 200, 400, 800, 1600):
        x, y = law(np.random.default_rng(2), n)
        duals, times = [], []
        for _ in range(5):
            dual = SinkhornDual(epsilon=absolute, relative=False, debias=False)
            start = time.process_time()
            dual.update(x, y)
            times.append(time.process_time() - start)
            duals.append(dual)
        our_gap, our_error = judge(duals[0], duals[0].distance)
        if our_gap <= gap and our_error <= error:
            break
    ours = float(np.median(times))
    print(f"   {name:8s} Sinkhorn, n = {n:4d} {ours:8.4f} s   gap {our_gap:.3f}  error {our_error:.3f}   "
          f"RKHS at {samples} samples: {seconds:.0f} s: {seconds / ours:,.0f} x", flush=True)  # fmt: skip
    rows.append({"part": name, "samples": samples, "cpu_s": seconds, "sinkhorn_s": ours, "sinkhorn_n": n,
                 "ratio": seconds / ours, "gap": our_gap, "error": our_error,
                 "rkhs_gap": gap, "rkhs_error": error})  # fmt: skip
    if seconds / ours < line or our_gap > gap or our_error > error:
        missed.append(
            f"{name}: {seconds / ours:,.0f} x < {line:,.0f} x, or gap {our_gap:.3f}, error {our_error:.3f} not better"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run, judges nothing")
    parser.add_argument("--csv", help="write the table there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict] = []
    missed: list[str] = []
    growth(rows, missed, arguments.quick)
    print("2. S1 Alg. 1 against Sinkhorn on a window")
    measured = 1_000 if arguments.quick else 10_000
    race("plane", plane, 100_000, measured, 2_000, rows, missed)
    race("simplex", simplex, 10_000, 1_000 if arguments.quick else 10_000, 500, rows, missed)
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    for text in missed:
        print("missed:", text)
    return int(bool(missed) and not arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
