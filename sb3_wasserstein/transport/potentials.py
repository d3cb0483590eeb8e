"""Soft c-transforms evaluated again and again, as at every rollout: what does not depend on the points is prepared once."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_wasserstein._numba import compiled_for_entries
from sb3_wasserstein.cloud import Floats, Kind
from sb3_wasserstein.means import RunningMeans
from sb3_wasserstein.transport.costs import FLOAT64, PRODUCT_FORM, GroundCost
from sb3_wasserstein.transport.transform import extend

#: lifts squared distances above what float64 can lose in them, in each of d + 2 products: none is negative
LIFT = 2 * np.finfo(np.float64).eps
#: pairs that a block of rows may have, to stay in the cache; compiled loops go through a block once
BLOCK, COMPILED_BLOCK = 2**15, 2**17
#: dimensions up to which compiled loops over differences beat a matrix product
FEW_DIMENSIONS = 24
#: the error of an exponent from float32 points at which the product in float64 is taken instead
LARGEST_ERROR = 1e-4
#: the error of an exponent from a product in float32 at which the pair's difference is taken instead
LARGEST_PRODUCT_ERROR = 1e-3
#: the largest exponent that can occur, and the least sum of exponentials from which nothing was lost to underflow
TOP = 60.0
LEAST_SUM = 1e-27


class Transforms:
    """
    Σ_k s_k f_k(x), f_k(x) = −ε log Σ_j q_kj exp((g_kj − c(x, y_kj)) / ε), at any points x; with s = (1, −1) the potential of
    the Sinkhorn divergence. For the euclidean costs all clouds share one matrix product, and exponentials are shifted by one
    constant: where that is not enough, row by row. The product is in float64, so that close pairs need no mending; compiled
    loops mend them one by one, and take it in float32.

    :param clouds: for each k the points y (m, d), their weights q (m,), the potential g (m,) on them, and the sign s
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost
    :param kind: what exponentials are computed in, on the CPU
    """

    def __init__(
        self, clouds: Sequence[tuple[Floats, Floats, Floats, float]], epsilon: float, cost: GroundCost, kind: Kind
    ) -> None:
        self._clouds = [(y, np.log(q), g, sign) for y, q, g, sign in clouds]
        self._epsilon, self._cost, self._kind = epsilon, cost, kind
        self._product: Floats | None = None
        if cost.cost in PRODUCT_FORM:
            self._prepare()

    def _prepare(self) -> None:
        self._root = self._cost.cost == "euclidean"
        y = np.concatenate([cloud[0] for cloud in self._clouds])
        self._centre = y.mean(axis=0)
        y = y - self._centre
        self._y = y.T.astype(self._kind.dtype, order="C")
        self._y_tensor = torch.tensor(self._y)
        reach = float(np.abs(y).max())
        error = np.finfo(np.float32).eps * (reach if self._root else 4.0 * reach**2) / self._epsilon
        self._few = y.shape[1] <= FEW_DIMENSIONS
        self._compiles = self._kind.dtype == "float32" and (self._few or self._root) and error < LARGEST_ERROR
        self._takes_means = self._kind.dtype == "float32" and not self._few
        # Rounding leaves an error of up to about 4 eps · (|x|² + |y|²) in a square, half of that over c in the distance c.
        self._near = np.float32(2.0 * np.finfo(np.float32).eps / (LARGEST_PRODUCT_ERROR * self._epsilon))
        self._lifted = 1.0 + LIFT * (y.shape[1] + 2)
        # The cost is divided by ε here, once.
        self._unit = self._epsilon**2 if self._root else self._epsilon
        self._product = np.vstack([-2.0 * y.T, np.ones(len(y)), self._lifted * (y * y).sum(axis=1)]) / self._unit
        rows = [g / self._epsilon + log_q for _, log_q, g, _ in self._clouds]
        shifts = [TOP - row.max() for row in rows]
        self._rows = np.concatenate([row + shift for row, shift in zip(rows, shifts, strict=True)]).astype(self._kind.dtype)
        self._members = np.zeros((len(y), len(rows)), dtype=self._kind.dtype)
        self._bounds = np.cumsum([0, *(len(row) for row in rows)])
        for k in range(len(rows)):
            self._members[self._bounds[k] : self._bounds[k + 1], k] = 1.0
        self._signs = np.array([-self._epsilon * sign for _, _, _, sign in self._clouds])
        self._level = float(self._signs @ shifts)
        self._rate, self._least = np.float32(1.0 / self._epsilon), np.float32(LEAST_SUM)

    def __call__(self, x: Floats, means: RunningMeans | None = None) -> Floats:
        """
        :param x: (n, d)
        :param means: what the points are means of, where that is known
        :return: (n,)
        """
        if self._product is None:
            return self._by_rows(x)
        n_columns = self._product.shape[1]
        # Where there are not far fewer points than means, a product of the means themselves is as good.
        if means is not None and self._takes_means and 2 * len(means.points) <= len(x):
            compiled = compiled_for_entries(len(x) * n_columns)
            if compiled:
                return self._of_means(compiled, x, means)
        compiled = compiled_for_entries(len(x) * n_columns) if self._compiles else None
        rows = max(1, (COMPILED_BLOCK if compiled else BLOCK) // n_columns)
        if len(x) <= rows:
            return self._values(x, compiled)
        return np.concatenate([self._values(x[start : start + rows], compiled) for start in range(0, len(x), rows)])

    def _values(self, x: Floats, compiled: ModuleType | None) -> Floats:
        return self._block(x) if compiled is None else self._compiled_block(compiled, x)

    def _compiled_block(self, compiled: ModuleType, x: Floats) -> Floats:
        if self._few:
            # Contiguous: compiled loops would else be compiled once more.
            points = np.ascontiguousarray(x)
            values, far, n_far = compiled.transforms(
                points, self._centre, self._y, self._rows, self._bounds, self._root, self._rate, self._signs, self._level,
                self._least,
            )  # fmt: skip
        else:
            # torch's product: up to twice as fast as numpy's. In torch's own memory: its bits may depend on the alignment.
            tensor = torch.from_numpy(x - self._centre).to(torch.float32).contiguous()
            points, products = tensor.numpy(), torch.mm(tensor, self._y_tensor).numpy()
            values, far, n_far = compiled.transforms_of_products(
                points, self._y, products, self._near, self._rows, self._bounds, self._rate, self._signs, self._level,
                self._least,
            )  # fmt: skip
        return self._filled(values, x, far) if n_far else values

    def _of_means(self, compiled: ModuleType, x: Floats, means: RunningMeans) -> Floats:
        """A mean's products are the mean of its points' products: few are taken, in float64, so that none needs mending."""
        assert self._product is not None
        products, y_squares = self._product[:-2], self._product[-1]
        table = (means.points - self._centre) @ products
        sums = (means.sums - means.counts[:, None] * self._centre) @ products
        values, far, n_far = compiled.transforms_of_means(
            x, self._centre, table, means.index, means.fresh, means.ends, sums, means.counts.copy(), y_squares,
            self._lifted / self._unit, self._root, self._rows, self._bounds, self._signs, self._level, self._least,
        )  # fmt: skip
        return self._filled(values, x, far) if n_far else values

    @np.errstate(over="ignore", invalid="ignore")
    def _block(self, x: Floats) -> Floats:
        assert self._product is not None
        left = np.ones((len(x), x.shape[1] + 2))
        centred = left[:, :-2]
        np.subtract(x, self._centre, out=centred)
        np.einsum("ij,ij->i", centred, centred, out=left[:, -2])
        left[:, -2] *= self._lifted
        costs = left @ self._product
        exponents = np.empty(costs.shape, self._kind.dtype)
        if self._root:
            costs = np.sqrt(costs, out=exponents, dtype=exponents.dtype)
        np.subtract(self._rows, costs, out=exponents, dtype=exponents.dtype)
        sums = np.exp(exponents, out=exponents) @ self._members
        far: NDArray[np.bool_] = np.asarray((sums < LEAST_SUM).any(axis=1))
        if self._kind.dtype == "float64" and far.any():
            # Rows are exact to more digits than lifted products, and who asks for float64 asks for them.
            return self._by_rows(x)
        sums[far] = 1.0
        values: Floats = np.log(sums, dtype=np.float64) @ self._signs - self._level
        return self._filled(values, x, far) if far.any() else values

    def _filled(self, values: Floats, x: Floats, far: NDArray[np.bool_]) -> Floats:
        """The values, where ``far`` row by row."""
        values[far] = self._by_rows(x[far])
        return values

    @np.errstate(over="ignore", invalid="ignore")
    def _by_rows(self, x: Floats) -> Floats:
        """Each row shifted by its own largest exponent: for any cost, and at any distance."""
        # What a product leaves to rows is far: small differences of large transforms, for which float32 has too few digits.
        kind = self._kind if self._product is None else FLOAT64
        values = np.zeros(len(x))
        for y, log_q, g, sign in self._clouds:
            values += sign * extend(x, y, log_q, g, self._epsilon, self._cost, kind)
        # A point whose square the dual's own type cannot hold is an error to the caller, whatever rows are taken in.
        values[~np.isfinite(np.einsum("ij,ij->i", x, x).astype(self._kind.dtype))] = np.inf
        return values
