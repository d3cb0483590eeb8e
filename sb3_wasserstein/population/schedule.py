"""When members repel each other: basins are decided early, so that *when* matters more than how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sb3_wasserstein._validation import check_count, check_number, check_positive

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
    :param gain: it begins when a member's mean return has risen by this many standard deviations of the first episodes'
        returns: who is driven about before the reward has been found may never find it
    :raises ValueError: if an option is out of range; the message names it

    Example:
        >>> from sb3_wasserstein.population import Burst
        >>> round(Burst(full=0.1, end=0.3)(0.2), 3)
        0.5
    """

    full: float = 0.125
    end: float = 0.1875
    release: float = 2.3
    gain: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= check_number("full", self.full) < check_number("end", self.end):
            raise ValueError(f"full and end must be 0 <= full < end; got full={self.full!r} and end={self.end!r}")
        check_positive("release", self.release)
        if check_number("gain", self.gain) < 0:
            raise ValueError(f"gain must be at least 0; got {self.gain!r}")

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

    Nobody begins again while the population still learns, nor where less of the training is left than learning has taken. And
    nothing is lost by it: the old weights are kept, and come back where the new ones are worse in the end.

    :param begin: before it, and for as long after a member's own beginning, members are left alone
    :param end: after it nobody begins again, and old weights come back
    :param floor: the share of the best member's gain over the untrained policies that counts as learnt; and that of its old
        gain which a member needs to keep its new weights
    :param collapsed: the distance, in units of the ground-cost scale, below which a pair has collapsed
    :param collapsed_among: the same, among more
    :param patience: how long a member may take to come back
    :param lost: the share of the best member's gain over the untrained policies below which a member is lost by then
    :param together: the size of a population up to which two begin again together
    :param burst: among more; the others stand still, so that it is released further away, and it is soon done
    :param attempt: among more, how long one that began afresh is left alone
    :param temperature: among more, of its soft-min over its distances, in units of the ground-cost scale
    :raises ValueError: if an option is out of range; the message names it

    Example:
        >>> from sb3_wasserstein.population import FreshStarts
        >>> FreshStarts(floor=0.8).begin
        0.225
    """

    begin: float = 0.225
    end: float = 0.85
    floor: float = 0.9
    collapsed: float = 0.46
    collapsed_among: float = 0.8
    patience: float = 0.375
    lost: float = 0.2
    together: int = 3
    burst: Burst = Burst(full=0.0625, end=0.125, release=4.0)
    attempt: float = 0.17
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("begin", "end", "floor", "lost"):
            if not 0 <= check_number(name, getattr(self, name)) <= 1:
                raise ValueError(f"{name} must lie in [0, 1]; got {getattr(self, name)!r}")
        for name in ("collapsed", "collapsed_among", "patience", "attempt", "temperature"):
            check_positive(name, getattr(self, name))
        check_count("together", self.together, 0)
        if not isinstance(self.burst, Burst):
            raise TypeError(f"burst must be a Burst(...); got {self.burst!r}")

    def members(
        self,
        distances: dict[tuple[int, int], float],
        scale: float,
        progress: float,
        ages: dict[int, float],
        returns: dict[int, float],
        untrained: float,
        learnt: float,
    ) -> set[int]:
        """
        :param distances: of the pairs (k, l), both ways
        :param scale: the ground-cost scale
        :param progress: fraction of the training that is over
        :param ages: of each member, fraction of the training since it began
        :param returns: each member's mean return in its last rollout
        :param untrained: mean return before training
        :param learnt: the progress at which the best member had made ``floor`` of its present gain
        :return: the members that are to begin again
        """
        fresh: set[int] = set()
        together = len(ages) <= self.together
        if not max(self.begin, 2 * learnt) <= progress <= min(self.end, 1 - learnt) or not distances:
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

    def is_worth_it(self, new: float | None, old: float, untrained: float) -> bool:
        """
        :param new: mean return of a member that began afresh; None where no episode of it has ended
        :param old: its mean return before
        :param untrained: mean return before training
        :return: whether it keeps its new weights
        """
        return new is not None and new - untrained >= self.floor * (old - untrained)


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
