"""Anderson acceleration of a fixed-point iteration, held back by the objective that plain steps never lower."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sb3_wasserstein.cloud import Array, to_floats
from sb3_wasserstein.transport.cost_matrix import namespace


@dataclass(frozen=True)
class AndersonAcceleration:
    """
    How the next log-scaling is mixed from the last few (Walker and Ni 2011, type II).

    :param memory: steps that are mixed
    :param ridge: added to the least squares, in units of the step's squared norm: differences between steps that are smaller
        than its root are noise
    :param largest_step: the largest change of a log-scaling in one step
    :param overshoot: a residual so many times the best one means that mixing has gone too far
    :param most_overshoots: after so many, plain steps only
    :param patience: iterations without a better residual after which float32's rounding is taken to be all that is left
    """

    memory: int = 5
    ridge: float = 1e-6
    largest_step: float = 3.0
    overshoot: float = 3.0
    most_overshoots: int = 20
    patience: int = 200


class Search:
    """
    Which log-scaling comes next. Where mixing has lost what the dual objective, which plain steps never lower, has gained, the
    highest point so far goes on by its plain step.

    :param weights: (m,) of the least-squares norm
    :param options: how steps are mixed
    """

    def __init__(self, weights: Array, options: AndersonAcceleration) -> None:
        self._weights, self._options = weights, options
        self._steps: list[tuple[Array, Array]] = []
        self._last: tuple[Array, Array] | None = None
        self._overshoots = self._since_best = 0
        self._highest: tuple[float, Array, Array] | None = None
        #: the smallest residual, the log-scaling that it is at, and the kernel's row sums there
        self.best: tuple[float, Array, Array] = (math.inf, None, None)

    @property
    def stalled(self) -> bool:
        """Whether rounding is all that is left: in float64 the iteration goes on to its last."""
        return self._since_best > self._options.patience and self._weights.itemsize == 4 and self.best[0] < 1e-2

    def record(self, residual: float, point: Array, rows: Array) -> None:
        """
        :param residual: the marginal error
        :param point: (m,) the log-scaling that it is at
        :param rows: (n,) the kernel's row sums there
        """
        self._since_best += 1
        if residual < self.best[0]:
            self.best, self._since_best = (residual, point, rows), 0

    def next(self, residual: float, objective: float, point: Array, step: Array) -> Array:
        """
        :param residual: the marginal error at ``point``
        :param objective: the dual objective at ``point``, in units of ε
        :param point: (m,) where the iteration is
        :param step: (m,) what the plain iteration would add
        :return: (m,) the log-scaling to go to
        """
        if self._overshoots > self._options.most_overshoots:
            return point + step
        if self._highest is not None and (
            objective < self._highest[0] - 1e-5 * (1.0 + abs(objective)) or residual > self._options.overshoot * self.best[0]
        ):
            self._overshoots += 1
            self._steps, self._last = [], None
            _, point, step = self._highest
            # Whatever comes next is taken: rounding must not send the search back here for ever.
            self._highest = None
            return point + step
        if self._highest is None or objective >= self._highest[0]:
            self._highest = (objective, point, step)
        return self._mixed(point, step)

    def _mixed(self, point: Array, step: Array) -> Array:
        from scipy.linalg.lapack import dposv

        plain = point + step
        last, self._last = self._last, (plain, step)
        if last is None:
            return plain
        xp = namespace(point)
        self._steps = [*self._steps, (step - last[1], plain - last[0])][-self._options.memory :]
        differences = xp.stack([difference for difference, _ in self._steps])
        weighted = differences * self._weights
        gram, right = to_floats(weighted @ differences.T), to_floats(weighted @ step)
        norm = float(step @ (self._weights * step))
        # Steps that do not differ (mass that has far to go) say nothing but their rounding: then the plain step is the answer.
        relative = 10.0 * float(xp.finfo(point.dtype).eps) * gram.trace()
        gram.flat[:: len(gram) + 1] += relative + self._options.ridge * norm + float(np.finfo(np.float64).tiny)
        # LAPACK itself: numpy's checks cost more than a small system.
        _, mixing, failed = dposv(gram, right)
        if failed:
            return plain
        mixed = plain
        for share, (_, image) in zip(mixing.tolist(), self._steps, strict=True):
            mixed = mixed - share * image
        return xp.clip(mixed, point - self._options.largest_step, point + self._options.largest_step)
