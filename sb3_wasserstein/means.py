"""Prefixes that are running means of few points: what both an embedding and a dual know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RunningMeans:
    """
    T · n points, row by row: after each step of n environments the mean of what an episode began with and its steps added.

    A dual's products with them are sums of products with the few points they are made of.

    :param points: (c, dim) what a step may add
    :param index: (T, n) which of them each step added
    :param fresh: (k,) which one each new episode began with, in the order of the ends
    :param ends: (T, n) where an episode ended
    :param sums: (n, dim) of the running episodes before the first step
    :param counts: (n,) of how many points
    """

    points: NDArray[np.float64]
    index: NDArray[np.intp]
    fresh: NDArray[np.intp]
    ends: NDArray[np.bool_]
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
