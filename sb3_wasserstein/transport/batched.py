"""Sinkhorn on many pairs of clouds: small pairs side by side in one tensor, large ones one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sb3_wasserstein._numba import compiled_for_pairs
from sb3_wasserstein._validation import check_count, check_flag
from sb3_wasserstein.cloud import Floats, Kind, as_cloud, as_weights
from sb3_wasserstein.transport.costs import Cost, GroundCost, SaturatingCost, check_positive
from sb3_wasserstein.transport.sinkhorn import (
    DIRECT,
    LARGEST_SCALING,
    SCALING,
    START_ITERATIONS,
    START_TOL,
    solve,
    solve_symmetric,
)

FLOAT32 = Kind("float32")
#: clouds larger than this fill the vector units by themselves
SMALL_PAIR = 64
#: clouds up to this size, and iterations, that compiled loops are for: more iterations want acceleration
COMPILED_PAIR, COMPILED_ITERATIONS = 256, 500
#: entries of a chunk's kernel: it has to stay in the cache, past which batching loses
CHUNK = 2**16
#: pairs that the common scale is measured on
SCALE_PAIRS = 8

Law = tuple[Floats, Floats]


def batched_sinkhorn(
    xs: Sequence[Any],
    ys: Sequence[Any],
    *,
    epsilon: float = 0.05,
    cost: Cost = "euclidean",
    relative: bool = True,
    x_weights: Sequence[Any] | None = None,
    y_weights: Sequence[Any] | None = None,
    debias: bool = False,
    tol: float = 1e-3,
    max_iterations: int = 10_000,
) -> tuple[list[Floats], Floats]:
    """
    Entropic transport between x_k and y_k for all k.

    :param xs: K clouds (n_k, d), of any sizes
    :param ys: K clouds (m_k, d)
    :param epsilon: ε, in units of the median cost over (a sample of 8 of) the pairs if ``relative``
    :param cost: a scipy metric name, a callable or a ``SaturatingCost``
    :param relative: whether ε is in units of the median cost
    :param x_weights: K arrays (n_k,) of weights > 0, ``None`` for equal ones
    :param y_weights: K arrays (m_k,)
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does
    :param tol: L1 error of both marginals at which a pair is done
    :param max_iterations: after which a pair is done in any case
    :return: the K potentials f on the clouds' points, (n_k,) each and centred, and the K distances in the cost's unit
    :raises ValueError: if the lists differ in length, or a cloud or its weights are not valid

    Example:
        >>> from sb3_wasserstein.duals import batched_sinkhorn
        >>> potentials, distances = batched_sinkhorn([[[0.0], [1.0]], [[0.0]]], [[[2.0]], [[3.0], [5.0]]])
        >>> distances.round(2), [len(f) for f in potentials]
        (array([1.5, 4. ]), [2, 1])
    """
    epsilon, tol = check_positive(epsilon, "epsilon"), check_positive(tol, "tol")
    max_iterations = check_count("max_iterations", max_iterations)
    relative, debias = check_flag("relative", relative), check_flag("debias", debias)
    for name, clouds in (("xs", xs), ("ys", ys)):
        if isinstance(clouds, (str, bytes, dict)) or not hasattr(clouds, "__len__"):
            raise TypeError(f"`{name}` must be a list of clouds (n, d), got {type(clouds).__name__}")
    if len(xs) != len(ys) or not len(xs):
        raise ValueError(f"`xs` and `ys` must be as long as each other and not empty, got {len(xs)} and {len(ys)} clouds")
    laws_x, laws_y = _laws(xs, x_weights, "xs", "x_weights"), _laws(ys, y_weights, "ys", "y_weights")
    dims = {points.shape[1] for points, _ in laws_x + laws_y}
    if len(dims) > 1:
        raise ValueError(f"`xs` and `ys` have points of dimensions {sorted(dims)}: all clouds live in one space")
    ground_cost = GroundCost(cost)
    absolute = epsilon
    if relative or isinstance(cost, SaturatingCost):
        # The scale is common, so that the distances compare; a sample of the pairs is enough for it.
        some = list(zip(laws_x, laws_y, strict=True))[:: -(-len(xs) // SCALE_PAIRS)]
        costs = [ground_cost.base_matrix(x, y, FLOAT32).ravel() for (x, _), (y, _) in some]
        scale = ground_cost.measure(np.concatenate(costs), *(points for pair in some for points, _ in pair))
        absolute = epsilon * scale if relative else epsilon
    potentials, distances = solve_pairs(laws_x, laws_y, ground_cost, absolute, tol, max_iterations)
    if debias:
        selves: dict[tuple[int, int], tuple[Floats, float]] = {}
        for k, ((x, p), (y, q)) in enumerate(zip(laws_x, laws_y, strict=True)):
            for points, weights in ((x, p), (y, q)):
                key = id(points), id(weights)
                if key not in selves:
                    selves[key] = solve_self(points, weights, ground_cost, absolute, tol, max_iterations)
            own, value = selves[id(x), id(p)]
            potentials[k] = potentials[k] - own
            distances[k] -= value + selves[id(y), id(q)][1]
    return potentials, distances


def _laws(clouds: Sequence[Any], weights: Sequence[Any] | None, name: str, weights_name: str) -> list[Law]:
    if weights is not None and len(weights) != len(clouds):
        raise ValueError(f"`{weights_name}` must have one array for each of the {len(clouds)} clouds, got {len(weights)}")
    # One object may stand in many pairs: checked once, it stays one object.
    checked: dict[int, Law] = {}
    laws = []
    for k, cloud in enumerate(clouds):
        if id(cloud) not in checked:
            points = as_cloud(cloud, f"{name}[{k}]")
            checked[id(cloud)] = points, as_weights(None, len(points), weights_name)
        law = checked[id(cloud)]
        laws.append(law if weights is None else (law[0], as_weights(weights[k], len(law[0]), f"{weights_name}[{k}]")))
    return laws


def solve_pairs(
    laws_x: list[Law], laws_y: list[Law], cost: GroundCost, epsilon: float, tol: float, max_iterations: int
) -> tuple[list[Floats], Floats]:
    """
    :param laws_x: K checked clouds (n_k, d) with their weights (n_k,)
    :param laws_y: K clouds (m_k, d) with weights (m_k,)
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param tol: L1 error of both marginals at which a pair is done
    :param max_iterations: after which a pair is done in any case
    :return: the K potentials f, (n_k,) each and centred, and the K distances W_ε
    """
    potentials: list[Floats] = [np.empty(0)] * len(laws_x)
    distances = np.empty(len(laws_x))
    sizes = [(len(x), len(y)) for (x, _), (y, _) in zip(laws_x, laws_y, strict=True)]
    fast = _compiled_solver(sizes, cost)
    # Pairs of like sizes go together, so that little is padded.
    chunk: list[int] = []
    for k in sorted(range(len(sizes)), key=lambda k: (max(sizes[k]), sizes[k])):
        (x, p), (y, q) = laws_x[k], laws_y[k]
        if fast is not None and max(sizes[k]) <= COMPILED_PAIR:
            solved = fast(x, y, p, q, epsilon, tol, max_iterations)
            if solved is not None:
                potentials[k], distances[k] = solved
                continue
        if max(sizes[k]) > SMALL_PAIR:
            pairs = cost.pairs(x, y, FLOAT32)
            found = solve(pairs, FLOAT32.array(p), FLOAT32.array(q), epsilon, None, tol, max_iterations)
            f, g = found.f.astype(np.float64), found.g.astype(np.float64)
            potentials[k], distances[k] = f - p @ f, p @ f + q @ g
            continue
        if chunk and (len(chunk) + 1) * max(sizes[k]) ** 2 > CHUNK:
            _solve_chunk(chunk, laws_x, laws_y, cost, epsilon, tol, max_iterations, potentials, distances)
            chunk = []
        chunk.append(k)
    if chunk:
        _solve_chunk(chunk, laws_x, laws_y, cost, epsilon, tol, max_iterations, potentials, distances)
    return potentials, distances


def _compiled_solver(sizes: list[tuple[int, int]], cost: GroundCost) -> Callable[..., tuple[Floats, float] | None] | None:
    """One small pair's f, centred, and distance by compiled loops; the solver says None where it takes too long."""
    compiled = compiled_for_pairs(sum(n * m for n, m in sizes)) if cost.base in ("euclidean", "sqeuclidean") else None
    if compiled is None:
        return None
    single, start = np.float32, (np.float32(2 * START_TOL), np.float32(START_ITERATIONS))
    root, limit = cost.base == "euclidean", single(cost.limit or 0.0)

    def solve_pair(
        x: Floats, y: Floats, p: Floats, q: Floats, epsilon: float, tol: float, max_iterations: int
    ) -> tuple[Floats, float] | None:
        centre = y.mean(axis=0)
        points, others = (x - centre).astype(single), np.ascontiguousarray((y - centre).T, dtype=single)
        masses, most = (p.astype(single), q.astype(single)), min(max_iterations, COMPILED_ITERATIONS)
        numbers = single(limit), single(epsilon), single(DIRECT), start, single(tol), most
        f, g, residual = compiled.sinkhorn_pair(points, others, *masses, root, *numbers)
        if not residual <= tol:
            return None
        f, g = f.astype(np.float64), g.astype(np.float64)
        mean = float(p @ f)
        return f - mean, mean + float(q @ g)

    return solve_pair


def solve_self(
    x: Floats, p: Floats, cost: GroundCost, epsilon: float, tol: float, max_iterations: int
) -> tuple[Floats, float]:
    """
    :param x: (n, d) a checked cloud
    :param p: (n,) its weights
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: the symmetric potential of the cloud against itself, (n,) and centred, and half the distance
    """
    found = solve_symmetric(cost.pairs(x, x, FLOAT32), FLOAT32.array(p), epsilon, None, tol, max_iterations)
    f = found.f.astype(np.float64)
    mean = float(p @ f)
    return f - mean, mean


def _solve_chunk(
    chunk: list[int],
    laws_x: list[Law],
    laws_y: list[Law],
    cost: GroundCost,
    epsilon: float,
    tol: float,
    max_iterations: int,
    potentials: list[Floats],
    distances: Floats,
) -> None:
    """Pairs side by side: the batch is the last axis, so that every operation runs along it."""
    n, m = max(len(laws_x[k][0]) for k in chunk), max(len(laws_y[k][0]) for k in chunk)
    p, q = np.zeros((n, len(chunk)), np.float32), np.zeros((m, len(chunk)), np.float32)
    for b, k in enumerate(chunk):
        p[: len(laws_x[k][1]), b], q[: len(laws_y[k][1]), b] = laws_x[k][1], laws_y[k][1]
    costs = _stacked_costs([laws_x[k][0] for k in chunk], [laws_y[k][0] for k in chunk], cost, (n, m))
    stages = [epsilon]
    while costs.max() > DIRECT * stages[-1]:
        stages.append(SCALING * stages[-1])
    g = np.zeros((m, len(chunk)), np.float32)
    f = np.zeros((n, len(chunk)), np.float32)
    for stage in reversed(stages):
        last = stage == epsilon
        f, g = _scale_chunk(
            costs, p, q, g, stage, tol if last else 2 * START_TOL, max_iterations if last else START_ITERATIONS
        )
    for b, k in enumerate(chunk):
        (x, weights), (y, y_weights) = laws_x[k], laws_y[k]
        values = f[: len(x), b].astype(np.float64)
        mean = float(weights @ values)
        potentials[k] = values - mean
        distances[k] = mean + float(y_weights @ g[: len(y), b].astype(np.float64))


def _scale_chunk(costs: Any, p: Any, q: Any, g: Any, epsilon: float, tol: float, max_iterations: int) -> tuple[Any, Any]:
    """Sinkhorn on a chunk at one ε, until its slowest pair is done; the kernel absorbs scalings that grow."""
    with np.errstate(divide="ignore"):
        log_q = np.log(q)
    present = q > 0
    iterations = 0
    while True:
        kernel = (g / epsilon + log_q)[None] - costs / epsilon
        offsets = kernel.max(axis=1)
        kernel -= offsets[:, None]
        np.exp(kernel, out=kernel)
        product = np.empty_like(kernel)
        v = np.ones_like(q)
        while True:
            iterations += 1
            rows = np.multiply(kernel, v[None], out=product).sum(axis=1)
            columns = np.multiply(kernel, (p / rows)[:, None], out=product).sum(axis=0)
            residual = float(np.abs(v * columns - q).sum(axis=0).max())
            ratio = np.where(present, q / np.maximum(columns, np.finfo(np.float32).tiny), 1.0)
            if residual <= tol or iterations >= max_iterations:
                log_v = np.log(v)
                return -epsilon * (np.log(rows) + offsets), g + epsilon * log_v
            grown = max(float(ratio.max()), 1.0 / float(ratio.min()))
            v = ratio
            if grown > LARGEST_SCALING:
                g = g + epsilon * np.log(v)
                break


def _stacked_costs(xs: list[Floats], ys: list[Floats], cost: GroundCost, shape: tuple[int, int]) -> Any:
    """(n, m, B) float32, zero where a pair is smaller."""
    costs = np.zeros((len(xs), *shape), np.float32)
    if cost.base in ("euclidean", "sqeuclidean"):
        stacked_x = np.zeros((len(xs), shape[0], xs[0].shape[1]))
        stacked_y = np.zeros((len(xs), shape[1], xs[0].shape[1]))
        for b, (x, y) in enumerate(zip(xs, ys, strict=True)):
            stacked_x[b, : len(x)], stacked_y[b, : len(y)] = x, y
        centre = stacked_y.mean(axis=(0, 1))
        stacked_x -= centre
        stacked_y -= centre
        squares = (stacked_x**2).sum(2)[:, :, None] + (stacked_y**2).sum(2)[:, None]
        squares -= 2 * stacked_x @ stacked_y.transpose(0, 2, 1)
        np.maximum(squares, 0.0, out=squares)
        costs = (np.sqrt(squares) if cost.base == "euclidean" else squares).astype(np.float32)
        for b, (x, y) in enumerate(zip(xs, ys, strict=True)):
            costs[b, len(x) :] = 0.0
            costs[b, :, len(y) :] = 0.0
    else:
        for b, (x, y) in enumerate(zip(xs, ys, strict=True)):
            costs[b, : len(x), : len(y)] = cost.base_matrix(x, y)
    return cost.saturate(np.ascontiguousarray(costs.transpose(1, 2, 0)))
