"""
Sinkhorn on one small pair of clouds, from the points to the potentials in one compiled function (extra ``fast``): between two
clouds of a hundred points, most of the time is the calls.

Imported by ``extra`` alone, and only where numba is installed. float32; the reference is ``batched``, which does the same in
numpy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_wasserstein._numba import jit
from sb3_wasserstein.transport._kernels import ONE, ZERO, F, _exp, absorb, products, squares

#: the smallest normal float32
TINY = F(1.2e-38)
SCALING = F(4.0)
LARGEST_SCALING = F(1e13)
#: to how many parts of c / ε the largest cost is looked for
PARTS = F(16.0)


@jit()
def sinkhorn_pair(
    x: Any, y: Any, p: Any, q: Any, root: Any, limit: Any, epsilon: Any, direct: Any, start: Any, tol: Any, most: Any
) -> Any:
    """
    :param x: (n, d)
    :param y: (d, m)
    :param p: (n,) weights > 0
    :param q: (m,) weights > 0
    :param root: whether the cost is the distance, not its square
    :param limit: at which the cost saturates, 0 where it does not
    :param epsilon: ε in the cost's unit
    :param direct: c / ε up to which there is no larger ε before
    :param start: L1 error and number of iterations that larger ε are solved to
    :param tol: L1 error of the columns at which to stop; rows are exact
    :param most: iterations after which to stop in any case
    :return: (n,) f, (m,) g, the L1 error
    """
    n, m = len(p), len(q)
    costs = np.empty((n, m), np.float32)
    squares(x, y, costs)
    highest, unit = np.int32(0), PARTS / epsilon
    for i in range(n):
        row = costs[i]
        if root:
            for j in range(m):
                row[j] = math.sqrt(row[j])
        if limit > ZERO:
            for j in range(m):
                row[j] = limit * (ONE - _exp(-row[j] / limit))
        # A maximum of whole numbers runs in vectors, one of floats does not.
        for j in range(m):
            highest = max(highest, np.int32(row[j] * unit))
    stage = epsilon
    while F(highest) > direct * stage * unit:
        stage = SCALING * stage
    f, g, log_q = np.zeros(n, np.float32), np.zeros(m, np.float32), np.log(q)
    kernel, residual = np.empty((n, m), np.float32), F(np.inf)
    while True:
        last = stage <= epsilon
        goal, left = (tol, most) if last else (start[0], np.int64(start[1]))
        residual = _scale(costs, kernel, p, q, log_q, f, g, stage, goal, left)
        if last:
            return f, g, residual
        stage = max(stage / SCALING, epsilon)


@jit(inline=True)
def _scale(costs: Any, kernel: Any, p: Any, q: Any, log_q: Any, f: Any, g: Any, epsilon: Any, tol: Any, most: Any) -> Any:
    """Sinkhorn at one ε, f and g in place, with a kernel that absorbs scalings that grow. :return: the L1 error"""
    m = len(q)
    v, log_scaling = np.empty(m, np.float32), np.empty(m, np.float32)
    iterations, rate = 0, ONE / epsilon
    while True:
        kernel[:] = costs
        log_scaling[:] = g * rate + log_q
        offsets, rows, columns = absorb(kernel, False, log_scaling, rate, p)
        v[:] = ONE
        while True:
            iterations += 1
            residual, grown = ZERO, ONE
            for j in range(m):
                residual += abs(v[j] * columns[j] - q[j])
            if residual <= tol or iterations >= most:
                f[:] = -epsilon * (np.log(rows) + offsets)
                g[:] = g + epsilon * np.log(v)
                return residual
            for j in range(m):
                v[j] = q[j] / max(columns[j], TINY)
                grown = max(grown, v[j], ONE / v[j])
            if grown > LARGEST_SCALING:
                g[:] = g + epsilon * np.log(v)
                break
            rows, columns = products(kernel, v, p)
