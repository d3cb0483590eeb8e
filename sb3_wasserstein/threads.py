"""numpy's and scipy's BLAS beside torch: their threads would wait for more work on the cores that torch trains on."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

#: numbers in a cloud below which no product with another is shared among threads
SMALL = 512
#: entries of a vector above which OpenBLAS shares its inner product among threads
LONG = 8192


def one_blas_thread(size: int | None = None) -> AbstractContextManager[Any]:
    """
    Where a training stops for our work: OpenBLAS's threads spin on after a product, and take the cores from torch's, which
    made PPO more than twice as slow. torch's own threads are left as they are.

    :param size: of the cloud that is worked on; the limit itself takes 9 µs, as long as a small cloud's work
    """
    return nullcontext() if size is not None and size < SMALL else _blas().limit(limits=1)


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def sum_of_squares(values: NDArray[np.float64]) -> float:
    """
    One pass, which does not warn, and no other threads.

    :param values: of any shape
    :return: NaN or infinity unless all are finite
    """
    flat = values.reshape(-1)
    return float(flat.dot(flat)) if flat.size <= LONG else float(np.einsum("i,i", flat, flat))
