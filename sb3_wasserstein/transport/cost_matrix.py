"""The costs of all pairs of two clouds, made in blocks of rows as they are needed, and the kernel that a block turns into."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_wasserstein._numba import compiled_for
from sb3_wasserstein.cloud import Array, ArrayBackend


class Pairs(ABC):
    """
    An (n, m) matrix of costs that need not exist. The costs come in a unit of about their largest, so that float32 holds them
    in whatever unit the points are.

    :param shape: (n, m)
    :param backend: the type and place of the costs
    :param base_unit: what one is in the cost function's own unit, before the cost saturates
    :param limit: where the cost saturates, in the cost function's own unit; ``None`` if it does not
    """

    def __init__(self, shape: tuple[int, int], backend: ArrayBackend, base_unit: float, limit: float | None) -> None:
        self.shape, self.backend, self.base_unit, self.limit = shape, backend, base_unit, limit
        #: rows, in ascending order, and columns of the pairs whose cost counts as +∞: those within a draw of a sample
        self.left_out: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None

    @property
    def unit(self) -> float:
        """What a cost of one is in the cost function's own unit."""
        return self.base_unit if self.limit is None else min(self.base_unit, self.limit)

    @abstractmethod
    def thinned(self, by_row: int, by_column: int) -> Pairs:
        """
        :param by_row: every which point of x is kept
        :param by_column: every which point of y is kept
        :return: the pairs of these points
        """

    @abstractmethod
    def transposed(self) -> Pairs:
        """:return: the same pairs, (m, n)"""

    @abstractmethod
    def bound(self) -> float:
        """:return: a number that no cost exceeds, at the price of a vector where possible"""

    @abstractmethod
    def _write(self, rows: slice, out: Array) -> None:
        """Write rows of costs that do not saturate."""

    def blocks(self, entries: int = 2**18) -> Iterator[slice]:
        """
        :param entries: costs that a block may have: on the CPU a block has to fit the cache
        :return: the rows of each block
        """
        n, m = self.shape
        rows = max(1, entries // m) if self.backend.device == "cpu" else n
        return (slice(start, min(start + rows, n)) for start in range(0, n, rows))

    def fill(self, rows: slice, out: Array) -> Array:
        """
        :param rows: which
        :param out: (k, m), overwritten with their costs
        :return: ``out``
        """
        self._write(rows, out)
        if self.limit is not None:
            self._saturate(out, self.limit / self.base_unit)
        if self.left_out is not None:
            found, columns = self.left_out
            part = slice(*np.searchsorted(found, (rows.start, rows.stop)))
            # exp(−1e30 / ε) is 0, and neither type overflows on the way.
            out[found[part] - rows.start, columns[part]] = 1e30
        return out

    def _saturate(self, costs: Array, limit: float) -> None:
        """s (1 − exp(−c / s)), in place; what saturates far beyond the largest cost is the cost itself to all digits."""
        if limit < 1e7:
            costs /= -max(limit, 1e-30)
            namespace(costs).expm1(costs, out=costs)
            costs *= -max(limit, 1.0)

    def empty(self, rows: int) -> Array:
        """:return: room for so many rows"""
        return self.backend.empty((rows, self.shape[1]))

    def matrix(self) -> Array:
        """:return: (n, m) all costs"""
        costs = self.empty(self.shape[0])
        for rows in self.blocks():
            self.fill(rows, costs[rows])
        return costs


class MatrixPairs(Pairs):
    """
    Costs that somebody else has computed.

    :param base: (n, m), in ``base_unit``
    """

    def __init__(self, base: Array, backend: ArrayBackend, base_unit: float = 1.0, limit: float | None = None) -> None:
        super().__init__((len(base), base.shape[1]), backend, base_unit, limit)
        self._base = base

    def thinned(self, by_row: int, by_column: int) -> Pairs:
        return MatrixPairs(self._base[::by_row, ::by_column], self.backend, self.base_unit, self.limit)

    def transposed(self) -> Pairs:
        return MatrixPairs(self._base.T, self.backend, self.base_unit, self.limit)

    def bound(self) -> float:
        return float(abs(self._base).max())

    def _write(self, rows: slice, out: Array) -> None:
        out[...] = self._base[rows]


class EuclideanPairs(Pairs):
    """
    |x − y|, or its square: by one matrix product of augmented clouds, (x, |x|², 1) · (−2y, 1, |y|²); where loops are compiled,
    from the differences in up to four dimensions, where that takes a third of the time.

    :param x: (n, d), centred, of coordinates up to about one
    :param y: (m, d), likewise
    :param squared: whether the cost is the square
    """

    def __init__(
        self, x: Array, y: Array, squared: bool, backend: ArrayBackend, base_unit: float = 1.0, limit: float | None = None
    ) -> None:
        super().__init__((len(x), len(y)), backend, base_unit, limit)
        self._x, self._y, self._squared = x, y, squared
        xp = namespace(x)
        self._x2, self._y2 = xp.einsum("ij,ij->i", x, x), xp.einsum("ij,ij->i", y, y)
        #: (d, m) for the loops; (n, d + 2) and (d + 2, m) for the product. Each is made when first needed: a last block may
        #: be too small for the loops that the others go through
        self._rows_of_y: Array | None = None
        self._factors: tuple[Array, Array] | None = None

    def thinned(self, by_row: int, by_column: int) -> Pairs:
        # A product with one is contiguous: loops would be compiled once more for a view.
        return self._like(1.0 * self._x[::by_row], 1.0 * self._y[::by_column])

    def transposed(self) -> Pairs:
        return self._like(self._y, self._x)

    def _like(self, x: Array, y: Array) -> Pairs:
        return EuclideanPairs(x, y, self._squared, self.backend, self.base_unit, self.limit)

    def bound(self) -> float:
        # |x − y|² ≤ 2 |x|² + 2 |y|²
        most = 2.0 * float(self._x2.max() + self._y2.max())
        return most if self._squared else math.sqrt(most)

    def _write(self, rows: slice, out: Array) -> None:
        xp = namespace(out)
        compiled = compiled_for(out) if self._x.shape[1] <= 4 else None
        if compiled:
            self._rows_of_y = np.ascontiguousarray(self._y.T) if self._rows_of_y is None else self._rows_of_y
            compiled.distances(self._x[rows], self._rows_of_y, not self._squared, out)
            return
        if self._factors is None:
            left = xp.hstack([self._x, self._x2[:, None], xp.ones_like(self._x2)[:, None]])
            self._factors = left, xp.vstack([-2.0 * self._y.T, xp.ones_like(self._y2)[None], self._y2[None]])
        xp.matmul(self._factors[0][rows], self._factors[1], out=out)
        self._mend(out, self._x[rows])
        if not self._squared:
            xp.sqrt(out, out=out)

    def _mend(self, squares: Array, x: Array) -> None:
        """Compute close pairs from their differences: the product has lost what lies below rounding · |x|²."""
        close = 1e-3 * float(self._x2.max() + self._y2.max())
        if float(squares.min()) <= close:
            flat = squares.reshape(-1)
            found = namespace(x).where(flat <= close)[0]
            # In parts, so that a cloud of equal points of many dimensions takes no more memory than its costs.
            for part in (found[start : start + 2**14] for start in range(0, len(found), 2**14)):
                difference = x[part // len(self._y)] - self._y[part % len(self._y)]
                flat[part] = (difference * difference).sum(1)


def absorb(block: Array, log_scaling: Array, epsilon: float) -> Array:
    """
    Turn costs c into rows exp(s_j − c_ij / ε − o_i) of a kernel, in place. The largest of a row is about one.

    :param block: (k, m) costs
    :param log_scaling: (m,) s
    :param epsilon: ε in the costs' unit
    :return: (k,) offsets o
    """
    compiled = compiled_for(block)
    if compiled:
        return compiled.absorb(block, log_scaling, np.float32(1.0 / epsilon))
    # torch's exp2 is twice as fast as numpy's exp and four times as torch's own, and takes the factor with the difference.
    log2_e = math.log2(math.e)
    exponents = torch.as_tensor(block)
    torch.sub(torch.as_tensor(log2_e * log_scaling), exponents, alpha=log2_e / epsilon, out=exponents)
    largest = torch.amax(exponents, 1)
    exponents -= largest[:, None]
    # Denormal numbers would make the products twenty times slower; 2⁻¹⁰⁰ of a row's largest entry is below any rounding.
    torch.clamp(exponents, min=-100.0, out=exponents)
    torch.exp2(exponents, out=exponents)
    offsets = largest / log2_e
    return offsets.numpy() if isinstance(block, np.ndarray) else offsets


def namespace(array: Array) -> Any:
    """:return: numpy for an array, torch for a tensor"""
    return np if isinstance(array, np.ndarray) else torch
