"""
SinkhornDual against the best of POT, POT's log form in torch, geomloss and ott-jax, and against the machine's roofline.

    python -m benchmarks.transport.dual               # the whole table, with numba's loops where it is installed
    python -m benchmarks.transport.dual --plain       # without them

CPU time of one thread, peers interleaved with us in the same run, medians. Ours is the whole `update`: checks, cost matrix,
median, solve; what is compiled has been compiled before. A peer is given its cost matrix (geomloss makes its own), and its
stopping threshold is the loosest of a ladder at which the L1 error of both marginals, checked in float64, is at most 1e-3; one
that never gets there, or takes three times the best one's time, is not counted, nor tried again on larger clouds.

The roofline is one pass of exp over the matrix (the faster of numpy's exp and torch's exp2, in place, on numbers as newly made
as the costs that the solve is given) and as many products as there were iterations, by turns with the solves. It knows no cost
matrix and no median, so it is compared with the solve alone, from given costs to the potentials, its start included; the last
two columns compare it with the whole update.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from scipy.spatial.distance import cdist

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import Show, mean
from benchmarks._lib.study import Run, Study
from benchmarks._lib.timing import cpu, inner_loops, interleaved, marginal_error
from sb3_wasserstein.cloud import FLOAT32
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.transport.cost_matrix import MatrixPairs
from sb3_wasserstein.transport.sinkhorn import solve

#: the L1 error of both marginals that everybody is to reach
TOL = 1e-3
#: a peer's thresholds, of which the loosest that reaches it is taken
LADDER = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
#: a peer that takes so many times the best one's time is out of the race
HOPELESS = 3.0
#: peers slower than this a solve are timed once
PATIENCE = 2.0

Pair = tuple[np.ndarray, np.ndarray]


def clouds(n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """μ, ν, and μ a little later."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, d)), 0.7 * rng.normal(size=(n, d)) + 1 / np.sqrt(d)
    return x, y, x + 0.02 * rng.normal(size=(n, d))


def error_of(costs: np.ndarray, f: np.ndarray, g: np.ndarray, epsilon: float) -> float:
    """L1 error of both marginals in float64, for potentials of the product reference and equal weights."""
    n, m = costs.shape
    with np.errstate(over="ignore", invalid="ignore"):
        plan = np.exp((f[:, None] + g - costs) / epsilon) / (n * m)
    return marginal_error(plan, np.full(n, 1 / n), np.full(m, 1 / m))


def peers(x: np.ndarray, y: np.ndarray, costs: np.ndarray, epsilon: float) -> dict[str, Callable[[float], Pair]]:
    """Each peer's solve as a function of its threshold, returning potentials of the product reference."""
    n, m = costs.shape
    p, q = np.full(n, 1 / n), np.full(m, 1 / m)
    found: dict[str, Callable[[float], Pair]] = {}
    try:
        import ot

        def pot(threshold: float) -> Pair:
            # POT's threshold is on the L2 norm of one marginal.
            log = ot.sinkhorn(p, q, costs, epsilon, stopThr=threshold / np.sqrt(m), numItermax=20_000, log=True)[1]
            with np.errstate(divide="ignore"):
                return epsilon * np.log(log["u"] * n), epsilon * np.log(log["v"] * m)

        tp, tq, tc = torch.from_numpy(p), torch.from_numpy(q), torch.from_numpy(costs)

        def pot_log(threshold: float) -> Pair:
            log = ot.sinkhorn(
                tp, tq, tc, epsilon, method="sinkhorn_log", stopThr=threshold / np.sqrt(m), numItermax=2_000, log=True
            )[1]
            return epsilon * (log["log_u"].numpy() + np.log(n)), epsilon * (log["log_v"].numpy() + np.log(m))

        found["POT"], found["POT log (torch)"] = pot, pot_log
    except ImportError:
        print("POT is not installed: skipped (pip install pot)")
    try:
        from geomloss import SamplesLoss

        tx, ty = torch.from_numpy(x), torch.from_numpy(y)

        def geomloss(threshold: float) -> Pair:
            # geomloss has no threshold, but a schedule: more stages are more iterations.
            loss = SamplesLoss(
                "sinkhorn", p=1, blur=epsilon, scaling=1 - min(0.5, 50 * threshold ** (2 / 3)), debias=False, potentials=True,
                backend="tensorized",
            )  # fmt: skip
            f, g = loss(tx, ty)
            return f.detach().numpy().ravel(), g.detach().numpy().ravel()

        found["geomloss"] = geomloss
    except ImportError:
        print("geomloss is not installed: skipped (pip install geomloss)")
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        from ott.geometry.geometry import Geometry
        from ott.problems.linear.linear_problem import LinearProblem
        from ott.solvers.linear.sinkhorn import Sinkhorn

        jc = jax.numpy.asarray(costs)
        compiled: dict[float, Callable[[jax.Array], Pair]] = {}

        def ott(threshold: float) -> Pair:
            if threshold not in compiled:
                solver = Sinkhorn(threshold=threshold, max_iterations=2_000, lse_mode=False)
                compiled[threshold] = jax.jit(
                    lambda c: (lambda o: (o.f, o.g))(solver(LinearProblem(Geometry(c, epsilon=epsilon))))
                )
            f, g = compiled[threshold](jc)
            f, g = np.asarray(f), np.asarray(g)
            # ott's potentials contain the weights.
            return f + epsilon * np.log(n), g + epsilon * np.log(m)

        found["ott-jax"] = ott
    except ImportError:
        print("ott-jax is not installed: skipped (pip install ott-jax)")
    return found


def loosest(solve: Callable[[float], Pair], costs: np.ndarray, epsilon: float, hopeless: float) -> tuple[float, float] | None:
    """The loosest threshold at which a peer reaches the tolerance, and its time; none where that is above ``hopeless``."""
    for threshold in LADDER:
        spent = np.inf
        # The second run is without what has to be compiled.
        for _ in range(2):
            start = time.process_time()
            f, g = solve(threshold)
            spent = min(spent, time.process_time() - start)
            if spent < 0.5 * hopeless:
                break
        if spent > hopeless:
            return None
        if error_of(costs, f, g, epsilon) <= TOL:
            return threshold, spent
    return None


def contenders_of(
    x: np.ndarray, y: np.ndarray, costs: np.ndarray, epsilon: float, without: set[str]
) -> tuple[dict[str, tuple[Callable[[], object], float]], set[str]]:
    """Peers that reach the tolerance, each with its time; and those that are out of the race from now on."""
    found: dict[str, tuple[Callable[[], object], float]] = {}
    hopeless, out = np.inf, set()
    for name, solve_ in peers(x, y, costs, epsilon).items():
        if name in without:
            continue
        reached = loosest(solve_, costs, epsilon, hopeless)
        if reached is None:
            out.add(name)
            continue
        threshold, seconds = reached
        found[name] = partial(solve_, threshold), seconds
        hopeless = min(hopeless, HOPELESS * seconds)
    return found, out


def case(n: int, d: int, epsilon: float, repeats: int, hopeless: set[str]) -> dict[str, Value]:
    """:param hopeless: peers that are out of the race; on large clouds those that are too slow are added"""
    x, y, later = clouds(n, d)
    costs = cdist(x, y)

    def unfitted() -> SinkhornDual:
        return SinkhornDual(epsilon=epsilon, debias=False)

    def restored() -> SinkhornDual:
        dual = unfitted()
        dual.load_state_dict(state)
        return dual

    def timed(make: Callable[[], SinkhornDual], points: np.ndarray) -> float:
        dual = make()
        return cpu(lambda: dual.update(points, y))

    dual = unfitted()
    dual.update(x, y)
    state = dual.state_dict()
    warm = restored()
    warm.update(later, y)
    absolute = dual.epsilon_
    p, q = np.full(n, 1 / n), np.full(n, 1 / n)
    error = max(marginal_error(np.asarray(fitted.coupling(), dtype=np.float64), p, q) for fitted in (dual, warm))

    weights, kernel = np.full(n, 1 / n, np.float32), np.exp(-costs / costs.max()).astype(np.float32)
    largest = np.float32(costs.max())

    def solved(points: np.ndarray, start: np.ndarray | None) -> float:
        pairs = MatrixPairs(cdist(points, y).astype(np.float32), FLOAT32)
        return cpu(lambda: solve(pairs, weights, weights, absolute, start))

    def exponents() -> np.ndarray:
        # Of moderate size: numbers that underflow take twice as long, and a best has none.
        return cdist(x, y).astype(np.float32) / -largest

    def exp_of_numpy() -> float:
        matrix = exponents()
        return cpu(lambda: np.exp(matrix, out=matrix))

    def exp_of_torch() -> float:
        tensor = torch.from_numpy(exponents())
        return cpu(lambda: torch.exp2(tensor, out=tensor))

    g = dual.potential_y(y).astype(np.float32)
    found, out = contenders_of(x, y, costs, absolute, hopeless)
    if n >= 1000:
        hopeless |= out
    quick = {name: call for name, (call, seconds) in found.items() if seconds < PATIENCE}
    taken = {name: seconds for name, (_, seconds) in found.items()} | interleaved(
        repeats,
        **{name: (lambda call=call: cpu(call)) for name, call in quick.items()},
        cold=lambda: timed(unfitted, x),
        warm=lambda: timed(restored, later),
        solve_cold=lambda: solved(x, None),
        solve_warm=lambda: solved(later, g),
        exp_of_numpy=exp_of_numpy,
        exp_of_torch=exp_of_torch,
        product=lambda: cpu(lambda: (kernel @ weights, weights @ kernel)),
    )
    exp, product = min(taken["exp_of_numpy"], taken["exp_of_torch"]), taken["product"]
    best = min(found, key=lambda name: taken[name])
    ideal_cold, ideal_warm = exp + dual.iterations * product, exp + warm.iterations * product
    return {
        **{f"{name}_ms": 1e3 * taken[name] for name in ("cold", "warm", "solve_cold", "solve_warm")},
        "best_peer_ms": 1e3 * taken[best],
        "best_peer": best, "cold_ratio": taken[best] / taken["cold"], "warm_ratio": taken[best] / taken["warm"],
        "cold_iterations": dual.iterations, "warm_iterations": warm.iterations, "error": error,
        "exp_ms": 1e3 * exp, "product_ms": 1e3 * product,
        "roofline_cold": ideal_cold / taken["solve_cold"], "roofline_warm": ideal_warm / taken["solve_warm"],
        "roofline_update_cold": ideal_cold / taken["cold"], "roofline_update_warm": ideal_warm / taken["warm"],
    }  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plain", action="store_true", help="without numba's loops, even where numba is installed")
    parser.add_argument("--sizes", type=int, nargs="+", default=(100, 1000, 4000))


def runs(args: argparse.Namespace) -> Iterator[Run]:
    loops = inner_loops(args.plain)
    hopeless: dict[tuple[int, float], set[str]] = {}
    for n in (100,) if args.quick else args.sizes:
        for d in (2,) if args.quick else (2, 16, 70):
            for epsilon in (0.1, 0.01):
                repeats = 3 if args.quick else {100: 51, 1000: 21}.get(n, 5)
                out = hopeless.setdefault((d, epsilon), set())
                yield {"n": n, "d": d, "epsilon": epsilon, "loops": loops}, partial(case, n, d, epsilon, repeats, out)


if __name__ == "__main__":
    keys = ["n", "d", "epsilon", "loops"]
    results = [
        "cold_ms", "warm_ms", "best_peer_ms", "best_peer", "cold_ratio", "warm_ratio", "cold_iterations", "warm_iterations",
        "error", "solve_cold_ms", "solve_warm_ms", "exp_ms", "product_ms", "roofline_cold", "roofline_warm",
        "roofline_update_cold", "roofline_update_warm",
    ]  # fmt: skip
    columns: dict[str, Show] = {name: mean(name) for name in results if name != "best_peer"}
    sys.exit(Study(__doc__, "dual", keys, results, runs, keys, columns, options=options).main())
