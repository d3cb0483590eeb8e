"""Running sums that start afresh at an episode's end, over a whole rollout at once."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.trajectory import Mask

#: up to so many ends, or steps, are faster one by one
FEW = 8
#: numbers a step from which adding step by step is faster than a sum along the first axis, which jumps from row to row
WIDE = 256


class Ends:
    """
    Where episodes end in a rollout of T steps of n environments.

    :param mask: (T, n) whether an episode ended with the step; k ends in all, counted row by row
    :param places: the k ends as (step, environment), where they are known already
    """

    def __init__(self, mask: Mask, places: list[tuple[int, int]] | None = None) -> None:
        self.mask = mask
        if places is None:
            times, envs = np.nonzero(mask)
            places = list(zip(times.tolist(), envs.tolist(), strict=True))
        self.places = places
        #: k, the number of ends
        self.count = len(places)
        #: how many of them are at the last step: what they begin lies in the next rollout
        self.count_last = sum(time == len(mask) - 1 for time, _ in places)

    @staticmethod
    @lru_cache(maxsize=8)
    def none(n_steps: int, n_envs: int) -> Ends:
        """No episode ended in ``n_steps`` of ``n_envs``: what most short rollouts are, all with the same arrays."""
        ends = Ends(np.zeros((n_steps, n_envs), dtype=bool), [])
        ends.mask.flags.writeable = ends.starts.flags.writeable = False
        return ends

    @cached_property
    def starts(self) -> Mask:
        """(T, n) where the step before is another episode's, or another rollout's."""
        starts = np.empty(self.mask.shape, dtype=bool)
        starts[0] = True
        starts[1:] = self.mask[:-1]
        return starts

    @cached_property
    def _counted(self) -> NDArray[np.int64]:
        """(T, 1) the number of steps after each."""
        return np.arange(1, len(self.mask) + 1)[:, None]

    @cached_property
    def origin(self) -> NDArray[np.intp]:
        """(T + 1, n) which episode runs at each step: i < n is the one that environment i was in, n + j began at end j."""
        n_envs = self.mask.shape[1]
        begun = np.zeros((len(self.mask) + 1, n_envs), dtype=np.intp)
        begun[0] = np.arange(n_envs)
        begun[1:][self.mask] = n_envs + np.arange(self.count)
        # Ends are numbered in time: the largest so far is the last.
        return np.maximum.accumulate(begun, axis=0)

    def lengths(self, carried: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """
        :param carried: (n,) number of steps that the running episodes had before
        :return: (T, n) number of steps of the episode after each step; (n,) what to carry on
        """
        if self.count > FEW:
            return self.running_sums(np.ones(self.mask.shape, dtype=np.int64), 0, carried)
        counted = self._counted + carried
        for time, env in self.places:
            counted[time + 1 :, env] -= counted[time, env]
        last = counted[-1]
        if self.count_last:
            last = last.copy()
            last[self.mask[-1]] = 0
        return counted, last

    def running_sums(self, values: NDArray[Any], fresh: Any, carried: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """
        :param values: (T, n, ...) what each step adds; the sums may take its place
        :param fresh: (k, ...) what each new episode starts from, or a number
        :param carried: (n, ...) what the running episodes had before
        :return: (T, n, ...) the sums after each step, before an end takes effect; (n, ...) what to carry on
        """
        if len(values) <= FEW or values[0].size >= WIDE:
            return self._sums_by_steps(values, fresh, carried)
        sums = np.cumsum(values, axis=0)
        if self.count == 0:
            sums += carried
            return sums, sums[-1].copy()
        if self.count > FEW:
            offsets = np.concatenate([carried, fresh - sums[self.mask]])
            last = sums[-1] + offsets[self.origin[-1]]
            sums += offsets[self.origin[:-1]]
            return sums, last
        sums += carried
        last = sums[-1].copy()
        for j, (time, env) in enumerate(self.places):
            change = (fresh if np.isscalar(fresh) else fresh[j]) - sums[time, env]
            sums[time + 1 :, env] += change
            last[env] += change
        return sums, last

    def running_means(
        self,
        values: NDArray[np.float64],
        fresh: NDArray[np.float64],
        carried: NDArray[np.float64],
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """
        Means of what an episode starts from and what its steps add.

        :param values: (T, n, d) what each step adds; the means take its place
        :param fresh: (k, d) what each new episode starts from
        :param carried: (n, d) sums of the running episodes before
        :param lengths: (T, n) number of steps of the episode after this one
        :return: (T, n, d) the means after each step, before an end takes effect; (n, d) sums and (n, 1) counts to carry on
        """
        means, sums = self.running_sums(values, fresh, carried)
        every = lengths[:, :, None].astype(np.float64)
        every += 1.0
        means /= every
        counts = every[-1]
        if self.count_last:
            counts[self.mask[-1]] = 1.0
        return means, sums, counts

    def _sums_by_steps(self, values: NDArray[Any], fresh: Any, carried: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """:meth:`running_sums` in the place of the values."""
        starts = [fresh] * self.count if np.isscalar(fresh) else fresh
        running, done = carried, 0
        for time, sums in enumerate(values):
            sums += running
            running = sums
            if done < self.count and self.places[done][0] == time:
                running = sums.copy()
                while done < self.count and self.places[done][0] == time:
                    running[self.places[done][1]] = starts[done]
                    done += 1
        return values, running.copy()
