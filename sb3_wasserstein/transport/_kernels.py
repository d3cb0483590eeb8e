"""
The inner loops that numba compiles (extra ``fast``): distance, exponential and both sums while a row is in the cache.

Imported by ``extra`` alone, and only where numba is installed. float32; the reference is what ``kernel``, ``pairs`` and
``median`` do without.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_wasserstein._numba import jit

# numba types a Python float as float64: every constant is a float32 by itself.
F = np.float32
ZERO, HALF, ONE = F(0.0), F(0.5), F(1.0)
LOG2_E, LN_2 = F(1.4426950408889634), F(0.6931471805599453)
#: minimax polynomial of (exp(r) − 1 − r) / r² on |r| ≤ ln 2 / 2 (Cephes' expf)
C0, C1, C2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
C3, C4, C5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
#: exponents below give 0
LEAST_EXPONENT = F(-87.0)
BITS, BIAS = np.int32(23), np.int32(127)
LEAST_WHOLE = np.int32(-(2**31))


@jit(inline=True)
def _exp(x: Any) -> Any:
    """exp of x ≤ 88 in float32, to 3e-7 + 6e-8 |x|; LLVM has no vector form of the library's."""
    clipped = max(x, LEAST_EXPONENT)
    whole = np.floor(clipped * LOG2_E + HALF)
    r = clipped - whole * LN_2
    y = (((((C0 * r + C1) * r + C2) * r + C3) * r + C4) * r + C5) * (r * r) + r + ONE
    power = np.int32(np.int32(np.int32(whole) + BIAS) << BITS).view(np.float32)
    return ZERO if x < LEAST_EXPONENT else y * power


@jit(inline=True)
def absorb(block: Any, root: Any, log_scaling: Any, rate: Any, weights: Any) -> Any:
    """
    Turn costs into rows of the kernel, in place. Columns are added up four rows at a time: they are read a quarter as often.

    :param block: (k, m) costs, or their squares if ``root``
    :param root: whether the cost is the root of what is in ``block``
    :param log_scaling: (m,)
    :param rate: 1 / ε
    :param weights: (k,) p
    :return: (k,) offsets, (k,) row sums, (m,) Σ_i p_i / row sum_i · row_i
    """
    n, m = block.shape
    offsets, sums = np.empty(n, np.float32), np.empty(n, np.float32)
    columns, exponents = np.zeros(m, np.float32), np.empty(m, np.float32)
    for i in range(n):
        row = block[i]
        # A maximum of whole numbers runs in vectors, one of floats does not, and the offset need not be exact.
        most = LEAST_WHOLE
        if root:
            for j in range(m):
                exponents[j] = log_scaling[j] - rate * math.sqrt(row[j])
                most = max(most, np.int32(exponents[j]))
        else:
            for j in range(m):
                exponents[j] = log_scaling[j] - rate * row[j]
                most = max(most, np.int32(exponents[j]))
        largest = F(most)
        total = ZERO
        for j in range(m):
            value = _exp(exponents[j] - largest)
            row[j] = value
            total += value
        offsets[i], sums[i] = largest, total
        if i % 4 == 3:
            row_0, row_1, row_2 = block[i - 3], block[i - 2], block[i - 1]
            share_0, share_1 = weights[i - 3] / sums[i - 3], weights[i - 2] / sums[i - 2]
            share_2, share_3 = weights[i - 1] / sums[i - 1], weights[i] / total
            for j in range(m):
                columns[j] += share_0 * row_0[j] + share_1 * row_1[j] + share_2 * row_2[j] + share_3 * row[j]
    for i in range(n - n % 4, n):
        row, share = block[i], weights[i] / sums[i]
        for j in range(m):
            columns[j] += share * row[j]
    return offsets, sums, columns


@jit(inline=True)
def products(kernel: Any, v: Any, weights: Any) -> Any:
    """
    Both products of an iteration while rows are in the cache, four at a time: the vectors are then read a quarter as often.

    :param kernel: (n, m)
    :param v: (m,) scalings
    :param weights: (n,) p
    :return: (n,) K v, (m,) Kᵀ (p / K v)
    """
    n, m = kernel.shape
    rows, columns = np.empty(n, np.float32), np.zeros(m, np.float32)
    whole = n - n % 4
    for i in range(0, whole, 4):
        row_0, row_1, row_2, row_3 = kernel[i], kernel[i + 1], kernel[i + 2], kernel[i + 3]
        sum_0 = sum_1 = sum_2 = sum_3 = ZERO
        for j in range(m):
            sum_0 += row_0[j] * v[j]
            sum_1 += row_1[j] * v[j]
            sum_2 += row_2[j] * v[j]
            sum_3 += row_3[j] * v[j]
        rows[i], rows[i + 1], rows[i + 2], rows[i + 3] = sum_0, sum_1, sum_2, sum_3
        share_0, share_1 = weights[i] / sum_0, weights[i + 1] / sum_1
        share_2, share_3 = weights[i + 2] / sum_2, weights[i + 3] / sum_3
        for j in range(m):
            columns[j] += share_0 * row_0[j] + share_1 * row_1[j] + share_2 * row_2[j] + share_3 * row_3[j]
    for i in range(whole, n):
        row = kernel[i]
        total = ZERO
        for j in range(m):
            total += row[j] * v[j]
        rows[i] = total
        share = weights[i] / total
        for j in range(m):
            columns[j] += share * row[j]
    return rows, columns


@jit(inline=True)
def squares(x: Any, y: Any, block: Any) -> None:
    """
    |x_i − y_j|² from the differences: for few dimensions.

    :param x: (k, d)
    :param y: (d, m)
    :param block: (k, m), overwritten
    """
    n, m = block.shape
    for i in range(n):
        row = block[i]
        for j in range(m):
            row[j] = ZERO
        for k in range(x.shape[1]):
            value, others = x[i, k], y[k]
            for j in range(m):
                row[j] += (value - others[j]) * (value - others[j])


@jit()
def mend(block: Any, x: Any, y: Any, close: Any) -> None:
    """
    Compute close pairs from their differences.

    :param block: (k, m) |x_i − y_j|², mended in place
    :param x: (k, d)
    :param y: (m, d)
    :param close: the square up to which a pair is close
    """
    n, m = block.shape
    for i in range(n):
        row, point = block[i], x[i]
        for j in range(m):
            if row[j] <= close:
                other, total = y[j], ZERO
                for k in range(len(point)):
                    total += (point[k] - other[k]) * (point[k] - other[k])
                row[j] = total


@jit()
def _log_sums(terms: Any, root: Any, rows: Any, bounds: Any, rate: Any, signs: Any, least: Any) -> Any:
    """A point's value out of its squared distances, which are overwritten, and whether a sum was below ``least``."""
    if root:
        for j in range(len(terms)):
            terms[j] = _exp(rows[j] - rate * math.sqrt(terms[j]))
    else:
        for j in range(len(terms)):
            terms[j] = _exp(rows[j] - rate * terms[j])
    value, is_far = 0.0, False
    for k in range(len(signs)):
        # From an index other than 0 on, the sum would not run in vectors.
        group, total = terms[bounds[k] : bounds[k + 1]], ZERO
        for j in range(len(group)):
            total += group[j]
        is_far |= total < least
        value += signs[k] * math.log(np.float64(max(total, least)))
    return value, is_far


@jit()
def transforms(
    x: Any, centre: Any, y: Any, rows: Any, bounds: Any, root: Any, rate: Any, signs: Any, level: Any, least: Any
) -> Any:
    """
    −l + Σ_k s_k log Σ_j exp(rows_j − rate · c(x_i, y_j)) over the groups k of the points y, which lie in a row: for few
    dimensions.

    :param x: (n, d) float64
    :param centre: (d,) float64, what has been subtracted from y
    :param y: (d, m)
    :param rows: (m,)
    :param bounds: (K + 1,) where each group begins, and m
    :param root: whether the cost is the distance, not its square
    :param rate: 1 / ε
    :param signs: (K,) s, float64
    :param level: l
    :param least: a sum of exponentials below which too much of it is lost
    :return: (n,) float64, (n,) where a sum was below, and how often
    """
    d, m = y.shape
    values, far, terms, n_far = np.empty(len(x)), np.empty(len(x), np.bool_), np.empty(m, np.float32), 0
    for i in range(len(x)):
        for j in range(m):
            terms[j] = ZERO
        # Four dimensions at a time: the terms are read a quarter as often.
        for k in range(0, d - d % 4, 4):
            value_0, value_1 = F(x[i, k] - centre[k]), F(x[i, k + 1] - centre[k + 1])
            value_2, value_3 = F(x[i, k + 2] - centre[k + 2]), F(x[i, k + 3] - centre[k + 3])
            y_0, y_1, y_2, y_3 = y[k], y[k + 1], y[k + 2], y[k + 3]
            for j in range(m):
                terms[j] += (
                    (value_0 - y_0[j]) * (value_0 - y_0[j])
                    + (value_1 - y_1[j]) * (value_1 - y_1[j])
                    + (value_2 - y_2[j]) * (value_2 - y_2[j])
                    + (value_3 - y_3[j]) * (value_3 - y_3[j])
                )
        for k in range(d - d % 4, d):
            value, others = F(x[i, k] - centre[k]), y[k]
            for j in range(m):
                terms[j] += (value - others[j]) * (value - others[j])
        value, far[i] = _log_sums(terms, root, rows, bounds, rate, signs, least)
        values[i] = value - level
        n_far += far[i]
    return values, far, n_far


@jit()
def transforms_of_products(
    x: Any, y: Any, products: Any, near: Any, rows: Any, bounds: Any, rate: Any, signs: Any, level: Any, least: Any
) -> Any:
    """
    :func:`transforms` of distances, with a matrix product to start from: for many dimensions. What rounding has left nothing
    of is computed from the differences.

    :param x: (n, d), centred as y
    :param y: (d, m)
    :param products: (n, m) x · y
    :param near: distances below near · (|x|² + the largest |y|²) are computed from the differences
    :param rows: (m,)
    :param bounds: (K + 1,) where each group begins, and m
    :param rate: 1 / ε
    :param signs: (K,) s, float64
    :param level: l
    :param least: a sum of exponentials below which too much of it is lost
    :return: (n,) float64, (n,) where a sum was below, and how often
    """
    (n, m), d = products.shape, x.shape[1]
    values, far, terms, n_far = np.empty(n), np.empty(n, np.bool_), np.empty(m, np.float32), 0
    y_squares, largest = np.zeros(m, np.float32), ZERO
    for k in range(d):
        for j in range(m):
            y_squares[j] += y[k, j] * y[k, j]
    for j in range(m):
        largest = max(largest, y_squares[j])
    for i in range(n):
        point, row = x[i], products[i]
        square = ZERO
        for k in range(d):
            square += point[k] * point[k]
        limit = near * (square + largest)
        limit *= limit
        n_near = 0
        for j in range(m):
            terms[j] = square + y_squares[j] - (row[j] + row[j])
            n_near += 1 if terms[j] < limit else 0
        if n_near:
            for j in range(m):
                if terms[j] < limit:
                    total = ZERO
                    for k in range(d):
                        total += (point[k] - y[k, j]) * (point[k] - y[k, j])
                    terms[j] = total
        value, far[i] = _log_sums(terms, True, rows, bounds, rate, signs, least)
        values[i] = value - level
        n_far += far[i]
    return values, far, n_far


@jit()
def transforms_of_means(
    x: Any, centre: Any, table: Any, index: Any, fresh: Any, ends: Any, sums: Any, counts: Any, y_squares: Any, scale: Any,
    root: Any, rows: Any, bounds: Any, signs: Any, level: Any, least: Any,
) -> Any:  # fmt: skip
    """
    :func:`transforms` of running means of few points: their products with y are sums of the products of those points, in
    float64. Costs come divided by ε, squared distances by ε² if ``root``.

    :param x: (T n, d) the means after each step, row by row
    :param centre: (d,) what has been subtracted from y and from the points
    :param table: (c, m) −2 p_i · y_j of the points
    :param index: (T, n) which point each step adds
    :param fresh: (k,) which one each new episode begins with, in the order of the ends
    :param ends: (T, n) where episodes end
    :param sums: (n, m) −2 Σ p · y_j of the running episodes, overwritten
    :param counts: (n,) of how many points, overwritten
    :param y_squares: (m,) |y|²
    :param scale: what |x|² is multiplied by
    :param root: whether the cost is the distance, not its square
    :param rows: (m,)
    :param bounds: (K + 1,) where each group begins, and m
    :param signs: (K,) s, float64
    :param level: l
    :param least: a sum of exponentials below which too much of it is lost
    :return: (T n,) float64, (T n,) where a sum was below, and how often
    """
    (n_steps, n_envs), m = index.shape, len(y_squares)
    values, far, terms = np.empty(len(x)), np.empty(len(x), np.bool_), np.empty(m, np.float32)
    n_far = begun = 0
    for time in range(n_steps):
        for env in range(n_envs):
            i = time * n_envs + env
            point, total, added = x[i], sums[env], table[index[time, env]]
            counts[env] += 1.0
            share, square = 1.0 / counts[env], 0.0
            for k in range(len(point)):
                square += (point[k] - centre[k]) * (point[k] - centre[k])
            square *= scale
            for j in range(m):
                total[j] += added[j]
                terms[j] = F(max(square + y_squares[j] + share * total[j], 0.0))
            value, far[i] = _log_sums(terms, root, rows, bounds, ONE, signs, least)
            values[i] = value - level
            n_far += far[i]
            if ends[time, env]:
                total[:] = table[fresh[begun]]
                counts[env] = 1.0
                begun += 1
    return values, far, n_far


@jit()
def count_below(values: Any, limit: Any) -> Any:
    """How many of the values lie below the limit."""
    count = 0
    for i in range(len(values)):
        count += 1 if values[i] < limit else 0
    return count
