"""What is asked of a single argument everywhere: a count, a number, a flag, a name, a path. Each error names the argument."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_count(name: str, value: Any, least: int = 1) -> int:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :param least: lower bound
    :return: the count
    :raises ValueError: if ``value`` is not an integer >= ``least`` that fits into 64 bits
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not least <= value < 2**63:
        raise ValueError(f"{name} must be an integer >= {least}, and below 2**63; got {value!r}")
    return int(value)


def check_number(name: str, value: Any) -> float:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :return: the number
    :raises TypeError: if it is no real number
    :raises ValueError: if it is not finite
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; got {value!r}")
    return number


def check_positive(name: str, value: Any) -> float:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :return: the number
    :raises TypeError: if it is no real number
    :raises ValueError: if it is not finite, or not above zero
    """
    number = check_number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be > 0; got {value!r}")
    return number


def check_optional(name: str, check: Callable[[str, Any], Any], value: Any) -> Any:
    """
    :param name: the argument's name, for the error
    :param check: what a value has to pass
    :param value: None, or what ``check`` takes
    :return: None, or what ``check`` returns
    """
    return None if value is None else check(name, value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :param choices: what there is
    :return: the choice
    :raises ValueError: if it is none of them
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}={value!r} is not known; use one of {known}")
    return value


def check_callable(name: str, value: Any, signature: str) -> None:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :param signature: what it is called with, for the error
    :raises TypeError: if it cannot be called
    """
    if not callable(value):
        raise TypeError(f"{name} must be a callable of {signature}; got {value!r}")


def check_flag(name: str, value: Any) -> bool:
    """
    :param name: the argument's name, for the error
    :param value: what came; a text such as "no" would count as true
    :return: the flag
    :raises TypeError: if it is neither True nor False
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def check_options(options: Any) -> None:
    """
    Check every field of a dataclass of options by its type: ``int`` is a count from 0 on, ``float`` is a number >= 0, ``bool``
    is a flag, and ``tuple`` is one or more of them. Fields of other types are left alone.

    :param options: the dataclass
    :raises TypeError: if a field is of another type
    :raises ValueError: if a number is negative or not finite
    """
    for field in dataclasses.fields(options):
        outer, _, inner = str(field.type).removesuffix("]").partition("[")
        value = getattr(options, field.name)
        if outer == "tuple" and not (isinstance(value, tuple) and value):
            raise TypeError(f"{field.name} must be a tuple of numbers, not empty; got {value!r}")
        for entry in value if outer == "tuple" else (value,):
            _check_option(field.name, (inner or outer).partition(",")[0], entry)


def _check_option(name: str, kind: str, value: Any) -> None:
    if kind == "int":
        check_count(name, value, 0)
    elif kind == "bool":
        check_flag(name, value)
    elif kind == "float" and check_number(name, value) < 0:
        raise ValueError(f"{name} must be >= 0; got {value!r}")


def check_array(name: str, value: Any) -> NDArray[np.float64]:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :return: as float64, of any shape
    :raises ValueError: if it is not made of real numbers, all finite
    """
    try:
        if np.iscomplexobj(value):
            raise TypeError("complex numbers")
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be real numbers; got {value!r}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {value!r}")
    return array


def check_seed(value: Any) -> int | None:
    """
    :param value: what came
    :return: the seed
    :raises ValueError: if it is neither None nor an integer in [0, 2³²)
    """
    if value is None:
        return None
    seed = check_count("seed", value, 0)
    if seed >= 2**32:
        raise ValueError(f"seed must be below 2**32, as numpy's global generator has it; got {value!r}")
    return seed


def check_path(name: str, value: Any) -> Path:
    """
    :param name: the argument's name, for the error
    :param value: what came
    :return: the path
    :raises TypeError: if it is no path
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path (a str or os.PathLike); got {value!r}")
    return Path(value)


def constructor_arguments(made: Any) -> dict[str, Any]:
    """
    :param made: an object that keeps its constructor's arguments as attributes of their names
    :return: these arguments, in the constructor's order
    :raises TypeError: if one is not kept: it would be lost where the object is saved
    """
    found = {}
    for name, parameter in inspect.signature(type(made).__init__).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(made, name):
            raise TypeError(
                f"{type(made).__name__} must keep its argument {name!r} as an attribute of that name: saving would lose it"
            )
        found[name] = getattr(made, name)
    return found
