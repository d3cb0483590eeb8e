"""What all pairs of two clouds take: fast Euclidean distances, and the median of a large matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from sb3_wasserstein.duals.clouds import Array

ALL_PAIRS = 2**20
STRIDED_PAIRS = 2**17
BRACKET_ABOVE = 2**13
BRACKET_SAMPLE = 2**11

# |x − y|² by a matrix product loses what lies below rounding · |x|²: pairs this close are computed again from the differences.
CLOSE = 1e-3
CLOSE_CHUNK = 2**18
#: pairs that a block of rows may have: a matrix product wants many rows, the cache few
BLOCK = 2**18


def namespace(array: Array) -> Any:
    """numpy for an array, torch for a tensor."""
    return np if isinstance(array, np.ndarray) else torch


def median_of(costs: Array) -> float:
    """The median of a matrix: exact up to 2²⁰ entries, above that of a strided subset of about 2¹⁷."""
    flat = costs.reshape(-1)
    if flat.shape[0] > ALL_PAIRS:
        # An odd stride does not fall in step with an even row length.
        flat = flat[:: (flat.shape[0] // STRIDED_PAIRS) | 1]
    if isinstance(flat, torch.Tensor):
        flat = flat.cpu().numpy()
    # Two ranks where the count is even, narrowed down together.
    low, high = (len(flat) - 1) // 2, len(flat) // 2
    while len(flat) > BRACKET_ABOVE:
        bracketed = _bracket(flat, low, high)
        if bracketed is None:
            break
        flat, below = bracketed
        low, high = low - below, high - below
    flat = np.partition(flat, (low, high))
    return 0.5 * (float(flat[low]) + float(flat[high]))


def _bracket(flat: Array, low: int, high: int) -> tuple[Array, int] | None:
    """The few entries around two neighbouring ranks, and how many lie below them (Floyd and Rivest 1975): ten times faster."""
    sample = np.sort(flat[:: max(len(flat) // BRACKET_SAMPLE, 16)])
    share = len(sample) / len(flat)
    position, shift = low * share, 0.0
    # Two counts bring the guess so close that few entries have to be taken out, which is what costs.
    for _ in range(2):
        guess = sample[min(max(int(position), 0), len(sample) - 1)]
        shift = (low - int(np.count_nonzero(flat < guess))) * share
        position += shift
    margin = 4 * math.isqrt(int(abs(shift)) + 1) + 2
    least = sample[min(max(int(position) - margin, 0), len(sample) - 1)]
    most = sample[min(max(int(position) + margin, 0), len(sample) - 1)]
    inside = flat >= least
    below = len(flat) - int(np.count_nonzero(inside))
    inside &= flat <= most
    middle = flat[np.flatnonzero(inside)]
    # Ties can put all entries inside: then there is nothing to gain.
    if below > low or high >= below + len(middle) or 2 * len(middle) > len(flat):
        return None
    return middle, below


def euclidean(x: Array, y: Array, squared: bool) -> Array:
    """|x − y| as one matrix product of augmented, centred clouds (x, |x|², 1) · (−2y, 1, |y|²), close pairs by differences."""
    xp = namespace(x)
    x2, y2 = (x * x).sum(1), (y * y).sum(1)
    left = xp.ones((x.shape[0], x.shape[1] + 2), dtype=x.dtype, **device_of(x))
    right = xp.ones((y.shape[0], y.shape[1] + 2), dtype=y.dtype, **device_of(y))
    left[:, :-2], left[:, -2] = x, x2
    right[:, :-2], right[:, -1] = -2 * y, y2
    close = CLOSE * float(x2.max() + y2.max())
    distances = xp.empty((len(x), len(y)), dtype=x.dtype, **device_of(x))
    for start in range(0, len(x), max(1, BLOCK // len(y))):
        rows = slice(start, start + max(1, BLOCK // len(y)))
        block = distances[rows]
        xp.matmul(left[rows], right.T, out=block)
        if float(block.min()) <= close:
            _mend(block, x[rows], y, close)
        if not squared:
            xp.sqrt(block, out=block)
    return distances


def _mend(squares: Array, x: Array, y: Array, close: float) -> None:
    """Compute close pairs from their differences."""
    xp = namespace(x)
    flat = squares.reshape(-1)
    found = xp.where(flat <= close)[0]
    chunk = max(1, CLOSE_CHUNK // x.shape[1])
    for start in range(0, len(found), chunk):
        part = found[start : start + chunk]
        difference = x[part // len(y)] - y[part % len(y)]
        flat[part] = (difference * difference).sum(1)


def device_of(array: Array) -> dict[str, Any]:
    """The keyword that makes a namespace allocate beside ``array``."""
    return {"device": array.device} if isinstance(array, torch.Tensor) else {}
