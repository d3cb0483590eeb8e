"""The optional extra ``fast``: loops compiled by numba, where it is installed; without it the same in numpy."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

#: to mypy what numba compiles has no types
Compiled: TypeAlias = Callable[..., Any]


def compiled_for(array: Any) -> ModuleType | None:
    """
    :param array: what the loops are to work on
    :return: the compiled loops, if they are to be had for float32 and the array is large enough to be worth numba's import
    """
    is_large = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.size >= 2**13
    return _compiled() if is_large else None


def compiled_if_imported(name: str) -> ModuleType | None:
    """:return: compiled loops that numba is not worth importing for: only where others have imported it already"""
    return _compiled(name) if "numba" in sys.modules else None


def import_compiled() -> None:
    """Import numba now, where it is: a training that will need it would else stop in the middle of being timed."""
    _compiled()


@functools.cache
def _compiled(name: str = "transport._kernels") -> ModuleType | None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        # Loops that nobody compiles would take minutes.
        return None
    try:
        return importlib.import_module(f"sb3_wasserstein.{name}")
    except ImportError:
        return None


def jit(fastmath: bool = True, inline: bool = False) -> Callable[[Compiled], Compiled]:
    """
    :param fastmath: whether sums may be taken in any order, which runs in vectors and has other last bits
    :param inline: whether compiled functions that call it contain it. Else a process that compiles them calls the one that
        it compiled before, and one that loads them from numba's cache a copy that was optimised within them, which can add up
        in another order: the first run after an installation would differ from all later ones in last bits
    :return: numba's decorator, for the modules of compiled loops
    """
    from numba import njit

    compiled = functools.partial(
        njit, fastmath=fastmath, nogil=True, error_model="numpy", inline="always" if inline else "never"
    )

    def decorated(function: Compiled) -> Compiled:
        try:
            return compiled(function, cache=True)
        except RuntimeError:
            # No folder that numba could keep its cache in.
            return compiled(function)

    return decorated
