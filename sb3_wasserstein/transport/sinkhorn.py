"""
Sinkhorn's algorithm on one pair of clouds (Cuturi 2013; Abdullah et al. 2018, Alg. 2), fast: one pass of exp for the absorbed
kernel, then products with vectors only.

The kernel absorbs the potentials that the iteration starts from, so that the scalings that the products work on stay near one,
and float32 is enough (Schmitzer 2019). Where scalings grow, or a column of the kernel dies, the potentials are absorbed anew.
A cold start comes down through larger ε, or from a part of the points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from sb3_wasserstein.cloud import Array
from sb3_wasserstein.transport.acceleration import AndersonAcceleration, Search
from sb3_wasserstein.transport.cost_matrix import Pairs, absorb, namespace


@dataclass(frozen=True)
class ColdStart:
    """
    Where a solve begins that has no potentials to begin with.

    :param direct: the largest cost, in ε, up to which a solve begins at zero
    :param factor: between one ε and the next: small clouds come down through larger ε
    :param large: points from which a cloud begins with the solution of every ``stride``-th point instead
    :param stride: see ``large``
    :param tol: the marginal error that these first problems are solved to
    :param max_iterations: of each of these first problems
    """

    direct: float = 20.0
    factor: float = 4.0
    large: int = 256
    stride: int = 8
    tol: float = 0.05
    max_iterations: int = 200


@dataclass(frozen=True)
class SinkhornOptions:
    """
    How a problem is solved.

    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :param cold_start: where to begin without potentials
    :param acceleration: how steps are mixed
    """

    tol: float = 1e-3
    max_iterations: int = 10_000
    cold_start: ColdStart = field(default_factory=ColdStart)
    acceleration: AndersonAcceleration = field(default_factory=AndersonAcceleration)


DEFAULT = SinkhornOptions()


class Solution(NamedTuple):
    """
    Potentials on the samples.

    :param f: (n,)
    :param g: (m,)
    :param residual: the L1 error of both marginals
    :param iterations: that were taken
    """

    f: Array
    g: Array
    residual: float
    iterations: int


def solve(
    pairs: Pairs, p: Array, q: Array, epsilon: float, g: Array | None = None, options: SinkhornOptions = DEFAULT
) -> Solution:
    """
    The potentials between two clouds.

    :param pairs: the (n, m) costs
    :param p: (n,) weights > 0, of the costs' type
    :param q: (m,) weights > 0
    :param epsilon: ε in the costs' unit, as potentials are
    :param g: (m,) where to start, ``None`` for cold
    :param options: tolerances, and how to get there
    :return: the potentials, f being g's soft c-transform
    """
    xp = namespace(p)
    g = _cold_start(pairs, p, q, epsilon, options) if g is None else g
    iterations = 0
    while True:
        kernel = _Kernel(pairs, g / epsilon + xp.log(q), epsilon, p)

        def evaluate(log_v: Array, kernel: _Kernel = kernel) -> _Point:
            rows, columns = kernel.products(xp.exp(log_v))
            marginal = xp.exp(log_v) * columns
            alive = float(columns.min()) > 1e-30
            objective = float(q @ log_v - p @ xp.log(rows))
            return _Point(float(abs(marginal - q).sum()), objective, xp.log(q / marginal) if alive else None, rows)

        scaled = _iterate(evaluate, q, replace(options, max_iterations=options.max_iterations - iterations))
        iterations += scaled.iterations
        f = -epsilon * (xp.log(scaled.rows) + kernel.offsets)
        if scaled.done or iterations >= options.max_iterations:
            return Solution(f, g + epsilon * scaled.log_scaling, scaled.residual, iterations)
        g = transform(pairs.transposed(), f, p, epsilon)


def solve_symmetric(
    pairs: Pairs, p: Array, epsilon: float, f: Array | None = None, options: SinkhornOptions = DEFAULT, mass: float = 1.0
) -> Solution:
    """
    The symmetric potential of a cloud against itself, by averaged steps f ← (f + T f) / 2 (Feydy et al. 2019), which need no
    cold start. No mass moves along ``pairs.left_out``.

    :param pairs: the (n, n) symmetric costs
    :param p: (n,) weights > 0, of the costs' type
    :param epsilon: ε in the costs' unit, as potentials are
    :param f: (n,) where to start, ``None`` for cold
    :param options: tolerances, and how to get there
    :param mass: of p ⊗ p on the pairs that are not within a draw, by which the reference is divided
    :return: f twice
    """
    xp = namespace(p)
    f = xp.zeros_like(p) if f is None else f
    iterations = 0
    while True:
        kernel = _Kernel(pairs, f / epsilon + xp.log(p / mass), epsilon)
        own = f / epsilon + kernel.offsets

        def evaluate(log_u: Array, kernel: _Kernel = kernel, own: Array = own) -> _Point:
            rows, _ = kernel.products(xp.exp(log_u))
            log_mass = log_u + own + xp.log(rows)
            mass = xp.exp(xp.clip(log_mass, None, 80.0))
            return _Point(float(p @ abs(mass - 1.0)), float(2.0 * (p @ log_u) - p @ mass), -0.5 * log_mass, rows)

        scaled = _iterate(evaluate, p, replace(options, max_iterations=options.max_iterations - iterations))
        iterations += scaled.iterations
        f = f + epsilon * scaled.log_scaling
        if scaled.done or iterations >= options.max_iterations:
            return Solution(f, f, scaled.residual, iterations)


def transform(pairs: Pairs, g: Array, q: Array, epsilon: float) -> Array:
    """
    The soft c-transform f_i = −ε log Σ_j q_j exp((g_j − c_ij) / ε) (Abdullah et al. 2018, Prop. 1).

    :param pairs: the (n, m) costs
    :param g: (m,) a potential, in the costs' unit
    :param q: (m,) weights > 0
    :param epsilon: ε in the costs' unit
    :return: (n,)
    """
    xp = namespace(g)
    f, log_scaling = pairs.backend.empty((pairs.shape[0],)), g / epsilon + xp.log(q)
    blocks = list(pairs.blocks())
    scratch = pairs.empty(blocks[0].stop)
    for rows in blocks:
        block = pairs.fill(rows, scratch[: rows.stop - rows.start])
        offsets = absorb(block, log_scaling, epsilon)
        f[rows] = -epsilon * (offsets + xp.log(block.sum(1)))
    return f


class _Kernel:
    """
    K_ij = exp(s_j − c_ij / ε − o_i), with the products of Sinkhorn's iteration.

    :param pairs: the costs
    :param log_scaling: (m,) s
    :param epsilon: ε in the costs' unit
    :param weights: (n,) p; ``None`` where products with rows are all that is asked for
    """

    def __init__(self, pairs: Pairs, log_scaling: Array, epsilon: float, weights: Array | None = None) -> None:
        n, _ = pairs.shape
        self._weights = weights
        self._matrix = pairs.empty(n)
        self._blocks = list(pairs.blocks())
        self.offsets = pairs.backend.empty((n,))
        for rows in self._blocks:
            self.offsets[rows] = absorb(pairs.fill(rows, self._matrix[rows]), log_scaling, epsilon)

    def products(self, v: Array) -> tuple[Array, Array]:
        """
        :param v: (m,) scalings
        :return: (n,) K v and (m,) Kᵀ (p / K v); block by block, so that each number is read from memory once
        """
        rows, columns = namespace(v).empty_like(self.offsets), namespace(v).zeros_like(v)
        for part in self._blocks:
            block = self._matrix[part]
            rows[part] = block @ v
            if self._weights is not None:
                columns += (self._weights[part] / rows[part]) @ block
        return rows, columns


class _Point(NamedTuple):
    residual: float
    objective: float
    #: what the plain iteration would add to the log-scaling; ``None`` where a column of the kernel has died
    step: Array | None
    rows: Array


class _Scaled(NamedTuple):
    log_scaling: Array
    rows: Array
    residual: float
    iterations: int
    done: bool


def _iterate(evaluate: Callable[[Array], _Point], weights: Array, options: SinkhornOptions) -> _Scaled:
    """Scale an absorbed kernel until its marginals fit, or until the scalings leave what the type can hold."""
    xp = namespace(weights)
    log_scaling = xp.zeros_like(weights)
    search = Search(weights, options.acceleration)
    for iteration in range(1, options.max_iterations + 1):
        point = evaluate(log_scaling)
        search.record(point.residual, log_scaling, point.rows)
        if point.residual <= options.tol or search.stalled or iteration == options.max_iterations:
            break
        if point.step is None or float(abs(log_scaling).max()) > 30.0:
            # Not the best point: where mass has to go far the residual stays as it is until the scalings have grown.
            return _Scaled(log_scaling, point.rows, point.residual, iteration, False)
        # A point far from all others asks for a step that exp cannot take: the next absorption is where it goes on.
        log_scaling = xp.clip(search.next(point.residual, point.objective, log_scaling, point.step), -40.0, 40.0)
    residual, log_scaling, rows = search.best
    return _Scaled(log_scaling, rows, residual, iteration, True)


def _cold_start(pairs: Pairs, p: Array, q: Array, epsilon: float, options: SinkhornOptions) -> Array:
    """g to start from: of a part of the points where the clouds are large, else by way of larger ε."""
    start = options.cold_start
    first = replace(options, tol=start.tol, max_iterations=start.max_iterations)
    by_row, by_column = (start.stride if size >= start.large else 1 for size in pairs.shape)
    part = pairs.thinned(by_row, by_column)
    largest = part.bound()
    if largest > start.direct * epsilon:
        largest = float(part.matrix().max())
    g = namespace(q).zeros_like(q)
    if largest > start.direct * epsilon and by_row * by_column > 1:
        coarse_p, coarse_q = p[::by_row] / p[::by_row].sum(), q[::by_column] / q[::by_column].sum()
        coarse = solve(part, coarse_p, coarse_q, epsilon, None, first)
        return transform(pairs.thinned(by_row, 1).transposed(), coarse.f, coarse_p, epsilon)
    stages = int(np.ceil(np.log(max(1.0, largest / (start.direct * epsilon))) / np.log(start.factor)))
    for stage in range(stages, 0, -1):
        g = solve(pairs, p, q, epsilon * start.factor**stage, g, first).g
    return g
