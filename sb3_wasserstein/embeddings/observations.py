"""Batches of observations: arrays, or for a ``Dict`` space dicts of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Observations = NDArray[Any] | dict[str, NDArray[Any]]


def each(function: Callable[..., Any], *observations: Any) -> Any:
    """
    Apply a function of arrays, key by key where the observations are dicts.

    :param function: gets one array of each of ``observations``
    :param observations: arrays, or dicts with the same keys
    :return: what the function returns, in a dict where the observations are dicts
    """
    if isinstance(observations[0], dict):
        return {key: function(*(part[key] for part in observations)) for key in observations[0]}
    return function(*observations)


def take(observations: Observations, index: Any) -> Any:
    """``observations[index]``, key by key for a dict."""
    return each(lambda part: part[index], observations)


def put(observations: Observations, index: Any, value: Any) -> None:
    """``observations[index] = value``, key by key for a dict."""
    each(lambda part, new: part.__setitem__(index, new), observations, value)


def stacked(observations: list[Any]) -> Observations:
    """T observations (n, ...) as one (T, n, ...), a copy."""
    return each(lambda *parts: np.array(parts), *observations)  # type: ignore[no-any-return]


def batch_of_one(observation: Any) -> Observations:
    """Add a leading axis of length one to a single observation."""
    return each(lambda part: np.asarray(part)[None], observation)  # type: ignore[no-any-return]


def merge_axes(observations: Observations) -> Observations:
    """(T, n, ...) observations to (T · n, ...)."""
    return each(lambda part: part.reshape((-1, *part.shape[2:])), observations)  # type: ignore[no-any-return]
