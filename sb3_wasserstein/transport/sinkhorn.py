"""
Sinkhorn's algorithm on one pair of clouds, fast: one pass of exp for the absorbed kernel, then products with vectors only.

The kernel absorbs the potentials that the iteration starts from, so that the scalings that the products work on stay near
one, and float32 is enough (Schmitzer 2019). A cold start solves a subsample, a small one goes through larger ε. Scalings are
mixed by Anderson acceleration. Where a kernel's column dies, the log domain takes over.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sb3_wasserstein.cloud import Array
from sb3_wasserstein.transport.cost_matrix import Pairs, namespace
from sb3_wasserstein.transport.kernel import Kernel
from sb3_wasserstein.transport.search import Search

#: smaller clouds start from a larger ε, larger ones from every COARSE-th point
SMALL = 256
COARSE = 8
#: the marginal error that a start is solved to
START_TOL = 0.05
START_ITERATIONS = 200
#: the factor between one ε and the next
SCALING = 4.0
#: c / ε up to which a start from zero needs no larger ε before, and no subsample
DIRECT = 20.0
#: c / ε and size up to which a start from zero is tried first, and for how long: mass that has far to go shows by then
TENTATIVE = 50.0
TENTATIVE_SIZE = 2000
TENTATIVE_ITERATIONS = 25
#: iterations before mixing, which are more as long as the residual falls by this factor
PLAIN_STEPS = 3
QUICK = 0.5
#: a column sum below this has died: the kernel has to be absorbed anew
LEAST_COLUMN = 1e-30
#: scalings, and their inverses, that may build up before the kernel absorbs them: a row of tiny ones sums to zero in float32
LARGEST_SCALING = 1e13


class Solution(NamedTuple):
    """Potentials on the samples, with the L1 error of both marginals that they leave."""

    f: Array
    g: Array
    residual: float
    iterations: int


def solve(
    pairs: Pairs,
    p: Array,
    q: Array,
    epsilon: float,
    g: Array | None = None,
    tol: float = 1e-3,
    max_iterations: int = 10_000,
) -> Solution:
    """
    The potentials between two clouds.

    :param pairs: the (n, m) costs
    :param p: (n,) weights > 0, of the costs' type
    :param q: (m,) weights > 0
    :param epsilon: ε in the cost's unit
    :param g: (m,) where to start, ``None`` for cold
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: the potentials, f being g's soft c-transform
    """
    xp = namespace(p)
    tentative = g is None and max(len(p), len(q)) < TENTATIVE_SIZE and _far(pairs, TENTATIVE * epsilon) == 0.0
    if g is None:
        g = xp.zeros_like(q) if tentative else _cold_start(pairs, p, q, epsilon)
    log_q = xp.log(q)
    iterations = 0
    while True:
        kernel = Kernel(pairs, g / epsilon + log_q, epsilon, p)
        most = max_iterations - iterations
        scaled = _iterate(kernel, q, tol, min(most, TENTATIVE_ITERATIONS) if tentative else most)
        iterations += scaled.iterations
        f = epsilon * (scaled.log_u - kernel.offsets)
        if scaled.residual <= tol or scaled.stalled or iterations >= max_iterations:
            return Solution(f, g + epsilon * scaled.log_v, scaled.residual, iterations)
        del kernel
        if tentative and scaled.residual > 2 * START_TOL:
            g = _cold_start(pairs, p, q, epsilon)
        else:
            g = _soft_transform(pairs.transposed(), f, p, q, epsilon)
        tentative = False


def solve_symmetric(
    pairs: Pairs,
    p: Array,
    epsilon: float,
    f: Array | None = None,
    tol: float = 1e-3,
    max_iterations: int = 10_000,
) -> Solution:
    """
    The symmetric potential of a cloud against itself, by averaged steps f ← (f + T f) / 2.

    :param pairs: the (n, n) symmetric costs
    :param p: (n,) weights > 0, of the costs' type
    :param epsilon: ε in the cost's unit
    :param f: (n,) where to start, ``None`` for cold
    :param tol: L1 error of the marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: f twice
    """
    xp = namespace(p)
    f = xp.zeros_like(p) if f is None else f
    iterations = 0
    while True:
        kernel = Kernel(pairs, f / epsilon + xp.log(p), epsilon, p)
        scaled = _iterate_symmetric(kernel, xp.exp(f / epsilon + kernel.offsets), p, tol, max_iterations - iterations)
        iterations += scaled.iterations
        f = f + epsilon * scaled.log_u
        if scaled.residual <= tol or scaled.stalled or iterations >= max_iterations:
            return Solution(f, f, scaled.residual, iterations)


class _Scaled(NamedTuple):
    log_u: Array
    log_v: Array
    residual: float
    iterations: int
    stalled: bool


def _iterate(kernel: Kernel, q: Array, tol: float, max_iterations: int) -> _Scaled:
    """Scale an absorbed kernel until both marginals fit, or the scalings leave what the type can hold."""
    xp = namespace(q)
    v = xp.ones_like(q)
    rows, columns = kernel.rows, kernel.columns
    iterations = 0
    last = residual = math.inf
    # Plain steps are cheap, and good as long as they are long.
    while iterations < max_iterations and (iterations < PLAIN_STEPS or residual < QUICK * last):
        if iterations:
            rows, columns = kernel.products(v)
        iterations += 1
        last = residual
        residual = float(xp.abs(v * columns - q).sum())
        if residual <= tol or float(columns.min()) < LEAST_COLUMN:
            return _Scaled(-xp.log(rows), xp.log(v), residual, iterations, False)
        v = q / columns
        if float(v.min()) < 1.0 / LARGEST_SCALING:
            return _Scaled(-xp.log(rows), xp.log(v), residual, iterations, False)
    log_v = xp.log(v)
    search = Search(q)
    weights = kernel.weights
    while True:
        iterations += 1
        v = xp.exp(log_v)
        rows, columns = kernel.products(v)
        columns *= v
        residual = float(xp.abs(columns - q).sum())
        search.seen(residual, log_v, rows)
        if residual <= tol or iterations >= max_iterations or search.stalled:
            break
        if float(columns.min()) < LEAST_COLUMN or float(v.max()) > LARGEST_SCALING or float(v.min()) < 1.0 / LARGEST_SCALING:
            # Not to the best: where mass has to go far the residual stays as it is until the scalings have grown.
            return _Scaled(-xp.log(rows), log_v, residual, iterations, False)
        step = xp.log(q / columns)
        log_v = search.next(residual, float(q @ log_v - weights @ xp.log(rows)), log_v, step)
    residual, log_v, rows = search.best
    return _Scaled(-xp.log(rows), log_v, residual, iterations, search.stalled)


def _iterate_symmetric(kernel: Kernel, left: Array, p: Array, tol: float, max_iterations: int) -> _Scaled:
    """Scale a symmetric kernel, which ``left`` times the absorbed one is, from both sides until its marginals fit."""
    xp = namespace(p)
    log_u = xp.zeros_like(p)
    search = Search(p)
    iterations = 0
    while True:
        u = xp.exp(log_u)
        rows = u * left * (kernel.matrix @ u if iterations else kernel.rows)
        iterations += 1
        residual = float(xp.abs(rows - 1.0) @ p)
        search.seen(residual, log_u, rows)
        if residual <= tol or iterations >= max_iterations or search.stalled:
            break
        if float(u.max()) > LARGEST_SCALING:
            return _Scaled(log_u, log_u, residual, iterations, False)
        step = -0.5 * xp.log(rows)
        log_u = search.next(residual, float(2.0 * (p @ log_u) - p @ rows), log_u, step)
    residual, log_u, _ = search.best
    return _Scaled(log_u, log_u, residual, iterations, search.stalled)


def _cold_start(pairs: Pairs, p: Array, q: Array, epsilon: float) -> Array:
    """g to start from: of a subsample where the clouds are large, else by way of larger ε."""
    largest = _far(pairs, DIRECT * epsilon)
    by_row, by_column = _thinning(pairs.shape)
    if largest and by_row * by_column > 1:
        coarse_p, coarse_q = p[::by_row] / p[::by_row].sum(), q[::by_column] / q[::by_column].sum()
        coarse = solve(pairs.thinned(by_row, by_column), coarse_p, coarse_q, epsilon, None, START_TOL, START_ITERATIONS)
        return _soft_transform(pairs.thinned(by_row, 1).transposed(), coarse.f, coarse_p, q, epsilon)
    g = namespace(q).zeros_like(q)
    stages: list[float] = []
    while largest > DIRECT * epsilon * SCALING ** len(stages):
        stages.append(epsilon * SCALING ** (len(stages) + 1))
    for stage in reversed(stages):
        g = solve(pairs, p, q, stage, g, 2 * START_TOL, START_ITERATIONS).g
    return g


def _far(pairs: Pairs, limit: float) -> float:
    """The largest cost (of a subsample where the clouds are large) if it exceeds the limit, else 0."""
    if pairs.bound() <= limit:
        return 0.0
    largest = pairs.thinned(*_thinning(pairs.shape)).largest()
    return largest if largest > limit else 0.0


def _thinning(shape: tuple[int, int]) -> tuple[int, int]:
    """Every which row and column a start looks at."""
    by_row, by_column = (COARSE if size >= SMALL else 1 for size in shape)
    return by_row, by_column


def _soft_transform(pairs: Pairs, g: Array, q: Array, p: Array, epsilon: float) -> Array:
    """−ε log Σ_j q_j exp((g_j − c_ij) / ε)."""
    xp = namespace(g)
    kernel = Kernel(pairs, g / epsilon + xp.log(q), epsilon, p)
    return -epsilon * (kernel.offsets + xp.log(kernel.rows))
