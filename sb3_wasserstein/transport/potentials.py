"""The one evaluator of potentials: what takes a potential from the points that it was solved on to any other point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.cloud import FLOAT32, FLOAT64, ArrayBackend, Cloud, Draws, Floats, pairs_within, to_floats
from sb3_wasserstein.transport.costs import EUCLIDEAN, GroundCost
from sb3_wasserstein.transport.precision import enough_digits, in_units_of
from sb3_wasserstein.transport.sinkhorn import transform

Within: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]


class Term(NamedTuple):
    """
    One soft c-transform of a sum.

    :param y: the partner's cloud, m points of weights > 0; in a sample a point's own draw does not count for it
    :param g: (m,) the partner's values
    :param factor: what the transform counts
    """

    y: Cloud
    g: Floats
    factor: float = 1.0


class SoftCTransforms:
    """
    Σ_k s_k f_k(x), f_k(x) = −ε log Σ_j q_kj exp((g_kj − c(x, y_kj)) / ε), at any points: a potential from its partner on a
    cloud (Abdullah et al. 2018, Prop. 1), with s = (1, −1) the one of a Sinkhorn divergence. Points are taken in blocks, so
    that memory is bounded however many come.

    A training evaluates few points at each rollout, where setting up their costs takes longer than the costs. For the
    euclidean costs in float32 the clouds' side is set up once: 40 points against 356 are four times as fast.

    :param terms: clouds, the partner's values on them, and s
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost, its scale measured
    :param backend: what to compute in; float64 where float32 has too few digits
    """

    def __init__(self, terms: Sequence[Term], epsilon: float, cost: GroundCost, backend: ArrayBackend = FLOAT64) -> None:
        self._terms, self._epsilon, self._cost, self._backend = terms, epsilon, cost, backend
        self._is_prepared = backend == FLOAT32 and cost.cost in EUCLIDEAN
        if self._is_prepared:
            self._prepare()

    def __call__(self, x: Floats, draws: Draws | None = None) -> Floats:
        """
        :param x: (n, d) where it is wanted
        :param draws: (n,) numbers of the draws that these points come from: where a term's cloud is a sample that has such a
            draw too, the draw is left out; None where they come from none
        :return: (n,) float64
        """
        entries = 2**15 if self._is_prepared else 2**22
        rows = max(1, entries // sum(len(term.y) for term in self._terms))
        if len(x) <= rows:
            return self._block(x, draws)
        parts = (slice(start, start + rows) for start in range(0, len(x), rows))
        return np.concatenate([self._block(x[part], None if draws is None else draws[part]) for part in parts])

    def _block(self, x: Floats, draws: Draws | None) -> Floats:
        values = self._prepared_block(x, draws) if self._is_prepared else None
        return np.sum([self._by_pairs(x, draws, *term) for term in self._terms], axis=0) if values is None else values

    @np.errstate(over="ignore", invalid="ignore")
    def _prepare(self) -> None:
        """The clouds' side of (x, |x|², 1) · (−2y, 1, |y|²) = |x − y|², in a unit in which the cost is c / ε."""
        sizes = [len(term.y) for term in self._terms]
        y = np.concatenate([term.y.points for term in self._terms])
        self._centre = (y / len(y)).sum(axis=0)
        self._unit = self._epsilon if self._cost.cost == "euclidean" else np.sqrt(self._epsilon)
        y = (y - self._centre) / self._unit
        squares = np.einsum("ij,ij->i", y, y)
        self._reach = float(squares.max())
        self._product = np.vstack([-2.0 * y.T, np.ones(len(y)), squares])
        scalings = [term.g / self._epsilon + np.log(term.y.weights) for term in self._terms]
        self._log_scaling = np.concatenate(scalings).astype(np.float32)
        self._columns = [slice(stop - size, stop) for size, stop in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]

    @np.errstate(over="ignore", invalid="ignore")
    def _prepared_block(self, x: Floats, draws: Draws | None) -> Floats | None:
        """The values; ``None`` where float32 has too few digits."""
        left = np.ones((len(x), x.shape[1] + 2))
        scaled = left[:, :-2]
        np.subtract(x, self._centre, out=scaled)
        scaled /= self._unit
        np.einsum("ij,ij->i", scaled, scaled, out=left[:, -2])
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
        values = np.zeros(len(x))
        for columns, term in zip(self._columns, self._terms, strict=True):
            part = exponents[:, columns]
            own = _within_draws(draws, term.y)
            if own is not None:
                part[own] = -np.inf
                _add_level(values, own, self._epsilon * term.factor, term.y)
            largest = part.max(axis=1)
            part -= largest[:, None]
            largest += np.log(np.exp(part, out=part).sum(axis=1))
            values -= self._epsilon * term.factor * largest
        return values

    def _by_pairs(self, x: Floats, draws: Draws | None, y: Cloud, g: Floats, factor: float) -> Floats:
        if len(y) == 1:
            return np.asarray(factor * (self._cost.matrix(x, y.points)[:, 0] - g[0]))
        pairs = self._cost.pairs(x, y.points, self._backend)
        epsilon, tol = in_units_of(pairs, self._epsilon, 1e-3)
        if self._backend.dtype == "float32" and not enough_digits(pairs, epsilon, tol):
            pairs = self._cost.pairs(x, y.points, ArrayBackend("float64", self._backend.device))
        own = _within_draws(draws, y)
        pairs.left_out = own
        partner, weights = (pairs.backend.array(numbers) for numbers in (g / pairs.unit, y.weights))
        values = to_floats(transform(pairs, partner, weights, epsilon))
        if own is not None:
            _add_level(values, own, epsilon, y)
        return factor * pairs.unit * values


def _within_draws(draws: Draws | None, y: Cloud) -> Within | None:
    """Rows and columns of a point and the points of y that come from its own draw; None where there are none."""
    if draws is None or y.draws is None:
        return None
    rows, columns = pairs_within(draws, y.draws)
    return (rows, columns) if len(rows) else None


def _add_level(values: Floats, own: Within, factor: float, y: Cloud) -> None:
    """Add what the reference was divided by (``solve_within``) where a point's own draw is left out, in place."""
    values[np.unique(own[0])] += factor * math.log(y.mass_between_draws)


def soft_c_transform(
    x: Floats, y: Cloud, g: Floats, epsilon: float, cost: GroundCost, backend: ArrayBackend = FLOAT64
) -> Floats:
    """
    :param x: (n, d) where it is wanted
    :return: (n,) one soft c-transform that is needed once; the other arguments are those of :class:`SoftCTransforms`
    """
    return SoftCTransforms([Term(y, g)], epsilon, cost, backend)(x)
