"""Sinkhorn on many pairs of clouds: small pairs side by side in one tensor, large ones one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sb3_wasserstein._validation import check_count, check_flag, check_positive
from sb3_wasserstein.cloud import FLOAT32, Cloud, Floats, as_law
from sb3_wasserstein.transport.cost_matrix import MatrixPairs, absorb
from sb3_wasserstein.transport.costs import EUCLIDEAN, Cost, GroundCost, SaturatingCost, power_of_two
from sb3_wasserstein.transport.potentials import soft_c_transform
from sb3_wasserstein.transport.precision import enough_digits, in_units_of, solve_between, solve_within
from sb3_wasserstein.transport.sinkhorn import SinkhornOptions


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
    :param x_weights: K arrays (n_k,) of weights ≥ 0, ``None`` for equal ones
    :param y_weights: K arrays (m_k,)
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does: clouds without weights are samples
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
    epsilon, tol = check_positive("epsilon", epsilon), check_positive("tol", tol)
    max_iterations = check_count("max_iterations", max_iterations)
    relative, debias = check_flag("relative", relative), check_flag("debias", debias)
    for name, clouds in (("xs", xs), ("ys", ys)):
        if isinstance(clouds, (str, bytes, dict)) or not hasattr(clouds, "__len__"):
            raise TypeError(f"`{name}` must be a list of clouds (n, d), got {type(clouds).__name__}")
    if len(xs) != len(ys) or not len(xs):
        raise ValueError(f"`xs` and `ys` must be as long as each other and not empty, got {len(xs)} and {len(ys)} clouds")
    laws_x, laws_y = _laws(xs, x_weights, "xs", "x_weights"), _laws(ys, y_weights, "ys", "y_weights")
    dims = {law.dim for law in laws_x + laws_y}
    if len(dims) > 1:
        raise ValueError(f"`xs` and `ys` have points of dimensions {sorted(dims)}: all clouds live in one space")
    ground_cost = GroundCost(cost)
    absolute = epsilon
    if relative or isinstance(cost, SaturatingCost):
        # The scale is common, so that the distances compare; eight of the pairs are enough for it.
        some = list(zip(laws_x, laws_y, strict=True))[:: -(-len(xs) // 8)]
        costs = [ground_cost.base_matrix(x.points, y.points).ravel() for x, y in some]
        scale = ground_cost.measure(np.concatenate(costs), *(law.points for pair in some for law in pair))
        absolute = epsilon * scale if relative else epsilon
    potentials, distances = solve_pairs(laws_x, laws_y, ground_cost, absolute, tol, max_iterations)
    if debias:
        selves: dict[int, tuple[Floats, float]] = {}
        for k, (x, y) in enumerate(zip(laws_x, laws_y, strict=True)):
            if x.is_same_as(y):
                # One sample twice is no two samples: it is at distance zero from itself.
                potentials[k], distances[k] = np.zeros(len(x)), 0.0
                continue
            for law in (x, y):
                if id(law) not in selves:
                    selves[id(law)] = solve_self(law, ground_cost, absolute, tol, max_iterations)
            own, value = selves[id(x)]
            potentials[k] = potentials[k] - own
            distances[k] -= value + selves[id(y)][1]
    return potentials, distances


def _laws(clouds: Sequence[Any], weights: Sequence[Any] | None, name: str, weights_name: str) -> list[Cloud]:
    if weights is not None and (not isinstance(weights, Sequence) or len(weights) != len(clouds)):
        raise ValueError(f"`{weights_name}` must be a list of one array for each of the {len(clouds)} clouds; got {weights!r}")
    # One object may stand in many pairs: checked once, it stays one object.
    checked: dict[tuple[int, int], Cloud] = {}
    laws = []
    for k, cloud in enumerate(clouds):
        mass = None if weights is None else weights[k]
        key = id(cloud), id(mass)
        if key not in checked:
            checked[key] = as_law(cloud, mass, f"{name}[{k}]", weights_name=f"{weights_name}[{k}]")
        laws.append(checked[key])
    return laws


def solve_pairs(
    laws_x: list[Cloud],
    laws_y: list[Cloud],
    cost: GroundCost,
    epsilon: float,
    tol: float,
    max_iterations: int,
    small: int = 256,
    chunk: int = 2**16,
) -> tuple[list[Floats], Floats]:
    """
    :param laws_x: K clouds of n_k points
    :param laws_y: K clouds of m_k points
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param tol: L1 error of both marginals at which a pair is done
    :param max_iterations: after which a pair is done in any case
    :param small: points up to which clouds are solved side by side; larger ones fill the vector units by themselves
    :param chunk: costs of the pairs that are solved together: these have to stay in the cache
    :return: the K potentials f, (n_k,) each and centred, and the K distances W_ε
    """
    sizes = [max(len(x), len(y)) for x, y in zip(laws_x, laws_y, strict=True)]
    groups: list[list[int]] = [[]]
    # Pairs of like sizes go together, so that little is padded.
    for k in sorted((k for k in range(len(sizes)) if sizes[k] <= small), key=lambda k: sizes[k]):
        if groups[-1] and (len(groups[-1]) + 1) * sizes[k] ** 2 > chunk:
            groups.append([])
        groups[-1].append(k)
    laws = [(x.present(), y.present()) for x, y in zip(laws_x, laws_y, strict=True)]
    solved: dict[int, tuple[Floats, Floats]] = {}
    for group in groups if groups[0] else []:
        solved |= _solve_together({k: laws[k] for k in group}, cost, epsilon, tol, min(max_iterations, 200))
    potentials, distances = [], np.empty(len(sizes))
    for k, (x, y) in enumerate(laws):
        if k not in solved:
            found = solve_between(x, y, cost, epsilon, SinkhornOptions(tol, max_iterations))
            solved[k] = found.f, found.g
        f, g = solved[k]
        mean = x.weights @ f
        points = laws_x[k].points
        potentials.append((f if len(f) == len(points) else soft_c_transform(points, y, g, epsilon, cost)) - mean)
        distances[k] = mean + y.weights @ g
    return potentials, distances


def solve_self(law: Cloud, cost: GroundCost, epsilon: float, tol: float, max_iterations: int) -> tuple[Floats, float]:
    """
    :param law: n points
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: the symmetric potential of the law against itself, (n,) and centred, and half the distance
    """
    present = law.present()
    f = solve_within(present, cost, epsilon, SinkhornOptions(tol, max_iterations)).f
    mean = float(present.weights @ f)
    return (f if len(f) == len(law) else soft_c_transform(law.points, present, f, epsilon, cost)) - mean, mean


def _solve_together(
    laws: dict[int, tuple[Cloud, Cloud]], cost: GroundCost, epsilon: float, tol: float, max_iterations: int
) -> dict[int, tuple[Floats, Floats]]:
    """
    Plain iterations on padded costs, which take a tenth of the time of solving pairs of 20 points one by one.

    :return: (n_k,) f and (m_k,) g of the pairs that reach the tolerance; the others want larger ε first, or acceleration
    """
    n, m = max(len(x) for x, _ in laws.values()), max(len(y) for _, y in laws.values())
    p, q = np.zeros((len(laws), n), np.float32), np.zeros((len(laws), m), np.float32)
    for b, (x, y) in enumerate(laws.values()):
        p[b, : len(x)], q[b, : len(y)] = x.weights, y.weights
    pairs = _stacked_pairs(list(laws.values()), cost, n, m)
    epsilon, tol = in_units_of(pairs, epsilon, tol)
    if not enough_digits(pairs, epsilon, tol):
        return {}
    kernel = pairs.matrix()
    offsets = absorb(kernel, np.zeros(m, np.float32), epsilon).reshape(-1, n)
    kernel = kernel.reshape(-1, n, m)
    # Absent points have no mass, and so no scaling: the padding is never seen.
    v = q
    with np.errstate(all="ignore"):
        for _ in range(max_iterations):
            rows = (kernel @ v[:, :, None])[:, :, 0]
            columns = ((p / rows)[:, None] @ kernel)[:, 0]
            residuals = np.abs(v * columns - q).sum(axis=1)
            if not (residuals > tol).any():
                break
            v = q / columns
        f, g = -epsilon * (np.log(rows) + offsets), epsilon * np.log(v / q)
        # A cost far beyond a row's least one stands in the kernel as 2⁻¹⁰⁰ or 0: mass that has to go there was priced wrongly.
        is_floor = kernel <= 2.0**-99
        beyond = (
            np.sum((p / rows)[:, :, None] * kernel * v[:, None], axis=(1, 2), where=is_floor) if is_floor.any() else residuals
        )
        is_solved = (residuals <= tol) & (beyond <= tol)
    return {
        k: (pairs.unit * f[b, : len(x)].astype(np.float64), pairs.unit * g[b, : len(y)].astype(np.float64))
        for b, (k, (x, y)) in enumerate(laws.items())
        if is_solved[b] and np.isfinite(f[b, : len(x)]).all() and np.isfinite(g[b, : len(y)]).all()
    }


def _stacked_pairs(laws: list[tuple[Cloud, Cloud]], cost: GroundCost, n: int, m: int) -> MatrixPairs:
    """(B n, m) float32 costs, anything where a pair is smaller."""
    if cost.base in EUCLIDEAN:
        x, y = np.zeros((len(laws), n, laws[0][0].dim)), np.zeros((len(laws), m, laws[0][0].dim))
        centre = np.mean([law.points.mean(axis=0) for _, law in laws], axis=0)
        for b, (law_x, law_y) in enumerate(laws):
            x[b, : len(law_x)], y[b, : len(law_y)] = law_x.points - centre, law_y.points - centre
        unit = power_of_two(max(float(np.abs(x).max()), float(np.abs(y).max())))
        x, y = x / unit, y / unit
        # In float64: what the product loses is below float32's rounding, so that no pair is computed again.
        base = -2.0 * x @ y.transpose(0, 2, 1)
        base += (x * x).sum(axis=2)[:, :, None] + (y * y).sum(axis=2)[:, None]
        np.maximum(base, 0.0, out=base)
        if cost.base == "euclidean":
            np.sqrt(base, out=base)
        else:
            unit *= unit
    else:
        base = np.zeros((len(laws), n, m))
        for b, (law_x, law_y) in enumerate(laws):
            base[b, : len(law_x), : len(law_y)] = cost.base_matrix(law_x.points, law_y.points)
        unit = power_of_two(float(np.abs(base).max()))
        base /= unit
    return MatrixPairs(base.astype(np.float32).reshape(-1, m), FLOAT32, unit, cost.limit)
