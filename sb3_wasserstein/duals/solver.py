"""Sinkhorn's algorithm on one pair of clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sb3_wasserstein.duals.clouds import Floats
from sb3_wasserstein.duals.transform import soft_c_transform


class Solution(NamedTuple):
    """Potentials on the samples, with the L1 error of both marginals that they leave."""

    f: Floats
    g: Floats
    residual: float
    iterations: int


def solve(costs: Floats, p: Floats, q: Floats, epsilon: float, g: Floats | None, tol: float, max_iterations: int) -> Solution:
    """
    Sinkhorn in the log domain, with ε-scaling when it starts cold.

    :param costs: (n, m)
    :param p: (n,) weights > 0
    :param q: (m,) weights > 0
    :param epsilon: ε in the cost's unit
    :param g: (m,) where to start, ``None`` for cold
    :param tol: L1 error of the marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: the potentials, f being g's soft c-transform
    """
    log_p, log_q = np.log(p), np.log(q)
    stages = [epsilon]
    if g is None:
        g = np.zeros(len(q))
        while stages[-1] < costs.max():
            stages.append(4 * stages[-1])
    iterations = 0
    for stage in reversed(stages):
        stop = tol if stage == epsilon else 0.1
        while True:
            f = soft_c_transform(costs.copy(), log_q, g, stage)
            new_g = soft_c_transform(costs.T.copy(), log_p, f, stage)
            iterations += 1
            residual = float(np.abs(np.expm1((g - new_g) / stage)) @ q)
            if residual <= stop or iterations >= max_iterations:
                break
            g = new_g
    return Solution(f, g, residual, iterations)


def solve_symmetric(costs: Floats, p: Floats, epsilon: float, f: Floats | None, tol: float, max_iterations: int) -> Solution:
    """
    The symmetric potential of a cloud against itself, by averaged iterations f ← (f + T f) / 2.

    :param costs: (n, n), symmetric
    :param p: (n,) weights > 0
    :param epsilon: ε in the cost's unit
    :param f: (n,) where to start, ``None`` for cold
    :param tol: L1 error of the marginals at which to stop
    :param max_iterations: after which to stop in any case
    :return: f twice
    """
    log_p = np.log(p)
    f = np.zeros(len(p)) if f is None else f
    iterations, residual = 0, float("inf")
    while residual > tol and iterations < max_iterations:
        iterations += 1
        new = soft_c_transform(costs.copy(), log_p, f, epsilon)
        residual = float(np.abs(np.expm1((f - new) / epsilon)) @ p)
        f = 0.5 * (f + new)
    return Solution(f, f, residual, iterations)
