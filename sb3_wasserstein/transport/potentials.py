"""The one evaluator of potentials: what takes a potential from the points that it was solved on to any other point."""

from __future__ import annotations

import numpy as np

from sb3_wasserstein.cloud import FLOAT32, FLOAT64, ArrayBackend, Cloud, Floats, to_floats
from sb3_wasserstein.transport.costs import EUCLIDEAN, GroundCost
from sb3_wasserstein.transport.precision import enough_digits, in_units_of
from sb3_wasserstein.transport.sinkhorn import transform


class SoftCTransform:
    """
    f(x) = −ε log Σ_j q_j exp((g_j − c(x, y_j)) / ε), the potential at any points from its partner on the cloud ``y`` (Abdullah
    et al. 2018, Prop. 1). Points are taken in blocks, so that memory is bounded however many come.

    A training evaluates few points at each rollout. For them the costs' set-up takes longer than the costs: for the euclidean
    costs in float32 the cloud's side is computed once, which makes 40 points against 256 four times as fast.

    :param y: the partner's cloud, of weights > 0
    :param g: (m,) the partner's values
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost, its scale measured
    :param backend: what to compute in; float64 where float32 has too few digits
    """

    def __init__(self, y: Cloud, g: Floats, epsilon: float, cost: GroundCost, backend: ArrayBackend = FLOAT64) -> None:
        self._y, self._g, self._epsilon, self._cost, self._backend = y, g, epsilon, cost, backend
        self._is_prepared = backend == FLOAT32 and cost.cost in EUCLIDEAN and len(y) > 1
        if self._is_prepared:
            self._prepare()

    def __call__(self, x: Floats) -> Floats:
        """
        :param x: (n, d) where it is wanted
        :return: (n,) float64
        """
        if len(self._y) == 1:
            return np.asarray(self._cost.matrix(x, self._y.points)[:, 0] - self._g[0])
        rows = max(1, (2**15 if self._is_prepared else 2**22) // len(self._y))
        if len(x) <= rows:
            return self._block(x)
        return np.concatenate([self._block(x[start : start + rows]) for start in range(0, len(x), rows)])

    def _block(self, x: Floats) -> Floats:
        values = self._prepared_block(x) if self._is_prepared else None
        return self._pairs_block(x) if values is None else values

    @np.errstate(over="ignore", invalid="ignore")
    def _prepare(self) -> None:
        """The cloud's side of (x, |x|², 1) · (−2y, 1, |y|²) = |x − y|², in a unit in which the cost is c / ε."""
        y = self._y.points
        self._centre = (y / len(y)).sum(axis=0)
        self._unit = self._epsilon if self._cost.cost == "euclidean" else np.sqrt(self._epsilon)
        scaled = (y - self._centre) / self._unit
        squares = np.einsum("ij,ij->i", scaled, scaled)
        self._reach = float(squares.max())
        self._product = np.vstack([-2.0 * scaled.T, np.ones(len(y)), squares])
        self._log_scaling = (self._g / self._epsilon + np.log(self._y.weights)).astype(np.float32)
        self._ones = np.ones(len(y), np.float32)

    @np.errstate(over="ignore", invalid="ignore")
    def _prepared_block(self, x: Floats) -> Floats | None:
        """The values; ``None`` where float32 has too few digits."""
        left = np.ones((len(x), x.shape[1] + 2))
        scaled = left[:, :-2]
        np.subtract(x, self._centre, out=scaled)
        scaled /= self._unit
        left[:, -2] = np.einsum("ij,ij->i", scaled, scaled)
        # |x − y|² ≤ 2 |x|² + 2 |y|². NaN fails the comparison.
        bound = 2.0 * (float(left[:, -2].max()) + self._reach)
        is_euclidean = self._cost.cost == "euclidean"
        bound = bound**0.5 if is_euclidean else bound
        # float32's rounding of the costs, and of ε where ε is larger, is then below 1 / 4000.
        if not 1 / 4000 < bound < 4000:
            return None
        # The product is in float64, so that it has digits for close pairs, whose difference float32 would have lost.
        exponents = (left @ self._product).astype(np.float32)
        if is_euclidean:
            np.maximum(exponents, 0.0, out=exponents)
            np.sqrt(exponents, out=exponents)
        np.subtract(self._log_scaling, exponents, out=exponents)
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        sums = np.exp(exponents, out=exponents) @ self._ones
        return np.asarray(-self._epsilon * (largest + np.log(sums)), dtype=np.float64)

    def _pairs_block(self, x: Floats) -> Floats:
        pairs = self._cost.pairs(x, self._y.points, self._backend)
        epsilon, tol = in_units_of(pairs, self._epsilon, 1e-3)
        if self._backend.dtype == "float32" and not enough_digits(pairs, epsilon, tol):
            pairs = self._cost.pairs(x, self._y.points, ArrayBackend("float64", self._backend.device))
        partner, weights = (pairs.backend.array(numbers) for numbers in (self._g / pairs.unit, self._y.weights))
        return pairs.unit * to_floats(transform(pairs, partner, weights, epsilon))


def soft_c_transform(
    x: Floats, y: Cloud, g: Floats, epsilon: float, cost: GroundCost, backend: ArrayBackend = FLOAT64
) -> Floats:
    """
    :param x: (n, d) where it is wanted
    :return: (n,) the values of a :class:`SoftCTransform`, whose arguments the others are, that is needed once
    """
    return SoftCTransform(y, g, epsilon, cost, backend)(x)
