"""Running sums that start afresh at an episode's end, over a whole rollout at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import Mask


@dataclass(frozen=True)
class Ends:
    """
    Where episodes end in a rollout of T steps of n environments.

    :param mask: (T, n) whether an episode ended with the step; k ends in all, counted row by row
    """

    mask: Mask

    @cached_property
    def count(self) -> int:
        """k, the number of ends."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def origin(self) -> NDArray[np.intp]:
        """(T + 1, n) which episode runs at each step: i < n is the one that environment i was in, n + j began at end j."""
        n_envs = self.mask.shape[1]
        begun = np.zeros((len(self.mask) + 1, n_envs), dtype=np.intp)
        begun[0] = np.arange(n_envs)
        begun[1:][self.mask] = n_envs + np.arange(self.count)
        # Ends are numbered in time: the largest so far is the last.
        return np.maximum.accumulate(begun, axis=0)

    def running_sums(
        self, values: NDArray[Any], fresh: NDArray[Any], carried: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """
        :param values: (T, n, ...) what each step adds
        :param fresh: (k, ...) what each new episode starts from
        :param carried: (n, ...) what the running episodes had before
        :return: (T, n, ...) the sums after each step, before an end takes effect; (n, ...) what to carry on
        """
        sums = np.cumsum(values, axis=0)
        if self.count == 0:
            sums += carried
            return sums, sums[-1].copy()
        offsets = np.concatenate([carried, fresh - sums[self.mask]])
        last = sums[-1] + offsets[self.origin[-1]]
        sums += offsets[self.origin[:-1]]
        return sums, last
