"""
Sinkhorn's algorithm on one pair of clouds, fast: one pass of exp for the absorbed kernel, then products with vectors only.

The kernel absorbs the potentials that the iteration starts from, K_ij = exp((g_j − c_ij) / ε + log q_j − max_j), so that the
scalings that the products work on stay near one, and float32 is enough (Schmitzer 2019). A cold start solves a subsample,
a small one goes through larger ε. Scalings are mixed by Anderson acceleration. Where a kernel's column dies, the log domain
takes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sb3_wasserstein.duals.anderson import Anderson
from sb3_wasserstein.duals.clouds import Array
from sb3_wasserstein.duals.pairwise import namespace

#: entries that a block of rows may have, to stay in the cache
BLOCK = 2**16
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
#: iterations before mixing
PLAIN_STEPS = 3
QUICK = 0.2
#: a column sum below this has died: the kernel has to be absorbed anew
LEAST_COLUMN = 1e-30
#: row maxima of the log-kernel within which exp needs no offset: what float32 then loses is 1e-16 of the row
SAFE_EXPONENT = 50.0
#: scalings that may build up before the kernel absorbs them
LARGEST_SCALING = 1e13
#: a residual so many times the best one means that mixing has overshot; so often, and it is given up
OVERSHOT = 3.0
OBJECTIVE_SLACK = 1e-5
MOST_OVERSHOOTS = 20
#: so many iterations without a better residual, and below this, and the type's rounding is what is left
PATIENCE = 200
ROUNDING = 1e-2


class Solution(NamedTuple):
    """Potentials on the samples, with the L1 error of both marginals that they leave."""

    f: Array
    g: Array
    residual: float
    iterations: int


def solve(
    costs: Callable[[], Array],
    p: Array,
    q: Array,
    epsilon: float,
    g: Array | None = None,
    tol: float = 1e-3,
    max_iterations: int = 10_000,
) -> Solution:
    """
    The potentials between two clouds.

    :param costs: makes the (n, m) costs, to be overwritten; called again only where the kernel has to be absorbed anew
    :param p: (n,) weights > 0, of the costs' type
    :param q: (m,) weights > 0
    :param epsilon: ε in the cost's unit
    :param g: (m,) where to start, ``None`` for cold
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: the potentials, f being g's soft c-transform
    """
    xp = namespace(p)
    matrix = costs()
    tentative = g is None and max(len(p), len(q)) < TENTATIVE_SIZE and float(matrix.max()) < TENTATIVE * epsilon
    if g is None:
        g = xp.zeros_like(q) if tentative else _cold_start(matrix, p, q, epsilon)
    log_q = xp.log(q)
    iterations = 0
    while True:
        offsets = _absorb(matrix, g / epsilon + log_q, epsilon)
        most = max_iterations - iterations
        scaled = _iterate(matrix, p, q, tol, min(most, TENTATIVE_ITERATIONS) if tentative else most)
        iterations += scaled.iterations
        f = epsilon * (scaled.log_u - offsets)
        if scaled.residual <= tol or scaled.stalled or iterations >= max_iterations:
            return Solution(f, g + epsilon * scaled.log_v, scaled.residual, iterations)
        matrix = costs()
        if tentative and scaled.residual > 2 * START_TOL:
            g = _cold_start(matrix, p, q, epsilon)
        else:
            g = _column_transform(1.0 * matrix, xp.log(p), f, epsilon)
        tentative = False


def solve_symmetric(
    costs: Callable[[], Array],
    p: Array,
    epsilon: float,
    f: Array | None = None,
    tol: float = 1e-3,
    max_iterations: int = 10_000,
) -> Solution:
    """
    The symmetric potential of a cloud against itself, by averaged steps f ← (f + T f) / 2.

    :param costs: makes the (n, n) symmetric costs, to be overwritten
    :param p: (n,) weights > 0, of the costs' type
    :param epsilon: ε in the cost's unit
    :param f: (n,) where to start, ``None`` for cold
    :param tol: L1 error of the marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: f twice
    """
    xp = namespace(p)
    f = xp.zeros_like(p) if f is None else f
    kernel = costs()
    iterations = 0
    while True:
        _kernel_in_place(kernel, f / epsilon, f / epsilon, epsilon)
        scaled = _iterate_symmetric(kernel, p, tol, max_iterations - iterations)
        iterations += scaled.iterations
        f = f + epsilon * scaled.log_u
        if scaled.residual <= tol or scaled.stalled or iterations >= max_iterations:
            return Solution(f, f, scaled.residual, iterations)
        kernel = costs()


class _Scaled(NamedTuple):
    log_u: Array
    log_v: Array
    residual: float
    iterations: int
    stalled: bool


class _Search:
    """
    Which log-scaling comes next. Mixing may not lose what the dual objective, which plain steps never lower, has gained: then
    the highest point so far goes on by its plain step.
    """

    def __init__(self, weights: Array) -> None:
        self._mixer = Anderson(weights)
        self._overshoots = 0
        self._since_best = 0
        self._highest: tuple[float, Array, Array] | None = None
        self.best: tuple[float, Array, Array] = (math.inf, None, None)

    @property
    def stalled(self) -> bool:
        return self._since_best > PATIENCE and self.best[0] < ROUNDING

    def seen(self, residual: float, point: Array, rows: Array) -> None:
        """Keep the point of the smallest residual: what is returned if the tolerance is not reached."""
        self._since_best += 1
        if residual < self.best[0]:
            self.best, self._since_best = (residual, point, rows), 0

    def next(self, residual: float, objective: float, point: Array, step: Array) -> Array:
        if self._overshoots > MOST_OVERSHOOTS:
            return point + step
        slack = OBJECTIVE_SLACK * (1.0 + abs(objective))
        if self._highest is not None and (objective < self._highest[0] - slack or residual > OVERSHOT * self.best[0]):
            self._overshoots += 1
            self._mixer.forget()
            _, point, step = self._highest
            # Whatever comes next is taken: rounding must not send it back here for ever.
            self._highest = None
            return point + step
        if self._highest is None or objective >= self._highest[0]:
            self._highest = (objective, point, step)
        return self._mixer.next(point, step)


def _iterate(kernel: Array, p: Array, q: Array, tol: float, max_iterations: int) -> _Scaled:
    """Scale an absorbed kernel until both marginals fit, or the scalings leave what the type can hold."""
    xp = namespace(p)
    v = xp.ones_like(q)
    iterations = 0
    last = residual = math.inf
    # Plain steps are cheap, and good as long as they are long.
    while iterations < max_iterations and (iterations < PLAIN_STEPS or residual < QUICK * last):
        iterations += 1
        last = residual
        rows = kernel @ v
        columns = (p / rows) @ kernel
        residual = float(xp.abs(v * columns - q).sum())
        if residual <= tol or float(columns.min()) < LEAST_COLUMN:
            return _Scaled(-xp.log(rows), xp.log(v), residual, iterations, False)
        v = q / columns
    log_v = xp.log(v)
    search = _Search(q)
    while True:
        iterations += 1
        v = xp.exp(log_v)
        rows = kernel @ v
        columns = (p / rows) @ kernel
        columns *= v
        residual = float(xp.abs(columns - q).sum())
        search.seen(residual, log_v, rows)
        if residual <= tol or iterations >= max_iterations or search.stalled:
            break
        if float(columns.min()) < LEAST_COLUMN or float(v.max()) > LARGEST_SCALING:
            # Not to the best: where mass has to go far the residual stays as it is until the scalings have grown.
            return _Scaled(-xp.log(rows), log_v, residual, iterations, False)
        step = xp.log(q / columns)
        log_v = search.next(residual, float(q @ log_v - p @ xp.log(rows)), log_v, step)
    residual, log_v, rows = search.best
    return _Scaled(-xp.log(rows), log_v, residual, iterations, search.stalled)


def _iterate_symmetric(kernel: Array, p: Array, tol: float, max_iterations: int) -> _Scaled:
    """Scale a symmetric kernel from both sides until its marginals fit."""
    xp = namespace(p)
    log_u = xp.zeros_like(p)
    search = _Search(p)
    iterations = 0
    while True:
        iterations += 1
        u = xp.exp(log_u)
        rows = u * (kernel @ (p * u))
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


def _cold_start(matrix: Array, p: Array, q: Array, epsilon: float) -> Array:
    """g to start from: of a subsample where the clouds are large, else by way of larger ε."""
    xp = namespace(p)
    by_row = COARSE if len(p) >= SMALL else 1
    by_column = COARSE if len(q) >= SMALL else 1
    largest = float(matrix[::by_row, ::by_column].max())
    if largest > DIRECT * epsilon and by_row * by_column > 1:
        coarse_p, coarse_q = p[::by_row] / p[::by_row].sum(), q[::by_column] / q[::by_column].sum()
        coarse = solve(
            lambda: 1.0 * matrix[::by_row, ::by_column], coarse_p, coarse_q, epsilon, None, START_TOL, START_ITERATIONS
        )
        return _column_transform(1.0 * matrix[::by_row], xp.log(coarse_p), coarse.f, epsilon)
    g = xp.zeros_like(q)
    stages: list[float] = []
    while largest > DIRECT * epsilon * SCALING ** len(stages):
        stages.append(epsilon * SCALING ** (len(stages) + 1))
    for stage in reversed(stages):
        g = solve(lambda: 1.0 * matrix, p, q, stage, g, 2 * START_TOL, START_ITERATIONS).g
    return g


def _absorb(matrix: Array, log_scaling: Array, epsilon: float) -> Array:
    """Turn costs into the kernel exp(log_scaling_j − c_ij / ε − max_i), in place; returns max_i, or 0 where that is safe."""
    xp = namespace(matrix)
    maxima = xp.zeros_like(matrix[:, 0])
    for rows in _blocks(matrix):
        block = matrix[rows]
        block *= -1.0 / epsilon
        block += log_scaling
        largest = xp.amax(block, 1)
        if float(largest.max()) > SAFE_EXPONENT or float(largest.min()) < -SAFE_EXPONENT:
            block -= largest[:, None]
            maxima[rows] = largest
        xp.exp(block, out=block)
    return maxima


def _kernel_in_place(matrix: Array, log_u: Array, log_v: Array, epsilon: float) -> None:
    """Turn costs into the kernel exp(log_u_i + log_v_j − c_ij / ε), in place."""
    xp = namespace(matrix)
    for rows in _blocks(matrix):
        block = matrix[rows]
        block *= -1.0 / epsilon
        block += log_v
        block += log_u[rows][:, None]
        xp.exp(block, out=block)


def _column_transform(matrix: Array, log_p: Array, f: Array, epsilon: float) -> Array:
    """g's soft c-transform, in the log domain; overwrites the costs."""
    xp = namespace(matrix)
    matrix *= -1.0 / epsilon
    matrix += (f / epsilon + log_p)[:, None]
    largest = xp.amax(matrix, 0)
    matrix -= largest
    xp.exp(matrix, out=matrix)
    return -epsilon * (largest + xp.log(xp.ones_like(f) @ matrix))


def _blocks(matrix: Array) -> list[slice]:
    """Rows that fit the cache together; all of them where there is no cache to fit."""
    rows = max(1, BLOCK // matrix.shape[1]) if namespace(matrix) is np else len(matrix)
    return [slice(start, start + rows) for start in range(0, len(matrix), rows)]
