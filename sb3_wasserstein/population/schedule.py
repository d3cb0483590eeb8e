"""When members repel each other: basins are decided early, so that *when* matters more than how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

#: progress_remaining (1 at the start, 0 at the end) -> a factor of wasserstein_coef
RepulsionSchedule: TypeAlias = str | Callable[[float], float]

SCHEDULES = ("burst", "constant")


@dataclass(frozen=True)
class Burst:
    """
    Full for a while, then down to zero in a straight line; in fractions of a member's training. A pair that is far enough
    apart is let go at once: who is driven on leaves the box of actions, where there is no gradient to come back by.

    :param full: until when it is one
    :param end: from when it is zero
    :param release: the distance, in units of the ground-cost scale, from which a pair no longer repels
    """

    full: float = 0.125
    end: float = 0.1875
    release: float = 2.3

    def __call__(self, age: float) -> float:
        """
        :param age: fraction of the training since the member began, or began afresh
        :return: in [0, 1]
        """
        return float(np.clip((self.end - age) / (self.end - self.full), 0.0, 1.0))


@dataclass(frozen=True)
class FreshStarts:
    """
    Members that ended up in one behaviour, and one that was driven off and never came back, begin again with new weights and a
    burst of their own. Nothing short of new weights parts them. All times in fractions of the training.

    In a small population it is both of a pair, and a lost one together with its nearest neighbour: next to one that has
    settled, it would be released where it starts; two fresh ones part from each other. Among more, it is one, the younger,
    since each place that is given up has to be found again. The free place lies among others that have settled: driven from
    the nearest of them only, it would be held in their midst, where it starts; so all drive it, the further the less. Driven
    by the same ones it would go the same way again: from the second attempt on the places that others were in vain drive too.

    :param begin: before it, and for as long after a member's own beginning, members are left alone
    :param end: after it nobody begins again: it could not finish
    :param collapsed: the distance, in units of the ground-cost scale, below which a pair has collapsed
    :param collapsed_among: the same, among more
    :param patience: how long a member may take to come back
    :param lost: the share of the best member's gain over the untrained policies below which a member is lost by then
    :param together: the size of a population up to which two begin again together
    :param burst: among more; the others stand still, so that it is released further away, and it is soon done
    :param attempt: among more, how long one that began afresh is left alone
    :param temperature: among more, of its soft-min over its distances, in units of the ground-cost scale
    """

    begin: float = 0.225
    end: float = 0.85
    collapsed: float = 0.46
    collapsed_among: float = 0.8
    patience: float = 0.375
    lost: float = 0.2
    together: int = 3
    burst: Burst = Burst(full=0.0625, end=0.125, release=4.0)
    attempt: float = 0.17
    temperature: float = 1.0

    def members(
        self,
        distances: dict[tuple[int, int], float],
        scale: float,
        progress: float,
        ages: dict[int, float],
        returns: dict[int, float],
        untrained: float,
    ) -> set[int]:
        """
        :param distances: of the pairs (k, l), both ways
        :param scale: the ground-cost scale
        :param progress: fraction of the training that is over
        :param ages: of each member, fraction of the training since it began
        :param returns: each member's mean return in its last rollout
        :param untrained: mean return before training
        :return: the members that are to begin again
        """
        fresh: set[int] = set()
        together = len(ages) <= self.together
        if not self.begin <= progress <= self.end or not distances:
            return fresh
        limit, alone = (self.collapsed, self.begin) if together else (self.collapsed_among, self.attempt)
        for distance, pair in sorted((distance, pair) for pair, distance in distances.items()):
            settled = min(ages[k] for k in pair) >= alone
            if distance < limit * scale and settled and not fresh & set(pair):
                fresh |= set(pair) if together else {min(pair, key=lambda k: (ages[k], -k))}
        least = untrained + self.lost * (max(returns.values()) - untrained)
        for k, mean in sorted(returns.items()):
            if ages[k] >= self.patience and mean < least and k not in fresh:
                nearest = min((distance, l) for (one, l), distance in distances.items() if one == k)[1]
                fresh |= {k, nearest} if together else {k}
        return fresh


def check_schedule(schedule: RepulsionSchedule) -> None:
    """
    :raises ValueError: if it is not a known name
    :raises TypeError: if it is neither a name nor callable
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r} is not known; use one of {list(SCHEDULES)}, or a function of progress")
    elif not callable(schedule):
        raise TypeError(f"schedule must be one of {list(SCHEDULES)} or a function of progress_remaining; got {schedule!r}")
