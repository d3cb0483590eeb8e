"""The soft c-transform: what takes a potential from the points that it was solved on to any other point."""

from __future__ import annotations

import numpy as np

from sb3_wasserstein.cloud import Array, Floats, Kind
from sb3_wasserstein.transport.costs import FLOAT64, GroundCost

# Rows are taken in blocks of about this many pairs: they stay in the cache, and memory is bounded however many points come.
BLOCK = 2**16


def soft_c_transform(costs: Array, log_weights: Floats, potential: Floats, epsilon: float) -> Floats:
    """
    f(x_i) = −ε log Σ_j q_j exp((g_j − c(x_i, y_j)) / ε)  (S1 Prop. 1), stable at any ε.

    :param costs: (n, m), overwritten; its type is what is computed in
    :param log_weights: (m,) log q
    :param potential: (m,) g
    :param epsilon: ε in the cost's unit
    :return: (n,)
    """
    exponents = costs
    exponents *= -1.0 / epsilon
    exponents += (potential / epsilon + log_weights).astype(costs.dtype)
    largest = exponents.max(axis=1)
    exponents -= largest[:, None]
    np.exp(exponents, out=exponents)
    sums = exponents @ np.ones(exponents.shape[1], dtype=costs.dtype)
    return np.asarray(-epsilon * (largest.astype(np.float64) + np.log(sums)))


def extend(
    x: Floats, y: Floats, log_weights: Floats, potential: Floats, epsilon: float, cost: GroundCost, kind: Kind = FLOAT64
) -> Floats:
    """
    The potential at any points, from its partner on the cloud ``y``.

    :param x: (n, d) where it is wanted
    :param y: (m, d) the partner's cloud
    :param log_weights: (m,) log q
    :param potential: (m,) the partner's values
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost
    :param kind: what to compute in, on the CPU
    :return: (n,)
    """
    if len(y) == 1:
        return np.asarray(cost.matrix(x, y)[:, 0] - potential[0])
    rows = max(1, BLOCK // len(y))
    blocks = [
        soft_c_transform(cost.matrix(x[start : start + rows], y, kind), log_weights, potential, epsilon)
        for start in range(0, len(x), rows)
    ]
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
