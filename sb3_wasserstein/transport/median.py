"""The median of a large matrix, without sorting it."""

from __future__ import annotations

import math

import numpy as np
import torch

from sb3_wasserstein._numba import compiled_for
from sb3_wasserstein.cloud import Array

ALL_PAIRS = 2**20
STRIDED_PAIRS = 2**17
BRACKET_ABOVE = 2**14
BRACKET_SAMPLE = 2**11
COUNTS = 3


def median_of(costs: Array) -> float:
    """The median of a matrix: exact up to 2²⁰ entries, above that of a strided subset of about 2¹⁷."""
    low, high = middle_of(costs)
    return 0.5 * (low + high)


def middle_of(costs: Array) -> tuple[float, float]:
    """The two values that the median is the mean of: one and the same where the count is odd."""
    flat = costs.reshape(-1)
    if flat.shape[0] > ALL_PAIRS:
        # An odd stride does not fall in step with an even row length.
        flat = 1.0 * flat[:: (flat.shape[0] // STRIDED_PAIRS) | 1]
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
    # One rank at a time: numpy has vectors for one, none for two.
    flat = np.partition(flat, high)
    return float(flat[:high].max() if low < high else flat[high]), float(flat[high])


def _bracket(flat: Array, low: int, high: int) -> tuple[Array, int] | None:
    """The few entries around two neighbouring ranks, and how many lie below them (Floyd and Rivest 1975): ten times faster."""
    sample = np.sort(flat[:: max(len(flat) // BRACKET_SAMPLE, 16)])
    share = len(sample) / len(flat)
    position, shift = low * share, 0.0
    # A few counts bring the guess so close that few entries have to be taken out, which is what costs.
    for _ in range(COUNTS):
        guess = sample[min(max(int(position), 0), len(sample) - 1)]
        shift = (low - _count_below(flat, guess)) * share
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


def _count_below(flat: Array, value: float) -> int:
    compiled = compiled_for(flat)
    return int(compiled.count_below(flat, value) if compiled else np.count_nonzero(flat < value))
