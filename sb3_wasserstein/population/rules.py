"""Who is repelled from whom, when and how much."""

from __future__ import annotations

from dataclasses import dataclass, field

from sb3_wasserstein._validation import check_choice, check_count, check_number, check_positive
from sb3_wasserstein.population.schedule import Burst, FreshStarts, RepulsionSchedule, check_schedule

REPULSIONS = ("mutual", "ordered", "sequential")
NEIGHBOURS = ("nearest", "mean")


@dataclass
class Rules:
    """
    Who is repelled from whom, when and how much.

    :param coef: wasserstein_coef, in units of (spread of returns) / (ground-cost scale)
    :param schedule: "burst", "constant", or a function of progress_remaining
    :param repulsion: "mutual": each from all others; "ordered": each from those before it; "sequential": one after the other
    :param neighbours: "nearest": from the nearest other, by soft-min; "mean": from all alike
    :param distance_target: repel only below this multiple of the way that the member has come from its untrained policy
    :param return_floor: repel a member only while the mean return of its last rollout has come at least this share of the way
        from the untrained policies to the best mean return of any member so far
    :param warm_up: number of episodes, of all members together, that the units are measured on
    :raises ValueError: if an argument is unknown or out of range, with its name
    """

    coef: float = 1.0
    schedule: RepulsionSchedule = "burst"
    repulsion: str = "mutual"
    neighbours: str = "nearest"
    distance_target: float | None = None
    return_floor: float | None = None
    warm_up: int = 256
    burst: Burst = field(default_factory=Burst)
    fresh_starts: FreshStarts = field(default_factory=FreshStarts)

    def __post_init__(self) -> None:
        check_number("wasserstein_coef", self.coef)
        check_count("episode_window", self.warm_up, 2)
        check_schedule(self.schedule)
        check_choice("repulsion", self.repulsion, REPULSIONS)
        check_choice("neighbours", self.neighbours, NEIGHBOURS)
        if self.distance_target is not None:
            check_positive("distance_target", self.distance_target)
        floor = self.return_floor
        if floor is not None and not 0 <= check_number("return_floor", floor) <= 1:
            raise ValueError(f"return_floor must be between 0 and 1, or None; got {floor!r}")
