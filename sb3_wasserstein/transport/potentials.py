"""The one evaluator of potentials: what takes a potential from the points that it was solved on to any other point."""

from __future__ import annotations

import numpy as np

from sb3_wasserstein.cloud import FLOAT64, ArrayBackend, Cloud, Floats, to_floats
from sb3_wasserstein.transport.costs import GroundCost
from sb3_wasserstein.transport.precision import enough_digits, in_units_of
from sb3_wasserstein.transport.sinkhorn import transform


def soft_c_transform(
    x: Floats, y: Cloud, g: Floats, epsilon: float, cost: GroundCost, backend: ArrayBackend = FLOAT64
) -> Floats:
    """
    f(x) = −ε log Σ_j q_j exp((g_j − c(x, y_j)) / ε), the potential at any points from its partner on the cloud ``y`` (Abdullah
    et al. 2018, Prop. 1). Points are taken in blocks, so that memory is bounded however many come.

    :param x: (n, d) where it is wanted
    :param y: the partner's cloud, of weights > 0
    :param g: (m,) the partner's values
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost, its scale measured
    :param backend: what to compute in; float64 where float32 has too few digits
    :return: (n,) float64
    """
    if len(y) == 1:
        return np.asarray(cost.matrix(x, y.points)[:, 0] - g[0])
    values, rows = np.empty(len(x)), max(1, 2**22 // len(y))
    for part in (slice(start, start + rows) for start in range(0, len(x), rows)):
        pairs = cost.pairs(x[part], y.points, backend)
        in_unit, tol = in_units_of(pairs, epsilon, 1e-3)
        if backend.dtype == "float32" and not enough_digits(pairs, in_unit, tol):
            pairs = cost.pairs(x[part], y.points, ArrayBackend("float64", backend.device))
        partner, weights = (pairs.backend.array(numbers) for numbers in (g / pairs.unit, y.weights))
        values[part] = pairs.unit * to_floats(transform(pairs, partner, weights, in_unit))
    return values
