"""λ by what it is for: a Lagrange multiplier that holds a distance, or attracts to a teacher until the policy is as good."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from sb3_wasserstein._validation import check_number, check_positive


@dataclass(frozen=True)
class MultiplierOptions:
    """
    How λ follows its constraint. A violation of 1 is one of the size of the constraint itself, and larger ones count as 1.

    :param rise: share of the training in which λ grows by the factor e at a violation of 1
    :param fall: share of the training in which λ shrinks by the factor e at a violation of −1
    :param proportional: what a violation of 1 adds to log λ at once: an integral alone would swing about the constraint
    :param lowest: what is subtracted from λ, so that λ is 0 at its lower bound; in units of ``wasserstein_coef``
    :param highest: upper bound of λ, before the subtraction
    :param tolerance: for ``target_return``: the part of the gain still to be made at which λ stays as it is
    :raises ValueError: if an option is out of range, or the bounds are not in order; the message names it

    Example:
        >>> from sb3_wasserstein.regularised import MultiplierOptions
        >>> MultiplierOptions(highest=3.0).highest
        3.0
    """

    rise: float = 0.04
    fall: float = 0.1
    proportional: float = 3.0
    lowest: float = 0.1
    highest: float = 10.0
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            (check_number if field.name == "proportional" else check_positive)(field.name, getattr(self, field.name))
        if self.proportional < 0:
            raise ValueError(f"proportional must be ≥ 0; got {self.proportional!r}")
        if self.lowest >= self.highest:
            raise ValueError(f"lowest={self.lowest!r} must be below highest={self.highest!r}")


@dataclass
class Multiplier:
    """
    Dual ascent on log λ with a proportional term, bounded on both sides, so that nothing winds up at a bound.

    :param log_value: log λ, before ``lowest`` is subtracted
    :param violation: the last one, in [−1, 1]
    :param progress: share of the training that was over at the last step, None before the first
    :param first_return: the untrained policy's mean return, for ``target_return``; None before it is known
    :param is_checked: whether the constraint has been compared with the noise and with the untrained policy

    Example:
        >>> from sb3_wasserstein.regularised.multiplier import Multiplier, MultiplierOptions
        >>> options = MultiplierOptions()
        >>> multiplier = Multiplier.of(1.0, options)
        >>> for progress in (0.0, 0.04, 0.08):
        ...     multiplier.step(0.1, progress, options)
        >>> round(multiplier.log_value, 2), round(multiplier.value(options), 2)
        (0.3, 1.71)
    """

    log_value: float
    violation: float = 0.0
    progress: float | None = None
    first_return: float | None = None
    is_checked: bool = False

    @classmethod
    def of(cls, initial: float, options: MultiplierOptions) -> Multiplier:
        """
        :param initial: the first λ
        :param options: its bounds
        :return: a multiplier of that value
        """
        return cls(min(math.log(initial + options.lowest), math.log(options.highest)))

    def step(self, violation: float, progress: float, options: MultiplierOptions) -> None:
        """
        :param violation: of the constraint: positive where λ is to grow
        :param progress: share of the training that is over
        :param options: how fast λ follows
        """
        # A training that begins again has made no progress since the last one.
        share = 0.0 if self.progress is None else max(0.0, progress - self.progress)
        self.progress, self.violation = progress, max(-1.0, min(1.0, violation))
        moved = self.log_value + self.violation * share / (options.rise if self.violation > 0 else options.fall)
        self.log_value = max(math.log(options.lowest), min(math.log(options.highest), moved))

    def value(self, options: MultiplierOptions) -> float:
        """
        :param options: the bounds
        :return: λ ≥ 0
        """
        log_value = min(self.log_value + options.proportional * self.violation, math.log(options.highest))
        # expm1, so that λ is 0 at the lower bound and not a rounding error.
        return max(0.0, options.lowest * math.expm1(log_value - math.log(options.lowest)))

    def bound_hit(self, options: MultiplierOptions) -> int:
        """
        :param options: the bounds
        :return: −1 where λ is 0, 1 where λ is at its upper bound, else 0
        """
        value = self.value(options)
        return -1 if value == 0.0 else int(value >= options.highest - options.lowest)


def check_automatic(coef: Any) -> float | None:
    """
    :param coef: ``wasserstein_coef``
    :return: the first λ of "auto" and "auto_0.3", None for what is no such text
    :raises TypeError: if it is another text
    :raises ValueError: if what follows "auto_" is no number > 0
    """
    if not isinstance(coef, str):
        return None
    name, _, initial = coef.partition("_")
    wanted = f'wasserstein_coef must be a number, a schedule, "auto", or "auto_" and the first λ > 0; got {coef!r}'
    if name != "auto":
        raise TypeError(wanted)
    try:
        return check_positive("wasserstein_coef", float(initial) if initial else 1.0)
    except ValueError as error:
        raise ValueError(wanted) from error


def check_multiplier_options(options: Any) -> MultiplierOptions | None:
    """
    :param options: what came
    :return: the options, or None for the defaults
    :raises TypeError: if it is neither
    """
    if not isinstance(options, (MultiplierOptions, type(None))):
        raise TypeError(f"multiplier_options must be MultiplierOptions(...) or None; got {options!r}")
    return options


def check_constraint(coef: Any, target_distance: float | None, target_return: float | None, repel: bool) -> None:
    """
    :param coef: ``wasserstein_coef``
    :param target_distance: S(μ, ν) that is to be held
    :param target_return: the return up to which the policy is attracted
    :param repel: whether the distance is to be at least, rather than at most, that
    :raises ValueError: if "auto" does not come with exactly one of the two, or if one comes without "auto"
    """
    given = {"target_distance": target_distance, "target_return": target_return}
    names = [name for name, value in given.items() if value is not None]
    if check_automatic(coef) is None:
        if names or repel:
            raise ValueError(f'{(names or ["repel"])[0]} goes with wasserstein_coef="auto"; got wasserstein_coef={coef!r}')
    elif len(names) != 1:
        raise ValueError(
            f"wasserstein_coef={coef!r} needs exactly one of target_distance= (hold a distance) and target_return= (attract "
            f"until the policy is that good); got {' and '.join(names) or 'neither'}"
        )
    elif repel and target_distance is None:
        raise ValueError("repel=True goes with target_distance=, the least distance that is to be kept")
