"""Which scaling comes next: Anderson mixing, held to what the dual objective has gained."""

from __future__ import annotations

import math

from sb3_wasserstein.cloud import Array
from sb3_wasserstein.transport.acceleration import Anderson

#: a residual so many times the best one means that mixing has overshot; so often, and it is given up
OVERSHOT = 3.0
OBJECTIVE_SLACK = 1e-5
MOST_OVERSHOOTS = 20
#: so many iterations without a better residual, and below this, and the type's rounding is what is left (by bytes a number)
PATIENCE = 200
ROUNDING = {4: 1e-2, 8: 1e-10}


class Search:
    """
    Which log-scaling comes next. Mixing may not lose what the dual objective, which plain steps never lower, has gained: then
    the highest point so far goes on by its plain step.
    """

    def __init__(self, weights: Array) -> None:
        self._mixer = Anderson(weights)
        self._rounding = ROUNDING[weights.itemsize]
        self._overshoots = 0
        self._since_best = 0
        self._highest: tuple[float, Array, Array] | None = None
        self.best: tuple[float, Array, Array] = (math.inf, None, None)

    @property
    def stalled(self) -> bool:
        return self._since_best > PATIENCE and self.best[0] < self._rounding

    def seen(self, residual: float, point: Array, rows: Array) -> None:
        """Keep the point of the smallest residual: what is returned if the tolerance is not reached."""
        self._since_best += 1
        if residual < self.best[0]:
            self.best, self._since_best = (residual, point, rows), 0

    def next(self, residual: float, objective: float, point: Array, step: Array) -> Array:
        if self._overshoots > MOST_OVERSHOOTS:
            return point + step
        slack = OBJECTIVE_SLACK * (1.0 + abs(objective))
        if self._highest is not None and (objective < self._highest[0] - slack or residual > OVERSHOT * self.best[0]):
            self._overshoots += 1
            self._mixer.forget()
            _, point, step = self._highest
            # Whatever comes next is taken: rounding must not send it back here for ever.
            self._highest = None
            return point + step
        if self._highest is None or objective >= self._highest[0]:
            self._highest = (objective, point, step)
        return self._mixer.next(point, step)
