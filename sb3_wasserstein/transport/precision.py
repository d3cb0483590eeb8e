"""A transport problem between given clouds, solved in float32 where that has enough digits for its ε."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sb3_wasserstein.cloud import Floats, Kind, to_floats
from sb3_wasserstein.transport.cost_matrix import Pairs
from sb3_wasserstein.transport.costs import GroundCost
from sb3_wasserstein.transport.sinkhorn import Solution, solve, solve_symmetric

ROUNDING_32 = 2.0**-24
COARSE_32 = 2.5e-4


@dataclass(frozen=True)
class Problem:
    """
    What the solves of one update share.

    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case
    :param kind: what to iterate in, and where
    :param warn: called with a kind of warning and its text
    """

    cost: GroundCost
    epsilon: float
    tol: float
    max_iterations: int
    kind: Kind
    warn: Callable[[str, str], None]

    def between(
        self, x: Floats, y: Floats, p: Floats, q: Floats, g: Floats | None = None, pairs: Pairs | None = None
    ) -> Solution:
        """
        The potentials between two clouds, in float64.

        :param x: (n, d)
        :param y: (m, d)
        :param p: (n,) weights > 0
        :param q: (m,) weights > 0
        :param g: (m,) where to start, ``None`` for cold
        :param pairs: their costs, if there are any already
        """
        if len(x) == 1 or len(y) == 1:
            return _closed_form(self.cost.matrix(x, y))

        def run(kind: Kind, pairs: Pairs) -> Solution:
            start = None if g is None else kind.array(g)
            return solve(pairs, kind.array(p), kind.array(q), self.epsilon, start, self.tol, self.max_iterations)

        return self._in_enough_digits(run, pairs or self.cost.pairs(x, y, self.kind), x, y)

    def within(self, x: Floats, p: Floats, f: Floats | None = None) -> Solution:
        """
        The symmetric potential of a cloud against itself, in float64.

        :param x: (n, d)
        :param p: (n,) weights > 0
        :param f: (n,) where to start, ``None`` for cold
        """
        if len(x) == 1:
            return _closed_form(0.5 * self.cost.matrix(x, x))

        def run(kind: Kind, pairs: Pairs) -> Solution:
            start = None if f is None else kind.array(f)
            return solve_symmetric(pairs, kind.array(p), self.epsilon, start, self.tol, self.max_iterations)

        return self._in_enough_digits(run, self.cost.pairs(x, x, self.kind), x, x)

    def _in_enough_digits(self, run: Callable[[Kind, Pairs], Solution], pairs: Pairs, x: Floats, y: Floats) -> Solution:
        """Solve in the wanted type, in float64 where float32's rounding of c / ε would be seen in the marginals."""
        found = None
        if (
            self.kind.dtype == "float64"
            or self._largest(pairs, 0.25 * self.tol) * ROUNDING_32 <= 0.25 * self.tol * self.epsilon
        ):
            found = run(self.kind, pairs)
        if found is None or (
            self.kind.dtype == "float32" and found.residual > self.tol and found.iterations < self.max_iterations
        ):
            largest = self._largest(pairs, COARSE_32)
            # A tolerance that asks for more digits than float32 has is no reason to worry anybody; an ε that does is.
            if largest * ROUNDING_32 > COARSE_32 * self.epsilon:
                self.warn(
                    "float32",
                    f"`dtype`='float32' is too coarse for ε = {self.epsilon:.2g} at costs up to {largest:.2g}: solved in "
                    "float64; pass dtype='float64', or a larger epsilon",
                )
            float64 = Kind("float64", self.kind.device)
            found = run(float64, self.cost.pairs(x, y, float64))
        return Solution(to_floats(found.f), to_floats(found.g), found.residual, found.iterations)

    def _largest(self, pairs: Pairs, share: float) -> float:
        """The largest cost; a bound, which is cheaper, where that is small enough for rounding to be below ε's ``share``."""
        bound = pairs.bound()
        return bound if bound * ROUNDING_32 <= share * self.epsilon else pairs.largest()


def _closed_form(costs: Floats) -> Solution:
    """One side is a single point: f is the cost itself."""
    if costs.shape[1] == 1:
        return Solution(costs[:, 0], np.zeros(1), 0.0, 0)
    return Solution(np.zeros(1), costs[0], 0.0, 0)
