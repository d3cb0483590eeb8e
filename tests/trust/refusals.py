"""What a refusal is: one clear exception that names the argument, and everything as it was before."""

import hashlib
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import cloudpickle
import pytest

#: seconds after which a call counts as hanging
PATIENCE = 30


def frozen(made):
    """An object's whole state as bytes."""
    return b"" if made is None else cloudpickle.dumps(made)


def disk():
    """Every file below the working directory, and what is in it."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().rglob("*") if path.is_file()}


@contextmanager
def no_hang():
    def late(*_) -> NoReturn:
        raise AssertionError(f"still at it after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_refusal(act, words, error=ValueError, made=None) -> None:
    """
    :param act: called with ``made``, or with nothing where there is none
    :param words: that the message must hold, a pattern
    :param error: the class, or several
    :param made: what must be as it was afterwards
    """
    state, files = frozen(made), disk()
    with no_hang(), pytest.raises(error, match=words) as caught:
        act() if made is None else act(made)
    assert caught.value.args, "an exception without a message"
    assert frozen(made) == state, "the object has changed"
    assert disk() == files, "the disk has changed"
