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
    release: float = 2.2

    def __call__(self, age: float) -> float:
        """
        :param age: fraction of the training since the member began, or began afresh
        :return: in [0, 1]
        """
        return float(np.clip((self.end - age) / (self.end - self.full), 0.0, 1.0))


@dataclass(frozen=True)
class FreshStarts:
    """
    A pair that has collapsed into one behaviour begins again, repelled in a burst of its own: two policies in one basin are
    what fails on most layouts where a burst fails, and nothing short of new weights parts them.

    :param begin: fraction of the training before which pairs are left alone
    :param end: fraction of the training after which nobody begins again: it could not finish
    :param threshold: the distance, in units of the ground-cost scale, below which a pair has collapsed
    """

    begin: float = 0.225
    end: float = 0.8
    threshold: float = 0.53

    def collapsed(
        self, distances: dict[tuple[int, int], float], scale: float, progress: float, ages: dict[int, float]
    ) -> set[int]:
        """
        :param distances: of the pairs (k, l), both ways
        :param scale: the ground-cost scale
        :param progress: fraction of the training that is over
        :param ages: of each member, fraction of the training since it began
        :return: the members that are to begin again
        """
        if not self.begin <= progress <= self.end:
            return set()
        return {
            member
            for pair, distance in distances.items()
            for member in pair
            if distance < self.threshold * scale and min(ages[other] for other in pair) >= self.begin
        }


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
