"""Ground costs: what it costs to move one behaviour into another. The choice matters more than the solver's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from sb3_wasserstein._validation import check_positive
from sb3_wasserstein.cloud import FLOAT64, Array, ArrayBackend, Floats, as_cloud, to_floats
from sb3_wasserstein.transport.cost_matrix import EuclideanPairs, MatrixPairs, Pairs

CostFunction: TypeAlias = Callable[[Any, Any], Any]
"""(x (n, d), y (m, d)) -> (n, m)"""

METRICS = (
    "braycurtis", "canberra", "chebyshev", "cityblock", "correlation", "cosine", "euclidean", "hamming", "jaccard",
    "jensenshannon", "minkowski", "sqeuclidean",
)  # fmt: skip
DATA_DEPENDENT = ("mahalanobis", "seuclidean")
EUCLIDEAN = ("euclidean", "sqeuclidean")


@dataclass(frozen=True)
class SaturatingCost:
    """
    s · (1 − exp(−d / s)): near zero the base cost itself, far away flat, so that repulsion has a maximum.

    :param base: the cost d that saturates, a scipy metric name or a callable
    :param scale: s, in units of the ground-cost scale (the median base cost of the first update)
    :raises ValueError: if the name is unknown or the scale is not finite and > 0

    Example:
        >>> from sb3_wasserstein import behaviour_distance
        >>> from sb3_wasserstein.duals import SaturatingCost
        >>> near, far = ([[x]] for x in (1.0, 1000.0))
        >>> cloud = [[0.0], [1.0], [2.0]]
        >>> bool(behaviour_distance(cloud, far, cost=SaturatingCost()) < behaviour_distance(cloud, far))
        True
    """

    base: str | CostFunction = "euclidean"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_metric(self.base, "base")
        check_positive("scale", self.scale)


Cost: TypeAlias = str | CostFunction | SaturatingCost


def check_metric(cost: object, name: str) -> None:
    """A metric's name or a callable, or an error that lists what there is."""
    if isinstance(cost, str):
        if cost in DATA_DEPENDENT:
            raise ValueError(f"`{name}`={cost!r} depends on the clouds it is given: scale the embedding, and use 'euclidean'")
        if cost not in METRICS:
            raise ValueError(f"`{name}`={cost!r} is unknown: use one of {', '.join(METRICS)}, or a callable (x, y) -> (n, m)")
    elif not callable(cost):
        raise TypeError(f"`{name}` must be a scipy metric's name, a callable or a SaturatingCost, got {cost!r}")


class GroundCost:
    """
    A ``cost`` argument made computable: c(x, y) for all pairs of two clouds, and its scale.

    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a :class:`SaturatingCost`
    :raises ValueError: if the name is unknown
    :raises TypeError: if it is none of these

    Example:
        >>> from sb3_wasserstein.duals import GroundCost
        >>> cost = GroundCost("cityblock")
        >>> cost.matrix([[0.0, 0.0]], [[1.0, 2.0], [0.0, 1.0]]), cost.median([[0.0, 0.0]], [[1.0, 2.0], [0.0, 1.0]])
        (array([[3., 1.]]), 2.0)
    """

    def __init__(self, cost: Cost = "euclidean") -> None:
        if not isinstance(cost, SaturatingCost):
            check_metric(cost, "cost")
        self.cost = cost
        self.base: str | CostFunction = cost.base if isinstance(cost, SaturatingCost) else cost
        #: the base cost's median, which a saturating cost is measured in; ``None`` until measured
        self.base_median: float | None = None
        self._takes_tensors = False

    @property
    def limit(self) -> float | None:
        """Where the cost saturates, in its own unit; ``None`` if it does not, or is not known yet."""
        if not isinstance(self.cost, SaturatingCost) or self.base_median is None:
            return None
        return self.cost.scale * self.base_median

    def pairs(self, x: Floats, y: Floats, backend: ArrayBackend = FLOAT64) -> Pairs:
        """
        All pairs' costs, to be made block by block.

        :param x: (n, d)
        :param y: (m, d)
        :param backend: the costs' type and place
        :return: the costs in a unit of their own; base costs as long as a saturating cost has no scale
        :raises ValueError: if a callable returns another shape, or the cost is not finite
        """
        if self.base in EUCLIDEAN:
            # The mean of shares: a mean of the largest numbers would overflow on the way.
            centre = (y / len(y)).sum(axis=0)
            x, y = x - centre, y - centre
            unit = power_of_two(max(float(np.abs(x).max()), float(np.abs(y).max())))
            squared = self.base == "sqeuclidean"
            points = backend.array(x / unit), backend.array(y / unit)
            return EuclideanPairs(*points, squared, backend, unit**2 if squared else unit, self.limit)
        costs = self._by_scipy_or_callable(x, y)
        unit = power_of_two(float(np.abs(costs).max()))
        return MatrixPairs(backend.array(costs / unit), backend, unit, self.limit)

    def matrix(self, x: Any, y: Any, backend: ArrayBackend = FLOAT64) -> Array:
        """
        All pairs' costs, in the cost's own unit.

        :param x: (n, d) array or tensor
        :param y: (m, d)
        :param backend: the result's type and place
        :return: (n, m); a tensor if ``x`` is one, or if the device is not the CPU
        :raises RuntimeError: if a saturating cost has no scale yet (``measure`` gives it one)
        :raises ValueError: if a callable returns another shape, or the cost is not finite
        """
        if isinstance(self.cost, SaturatingCost) and self.base_median is None:
            raise RuntimeError("a SaturatingCost has no scale before the first update")
        if isinstance(x, torch.Tensor):
            return torch.as_tensor(self.matrix(to_floats(x), to_floats(y), backend))
        pairs = self.pairs(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), backend)
        return pairs.matrix() * pairs.unit

    def base_matrix(self, x: Floats, y: Floats, backend: ArrayBackend = FLOAT64) -> Array:
        """:return: (n, m) the base cost of all pairs, before it saturates"""
        pairs = self.pairs(x, y, backend)
        pairs.limit = None
        return pairs.matrix() * pairs.unit

    def measure(self, base: Array, *clouds: Floats) -> float:
        """
        Freeze the scale on a matrix of base costs.

        :param base: (n, m), as from :meth:`base_matrix`
        :param clouds: whose costs they are
        :return: the median cost; 1 where it is 0 up to rounding (most points are equal)
        """
        self.base_median = self._or_one(median_of(base), clouds)
        return self._saturated(self.base_median, self.base_median)

    def measure_clouds(self, x: Floats, y: Floats) -> float:
        """:return: as :meth:`measure`, on the pairs of two clouds"""
        return self.measure(self.base_matrix(_strided(x), _strided(y)), x, y)

    def measured_pairs(self, x: Floats, y: Floats, backend: ArrayBackend) -> tuple[Pairs, float]:
        """:return: all pairs' costs, computed once, and the scale, which is frozen on them as by :meth:`measure`"""
        pairs = self.pairs(x, y, backend)
        pairs.limit = None
        base, unit = pairs.matrix(), pairs.unit
        self.base_median = self._or_one(median_of(base) * unit, (x, y))
        return MatrixPairs(base, backend, unit, self.limit), self._saturated(self.base_median, self.base_median)

    def median(self, x: Any, y: Any) -> float:
        """
        The median cost over all pairs, unweighted; above 2²⁰ pairs over about 2¹⁷ of them at a fixed stride. Freezes nothing.

        :param x: (n, d)
        :param y: (m, d)
        :return: the median; 1 where it is 0 up to rounding (most points are equal)
        """
        x, y = as_cloud(x, "x"), as_cloud(y, "y")
        median = self._or_one(median_of(self.base_matrix(_strided(x), _strided(y))), (x, y))
        return self._saturated(median, self.base_median or median)

    def median_within(self, x: Any) -> float:
        """
        The median cost over all pairs of different points of one cloud, as :meth:`median` for two. Freezes nothing.

        :param x: (n, d)
        :return: the median; that of the pairs that differ where most do not, as of a deterministic policy; 1 where none does
        """
        cloud = _strided(as_cloud(x, "x"))
        base = self.base_matrix(cloud, cloud)
        pairs = base[~np.eye(len(cloud), dtype=bool)] if len(cloud) > 1 else base
        median, least = median_of(pairs), self._rounding((cloud,))
        if median <= least and pairs.max() > least:
            median = median_of(pairs[pairs > least])
        median = self._or_one(median, (cloud,))
        return self._saturated(median, self.base_median or median)

    def _or_one(self, median: float, clouds: tuple[Floats, ...]) -> float:
        return median if median > self._rounding(clouds) else 1.0

    def _rounding(self, clouds: tuple[Floats, ...]) -> float:
        """What the cost of one point that was computed in two ways may come out as; known for the euclidean costs."""
        if self.base not in EUCLIDEAN:
            return 0.0
        least = 1e-12 * max((float(np.abs(cloud).max()) for cloud in clouds), default=0.0)
        return least if self.base == "euclidean" else least**2

    def _saturated(self, base: float, unit: float) -> float:
        if not isinstance(self.cost, SaturatingCost):
            return base
        limit = self.cost.scale * unit
        return float(-limit * np.expm1(-base / limit))

    def _by_scipy_or_callable(self, x: Floats, y: Floats) -> Floats:
        if isinstance(self.base, str):
            from scipy.spatial.distance import cdist

            costs = cdist(x, y, cast(Any, self.base))
        else:
            costs = self._by_callable(self.base, x, y)
        if not np.isfinite(costs).all():
            raise ValueError(f"`cost`={self.base!r} is not finite on these points: it cannot be used with this embedding")
        return costs

    def _by_callable(self, function: CostFunction, x: Floats, y: Floats) -> Floats:
        costs = None
        if not self._takes_tensors:
            try:
                costs = function(x, y)
            except (TypeError, AttributeError):
                # A function written for tensors says so with its first call; from then on it gets them.
                self._takes_tensors = True
        if costs is None:
            costs = function(torch.from_numpy(x), torch.from_numpy(y))
        if tuple(np.shape(costs)) != (len(x), len(y)):
            raise ValueError(f"`cost` returned shape {tuple(np.shape(costs))} for clouds of {len(x)} and {len(y)} points")
        return to_floats(costs.detach() if isinstance(costs, torch.Tensor) else costs)


def median_of(costs: Array) -> float:
    """:return: the median of a matrix: exact up to 2²⁰ entries, above that of about 2¹⁷ at a fixed stride"""
    flat = costs.reshape(-1)
    if len(flat) > 2**20:
        # An odd stride does not fall in step with an even row length.
        flat = flat[:: (len(flat) // 2**17) | 1]
    flat = flat.cpu().numpy() if isinstance(flat, torch.Tensor) else flat
    # numpy has vectors for a partition at one rank: np.median, which asks for two, takes eight times as long.
    middle = len(flat) // 2
    flat = np.partition(flat, middle)
    return float(flat[middle]) if len(flat) % 2 else 0.5 * (float(flat[:middle].max()) + float(flat[middle]))


def _strided(points: Floats) -> Floats:
    """At most 2048 points at a fixed stride: what a median over pairs needs of a large cloud."""
    return points[:: -(-len(points) // 2048)]


def power_of_two(size: float) -> float:
    """:return: what to divide numbers up to ``size`` by, so that rounding is the same in all units"""
    return float(2.0 ** np.ceil(np.log2(size))) if size > 0 else 1.0
