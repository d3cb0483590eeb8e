"""Who is repelled from whom, when and how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

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
    :param burst: the numbers of ``schedule="burst"``
    :param fresh_starts: who begins afresh with ``schedule="burst"``; None for nobody
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
    fresh_starts: FreshStarts | None = field(default_factory=FreshStarts)

    def __post_init__(self) -> None:
        check_number("wasserstein_coef", self.coef)
        check_count("episode_window", self.warm_up, 2)
        check_schedule(self.schedule)
        check_choice("repulsion", self.repulsion, REPULSIONS)
        check_choice("neighbours", self.neighbours, NEIGHBOURS)
        # From a file they come as dictionaries.
        for name, kind in (("burst", Burst), ("fresh_starts", FreshStarts)):
            given = getattr(self, name)
            setattr(self, name, _of_file(kind, given) if isinstance(given, dict) else given)
        if not isinstance(self.burst, Burst):
            raise TypeError(f"burst must be a Burst(...), or None for the defaults; got {self.burst!r}")
        if not isinstance(self.fresh_starts, (FreshStarts, type(None))):
            raise TypeError(f"fresh_starts must be a FreshStarts(...), True or False; got {self.fresh_starts!r}")
        if self.distance_target is not None:
            check_positive("distance_target", self.distance_target)
        floor = self.return_floor
        if floor is not None and not 0 <= check_number("return_floor", floor) <= 1:
            raise ValueError(f"return_floor must be between 0 and 1, or None; got {floor!r}")

    def config(self) -> dict[str, Any]:
        """:return: JSON-plain keyword arguments of the same rules; a schedule that is a function is None"""
        schedule = self.schedule if isinstance(self.schedule, str) else None
        nested = {"burst": asdict(self.burst), "fresh_starts": self.fresh_starts and asdict(self.fresh_starts)}
        return {**self.__dict__, "schedule": schedule, **nested}


def _of_file(kind: type[Any], values: dict[str, Any]) -> Any:
    nested = {"burst": Burst(**values["burst"])} if "burst" in values else {}
    return kind(**{**values, **nested})
