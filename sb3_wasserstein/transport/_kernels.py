"""
The two inner loops that numba compiles (extra ``fast``): what numpy does in several passes over a block is done while a row is
in the cache, which halves the time of a solve between a thousand points.

Imported by ``_numba`` alone, and only where numba is installed. float32; the reference is ``cost_matrix`` without.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_wasserstein._numba import jit

# numba types a Python float as float64: every number is made a float32 by itself.
F = np.float32


@jit(inline=True)
def _exp(x: Any) -> Any:
    """exp of x ≤ 88 in float32, to 3e-7 + 6e-8 |x| (Cephes' expf); LLVM has no vector form of the library's."""
    # Below e⁻⁶⁹ = 2⁻¹⁰⁰ the result is 0: products with smaller numbers would be denormal, and slow.
    clipped = max(x, F(-69.0))
    whole = np.floor(clipped * F(1.4426950408889634) + F(0.5))
    r = clipped - whole * F(0.6931471805599453)
    y = F(1.9875691500e-4) * r + F(1.3981999507e-3)
    y = ((y * r + F(8.3334519073e-3)) * r + F(4.1665795894e-2)) * r + F(1.6666665459e-1)
    y = (y * r + F(5.0000001201e-1)) * (r * r) + r + F(1.0)
    power = np.int32(np.int32(np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return F(0.0) if x < F(-69.0) else y * power


@jit()
def distances(x: Any, y: Any, root: Any, block: Any) -> None:
    """
    |x_i − y_j|, or its square, from the differences: for few dimensions.

    :param x: (k, d)
    :param y: (d, m)
    :param root: whether to take the root
    :param block: (k, m), overwritten
    """
    n, d = x.shape
    m = block.shape[1]
    for i in range(n):
        row, point = block[i], x[i]
        for j in range(m):
            row[j] = F(0.0)
        for k in range(d):
            value, others = point[k], y[k]
            for j in range(m):
                row[j] += (value - others[j]) * (value - others[j])
        if root:
            for j in range(m):
                row[j] = math.sqrt(row[j])


@jit()
def absorb(block: Any, log_scaling: Any, rate: Any) -> Any:
    """
    Turn costs c into rows exp(s_j − rate · c_ij − o_i) of the kernel, in place.

    :param block: (k, m) costs
    :param log_scaling: (m,) s
    :param rate: 1 / ε
    :return: (k,) offsets o
    """
    n, m = block.shape
    offsets = np.empty(n, np.float32)
    for i in range(n):
        row = block[i]
        # A maximum of whole numbers runs in vectors, one of floats does not, and the offset need not be exact.
        most = np.int32(-(2**31))
        for j in range(m):
            row[j] = log_scaling[j] - rate * row[j]
            most = max(most, np.int32(row[j]))
        offsets[i] = F(most)
        for j in range(m):
            row[j] = _exp(row[j] - offsets[i])
    return offsets
