"""The costs of all pairs of two clouds, made in blocks of rows as they are needed: a block stays in the cache."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sb3_wasserstein._numba import compiled_for
from sb3_wasserstein.cloud import Array
from sb3_wasserstein.transport.median import middle_of

# |x − y|² by a matrix product loses what lies below rounding · |x|²: pairs this close are computed again from the differences.
CLOSE = 1e-3
CLOSE_CHUNK = 2**18
#: dimensions up to which compiled differences are faster than a matrix product
FEW_DIMENSIONS = 4
#: entries that a block of rows may have: a matrix product wants many rows, the cache few
BLOCK = 2**18


class Pairs(ABC):
    """
    An (n, m) matrix of costs that need not exist.

    :param shape: (n, m)
    :param kind_of: an array of the type and at the place that the costs are wanted in
    """

    #: whether the cost is the square root of what ``raw`` writes
    root = False
    #: s of a saturating cost in the cost's own unit, ``None`` if it does not saturate
    limit: float | None = None

    def __init__(self, shape: tuple[int, int], kind_of: Array) -> None:
        self.shape = shape
        self._kind_of = kind_of
        self._held: Array | None = None

    @abstractmethod
    def raw(self, rows: slice, out: Array) -> None:
        """Write rows of base costs, or of their squares if ``root``."""

    @abstractmethod
    def thinned(self, by_row: int, by_column: int) -> Pairs:
        """The pairs of every ``by_row``-th and every ``by_column``-th point."""

    @abstractmethod
    def transposed(self) -> Pairs:
        """The same pairs, (m, n)."""

    @abstractmethod
    def _most_raw(self) -> float:
        """What no base cost exceeds (its square if ``root``)."""

    def empty(self, rows: int) -> Array:
        """Room for so many rows."""
        return namespace(self._kind_of).empty((rows, self.shape[1]), dtype=self._kind_of.dtype, **device_of(self._kind_of))

    def blocks(self) -> Iterator[slice]:
        """Rows that fit the cache together; all of them where there is no cache to fit."""
        n, m = self.shape
        rows = max(1, BLOCK // m) if isinstance(self._kind_of, np.ndarray) else n
        return (slice(start, min(start + rows, n)) for start in range(0, n, rows))

    def hold(self) -> Array:
        """All raw values at once, kept until they are taken."""
        self._held = self.empty(self.shape[0])
        for rows in self.blocks():
            self.raw(rows, self._held[rows])
        return self._held

    def take(self) -> Array | None:
        """The raw values that are held, if any: the caller's from now on."""
        held, self._held = self._held, None
        return held

    def finish(self, block: Array) -> None:
        """Turn raw values into costs, in place."""
        xp = namespace(block)
        if self.root:
            xp.sqrt(block, out=block)
        if self.limit is not None:
            saturate(block, self.limit)

    def matrix(self) -> Array:
        """All costs."""
        costs = self.empty(self.shape[0])
        for rows in self.blocks():
            self.raw(rows, costs[rows])
            self.finish(costs[rows])
        return costs

    def median(self) -> float:
        """The median base cost; what it takes is held."""
        low, high = middle_of(self.hold())
        return 0.5 * (low**0.5 + high**0.5) if self.root else 0.5 * (low + high)

    def bound(self) -> float:
        """A number that no cost exceeds, at the price of a vector."""
        most = self._most_raw()
        most = most**0.5 if self.root else most
        return most if self.limit is None else float(-self.limit * np.expm1(-most / self.limit))

    def largest(self) -> float:
        """The largest cost."""
        return float(self.matrix().max())


class MatrixPairs(Pairs):
    """
    Base costs that somebody else has computed.

    :param base: (n, m)
    """

    def __init__(self, base: Array) -> None:
        super().__init__((len(base), base.shape[1]), base)
        self._base = base

    def raw(self, rows: slice, out: Array) -> None:
        out[...] = self._base[rows]

    def thinned(self, by_row: int, by_column: int) -> Pairs:
        return self if by_row == by_column == 1 else self._like(self._base[::by_row, ::by_column])

    def transposed(self) -> Pairs:
        return self._like(self._base.T)

    def _like(self, base: Array) -> Pairs:
        other = MatrixPairs(base)
        other.limit = self.limit
        return other

    def _most_raw(self) -> float:
        # Not the largest, which takes a pass over all: who wants it looks at a part first.
        return math.inf


class EuclideanPairs(Pairs):
    """
    |x − y|, or its square, by one matrix product of augmented clouds: (x, |x|², 1) · (−2y, 1, |y|²).

    :param x: (n, d), centred near the origin
    :param y: (m, d)
    :param squared: whether the cost is the square
    """

    def __init__(self, x: Array, y: Array, squared: bool) -> None:
        super().__init__((len(x), len(y)), x)
        self.root = not squared
        self._x, self._y = x, y
        self._augmented: tuple[Array, Array] | None = None
        #: max |x|² + max |y|²
        self._norms = 0.0

    def raw(self, rows: slice, out: Array) -> None:
        if self._x.shape[1] <= FEW_DIMENSIONS:
            compiled = compiled_for(out)
            if compiled:
                compiled.squares(self._x[rows], np.ascontiguousarray(self._y.T), out)
                return
        left, right = self._factors()
        namespace(out).matmul(left[rows], right, out=out)
        close = CLOSE * self._norms
        if float(out.min()) <= close:
            compiled = compiled_for(out)
            mend = compiled.mend if compiled else _mend
            mend(out, self._x[rows], self._y, close)

    def thinned(self, by_row: int, by_column: int) -> Pairs:
        if by_row == by_column == 1:
            return self
        return self._like(_every(self._x, by_row), _every(self._y, by_column))

    def transposed(self) -> Pairs:
        return self._like(self._y, self._x)

    def _like(self, x: Array, y: Array) -> Pairs:
        other = EuclideanPairs(x, y, not self.root)
        other.limit = self.limit
        return other

    def _most_raw(self) -> float:
        self._factors()
        # |x − y|² ≤ 2 |x|² + 2 |y|²
        return 2.0 * self._norms

    def _factors(self) -> tuple[Array, Array]:
        if self._augmented is None:
            x, y, xp = self._x, self._y, namespace(self._x)
            x2, y2 = xp.einsum("ij,ij->i", x, x), xp.einsum("ij,ij->i", y, y)
            left = xp.ones((len(x), x.shape[1] + 2), dtype=x.dtype, **device_of(x))
            right = xp.ones((len(y), y.shape[1] + 2), dtype=y.dtype, **device_of(y))
            left[:, :-2], left[:, -2] = x, x2
            right[:, :-2], right[:, -1] = -2 * y, y2
            self._augmented, self._norms = (left, right.T), float(x2.max() + y2.max())
        return self._augmented


def _mend(squares: Array, x: Array, y: Array, close: float) -> None:
    """Compute close pairs from their differences."""
    xp = namespace(x)
    flat = squares.reshape(-1)
    found = xp.where(flat <= close)[0]
    chunk = max(1, CLOSE_CHUNK // x.shape[1])
    for start in range(0, len(found), chunk):
        part = found[start : start + chunk]
        difference = x[part // len(y)] - y[part % len(y)]
        flat[part] = (difference * difference).sum(1)


def _every(points: Array, step: int) -> Array:
    # Contiguous: compiled loops would else be compiled once more.
    return points if step == 1 else 1.0 * points[::step]


def saturate(costs: Array, limit: float) -> None:
    """s (1 − exp(−c / s)), in place."""
    costs /= -limit
    namespace(costs).expm1(costs, out=costs)
    costs *= -limit


def namespace(array: Array) -> Any:
    """numpy for an array, torch for a tensor."""
    return np if isinstance(array, np.ndarray) else torch


def device_of(array: Array) -> dict[str, Any]:
    """The keyword that makes a namespace allocate beside ``array``."""
    return {"device": array.device} if isinstance(array, torch.Tensor) else {}
