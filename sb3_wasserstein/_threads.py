"""numpy's and scipy's BLAS beside torch: their threads would wait for more work on the cores that torch trains on."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

#: entries of a vector above which OpenBLAS shares its inner product among threads
LONG = 8192


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """
    Where a training stops for our work: OpenBLAS's threads spin on after a product, and take the cores from torch's, which
    made PPO more than twice as slow. torch's own threads are left as they are.
    """
    # By hand: threadpoolctl's own limits take 9 µs, as long as a short rollout's bonus.
    counts = [(library, library.num_threads) for library in _libraries()]
    limited = [(library, count) for library, count in counts if count > 1]
    for library, _ in limited:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in limited:
            library.set_num_threads(count)


@functools.cache
def _libraries() -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def sum_of_squares(values: NDArray[np.float64]) -> float:
    """
    One pass, which does not warn, and no other threads.

    :param values: of any shape
    :return: NaN or infinity unless all are finite
    """
    # Neither warns of an overflow, as dot does.
    if values.size <= LONG:
        return float(np.vdot(values, values))
    flat = values.reshape(-1)
    return float(np.einsum("i,i", flat, flat))
