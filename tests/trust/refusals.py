"""What a refusal is: one clear exception that names the argument and what came, and everything as it was before."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

#: the classes of a refusal; an OSError, such as FileNotFoundError, is for paths
REFUSALS = (ValueError, TypeError, OSError)
#: seconds after which a call counts as hanging
PATIENCE = 30


class Anything:
    """An object of no use to any argument, with a stable name."""

    def __repr__(self) -> str:
        return "<an object>"


@dataclass(frozen=True)
class Made:
    """A value that is made when its test runs, in the test's own folder."""

    make: Callable[[], Any]
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True)
class Bad:
    """
    One bad value of one argument.

    :param value: what is passed, or a :class:`Made`
    :param match: a pattern that the message must have; None: the argument's name, and what came
    :param error: the class, or several
    :param others: what is passed for other arguments instead of the valid call's
    """

    value: Any
    match: str | None = None
    error: type[Exception] | tuple[type[Exception], ...] = REFUSALS
    others: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        # Without addresses, which differ between the processes that run the tests.
        return re.sub(r"at0x[0-9a-f]+|0x[0-9a-f]{6,}", "", "".join(repr(self.value).split()))[:24]

    def check(self, argument: str, error: Exception) -> None:
        """:raises AssertionError: if the message lacks the pattern, or the argument's name, or what came"""
        message = str(error)
        if self.match is not None:
            assert re.search(self.match, message, re.DOTALL), f"{message!r} lacks {self.match!r}"
            return
        assert re.search(rf"\b{argument}\b", message), f"{message!r} does not name {argument!r}"
        assert any(word in message for word in _shown(self.value)), f"{message!r} shows nothing of {self.value!r}"


def _shown(value: Any) -> list[str]:
    """Words of which a message must have one, so that a reader sees what came."""
    words = [
        repr(value)[:40],
        str(value)[:40],
        type(value).__name__,
        "shape",
        "NaN",
        "finite",
        "large",
        "squared",
        "length",
        "dimension",
    ]
    if isinstance(value, (np.ndarray, list, tuple, dict)):
        # A container is not printed whole: one of its entries, or what is wrong with them.
        words += [
            "empty",
            "negative",
            "zero",
            "complex",
            "entries",
            *(repr(entry) for entry in np.ravel(np.array(value, dtype=object))),
        ]
    return words


def bad(*values: Any, match: str | None = None, error: Any = REFUSALS, **others: Any) -> tuple[Bad, ...]:
    """Bad values of one argument that are refused alike."""
    return tuple(Bad(value, match, error, others) for value in values)


def but(kind: Iterable[Bad], *good: Any) -> tuple[Bad, ...]:
    """A kind without the values that an argument takes after all."""
    return tuple(item for item in kind if not any(item.value is value for value in good))


def disk() -> dict[Path, str]:
    """Every file below the working directory, and what is in it."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().rglob("*") if path.is_file()}


@contextmanager
def no_hang() -> Iterator[None]:
    """Fails what has not ended after :data:`PATIENCE`."""

    def late(*_: object) -> None:
        raise AssertionError(f"the call has not returned after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_refusal(act: Callable[[], Any], argument: str, bad_value: Bad, state: Callable[[], Any] = lambda: None) -> None:
    """
    :param act: what is refused
    :param argument: the name of the argument that is wrong
    :param bad_value: how it is refused
    :param state: what must be as it was afterwards
    """
    before, files = cloudpickle.dumps(state()), disk()
    with no_hang(), pytest.raises(bad_value.error) as caught:
        act()
    bad_value.check(argument, caught.value)
    assert cloudpickle.dumps(state()) == before, "the object has changed"
    assert disk() == files, "the disk has changed"
