"""
The RKHS dual on a stream of samples: how its cost grows, and what the default (Sinkhorn on a window) takes for its accuracy.

    python benchmarks/streaming.py [--quick] [--plain] [--csv benchmarks/results/streaming.csv]

1. RKHSDual, CPU time and memory against the number of samples, bounded and faithful (S1 Alg. 1).
2. S1 Alg. 1, its step each of C in {1, 3, 10, 30} ε, run to the end, against SinkhornDual on as few samples as reach an equal
   or better gap *and* error. The ratio that counts is the least over the steps.

Gap: how far the dual objective of the potentials on fresh samples, free constants chosen best, falls short of the objective of
the exact ones; the same for both. Error: of the centred potential at new points, over its spread. "Exact" is SinkhornDual in
float64 on 4,000 samples.

Laws: two normal laws on the plane; two Dirichlet laws on the 70-cell simplex, whose potential hardly varies, so that Alg. 1
finds next to nothing of it; and the visits of two random walks on a 7 × 10 grid, points of the same simplex, which it does
learn.
"""

from __future__ import annotations

# isort: off
from report import Report, cpu, exponent
# isort: on

import pickle
import sys
from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from sb3_wasserstein.duals import RKHSDual, SinkhornDual
from sb3_wasserstein.duals.base import Dual

EPSILON = 0.1
BATCH = 500
STEPS = (1.0, 3.0, 10.0, 30.0)
WINDOWS = (25, 50, 100, 200, 400, 800, 1600, 3200)
ROWS, COLUMNS = 7, 10

Law = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def plane(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(n, 2)), 0.7 * rng.normal(size=(n, 2)) + 0.7


def simplex(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.dirichlet(np.linspace(0.05, 1, 70), size=n), rng.dirichlet(np.linspace(1, 0.05, 70), size=n)


def walks(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return _visits(rng, n, 0.5), _visits(rng, n, 0.8)


def _visits(rng: np.random.Generator, n: int, right: float) -> np.ndarray:
    """(n, 70) how often a walk from one corner of the grid to the other is where; a step goes right or up."""
    row, column = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    steps = ROWS + COLUMNS - 2
    visits = np.zeros((n, ROWS * COLUMNS))
    visits[:, 0] = 1.0
    for _ in range(steps):
        goes = ((rng.random(n) < right) & (column < COLUMNS - 1)) | (row == ROWS - 1)
        row, column = row + ~goes, column + goes
        visits[np.arange(n), COLUMNS * row + column] += 1.0
    return visits / (steps + 1)


def stream(dual: RKHSDual, law: Law, counts: list[int], seed: int = 0) -> list[float]:
    """CPU seconds of the updates alone, up to each of the counts."""
    rng, spent, seen, times = np.random.default_rng(seed), 0.0, 0, []
    for count in counts:
        while seen < count:
            x, y = law(rng, BATCH)
            spent += cpu(lambda x=x, y=y: dual.update(x, y))
            seen += BATCH
        times.append(spent)
    return times


def growth(report: Report, name: str, budget: int | None, counts: list[int]) -> None:
    dual = RKHSDual(epsilon=EPSILON, budget=budget, seed=0)
    times, sizes, seen = [], [], 0
    for count in counts:
        spent = stream(dual, plane, [count - seen], seed=count)[0]
        times.append(spent + (times[-1] if times else 0.0))
        sizes.append(len(pickle.dumps(dual.state_dict())) / 1024)
        seen = count
        print(f"   {name:10s} {count:9d} {times[-1]:8.3f} {1e6 * times[-1] / count:12.1f} {sizes[-1]:12.1f}", flush=True)
        report.row(part=name, samples=count, cpu_s=times[-1], state_kib=sizes[-1])
    in_time, in_memory = exponent(counts, times), exponent(counts, sizes)
    last = np.log(times[-1] / times[-2]) / np.log(counts[-1] / counts[-2])
    print(f"   {name:10s} exponents: time {in_time:.3f} (the last two {last:.3f}), memory {in_memory:.4f}")
    report.row(part=f"{name}: exponents", time_exponent=in_time, last_time_exponent=last, memory_exponent=in_memory)
    if budget is not None:
        report.at_most(f"{name}: time exponent", in_time, 1.05)
        report.at_most(f"{name}: memory exponent", in_memory, 0.02)


def objective(dual: Dual, x: np.ndarray, y: np.ndarray) -> float:
    """The dual objective on fresh samples, the constant that f and g leave open chosen best."""
    f, g, epsilon = dual.potential(x), dual.potential_y(y), dual.epsilon_
    exponents = (f[:, None] + g - dual.ground_cost.matrix(x, y)) / epsilon
    return float(f.mean() + g.mean() - epsilon * (logsumexp(exponents) - np.log(exponents.size)))


class Judge:
    """Gap and error of potentials of a law."""

    def __init__(self, law: Law) -> None:
        rng = np.random.default_rng(1)
        self.exact = SinkhornDual(epsilon=EPSILON, debias=False, dtype="float64", tol=1e-6)
        self.exact.update(*law(rng, 4000))
        self.new, self.fresh = law(rng, 1000)[0], law(np.random.default_rng(4), 2000)
        self.potential, self.objective = self.exact.potential(self.new), objective(self.exact, *self.fresh)

    def __call__(self, dual: Dual) -> tuple[float, float, float]:
        """Gap, error, correlation."""
        potential = dual.potential(self.new)
        gap = max(0.0, 1.0 - objective(dual, *self.fresh) / self.objective)
        error = float(np.std(potential - self.potential) / self.potential.std())
        return gap, error, float(np.corrcoef(potential, self.potential)[0, 1])


def race(report: Report, name: str, law: Law, samples: int, line: float) -> None:
    judge = Judge(law)
    epsilon = judge.exact.epsilon_
    windows = []
    for n in WINDOWS:
        x, y = law(np.random.default_rng(2), n)
        times = []
        for _ in range(7):
            dual = SinkhornDual(epsilon=epsilon, relative=False, debias=False)
            times.append(cpu(lambda dual=dual, x=x, y=y: dual.update(x, y)))
        windows.append((n, float(np.median(times)), *judge(dual)))
    least = np.inf
    for step in STEPS:
        dual = RKHSDual(epsilon=epsilon, relative=False, budget=None, step=step, seed=0)
        half, seconds = stream(dual, law, [samples // 2, samples])
        gap, error, correlation = judge(dual)
        good = [window for window in windows if window[2] <= gap and window[3] <= error]
        n, ours, our_gap, our_error, our_correlation = good[0] if good else windows[-1]
        ratio = seconds / ours if good else 0.0
        least = min(least, ratio)
        print(f"   {name:8s} C = {step:4.0f} ε: {seconds:7.1f} s (half-way {half:.1f})  gap {gap:.3f}  error {error:.3f}  "
              f"correlation {correlation:.3f}; Sinkhorn n = {n:4d}: {1e3 * ours:.3f} ms  gap {our_gap:.3f}  error "
              f"{our_error:.3f}: {ratio:,.0f} x", flush=True)  # fmt: skip
        report.row(part=name, samples=samples, step=step, cpu_s=seconds, cpu_s_half=half, gap=gap, error=error,
                   correlation=correlation, sinkhorn_n=n, sinkhorn_s=ours, sinkhorn_gap=our_gap, sinkhorn_error=our_error,
                   sinkhorn_correlation=our_correlation, ratio=ratio)  # fmt: skip
    report.at_least(f"{name}: ratio", least, line)


def main() -> int:
    report = Report(__doc__)
    quick = report.start().quick
    print("1. growth       samples    CPU s    us/sample    state KiB")
    growth(report, "bounded", 256, [1_000, 2_000] if quick else [1_000, 10_000, 100_000, 1_000_000])
    growth(report, "faithful", None, [1_000, 2_000] if quick else [1_000, 10_000, 50_000, 100_000])
    print("2. S1 Alg. 1 against Sinkhorn on a window")
    race(report, "plane", plane, 1_000 if quick else 100_000, 2_000)
    race(report, "simplex", simplex, 1_000 if quick else 10_000, 500)
    race(report, "walks", walks, 1_000 if quick else 10_000, 500)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
