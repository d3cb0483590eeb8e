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
    :param carried: number of steps that each environment's episode had before the rollout; None for 0
    """

    def __init__(self, mask: Mask, places: list[tuple[int, int]] | None = None, carried: list[int] | None = None) -> None:
        self.mask = mask
        self._carried = [0] * mask.shape[1] if carried is None else carried
        if places is None:
            times, envs = np.nonzero(mask)
            places = list(zip(times.tolist(), envs.tolist(), strict=True))
        self.places = places
        #: k, the number of ends
        self.count = len(places)
        #: how many of them are at the last step: what they begin lies in the next rollout
        self.count_last = sum(time == len(mask) - 1 for time, _ in places) if places else 0

    @staticmethod
    def of(n_steps: int, n_envs: int, places: list[tuple[int, int]], carried: list[int]) -> Ends:
        """Episodes ended at these places of ``n_steps`` of ``n_envs``, in their order."""
        if not places:
            return Ends(_nowhere(n_steps, n_envs), places, carried)
        mask = np.zeros((n_steps, n_envs), dtype=bool)
        for place in places:
            mask[place] = True
        return Ends(mask, places, carried)

    @cached_property
    def starts(self) -> Mask:
        """(T, n) where the step before is another episode's, or another rollout's."""
        if not self.count:
            return _begin(*self.mask.shape)
        starts = np.empty(self.mask.shape, dtype=bool)
        starts[0] = True
        starts[1:] = self.mask[:-1]
        return starts

    @cached_property
    def origin(self) -> NDArray[np.intp]:
        """(T + 1, n) which episode runs at each step: i < n is the one that environment i was in, n + j began at end j."""
        n_envs = self.mask.shape[1]
        begun = np.zeros((len(self.mask) + 1, n_envs), dtype=np.intp)
        begun[0] = np.arange(n_envs)
        begun[1:][self.mask] = n_envs + np.arange(self.count)
        # Ends are numbered in time: the largest so far is the last.
        return np.maximum.accumulate(begun, axis=0)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(T, n) number of steps of the episode after each step."""
        counted: NDArray[np.int64] = np.arange(1, len(self.mask) + 1)[:, None] + np.array(self._carried)
        begun = [-length for length in self._carried]
        for time, env in self.places:
            counted[time + 1 :, env] -= time + 1 - begun[env]
            begun[env] = time + 1
        return counted

    def finished(self) -> tuple[list[int], list[int]]:
        """:return: number of steps of each of the k episodes that ended, and of each of the n that run"""
        n_steps = len(self.mask)
        if not self.count:
            return [], [length + n_steps for length in self._carried]
        begun, lengths = [-length for length in self._carried], []
        for time, env in self.places:
            lengths.append(time + 1 - begun[env])
            begun[env] = time + 1
        return lengths, [n_steps - first for first in begun]

    def adds_by_steps(self, size: int) -> bool:
        """Whether so many numbers a step are added up step by step, which has other last bits than a sum along the steps."""
        return len(self.mask) <= FEW or size >= WIDE

    def running_sums(self, values: NDArray[Any], fresh: Any, carried: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """
        :param values: (T, n, ...) what each step adds; the sums may take its place
        :param fresh: (k, ...) what each new episode starts from, or a number
        :param carried: (n, ...) what the running episodes had before
        :return: (T, n, ...) the sums after each step, before an end takes effect; (n, ...) what to carry on
        """
        if self.adds_by_steps(values[0].size):
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
        counts: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """
        Means of what an episode starts from and what its steps add.

        :param values: (T, n, d) what each step adds; the means take its place
        :param fresh: (k, d) what each new episode starts from
        :param carried: (n, d) sums of the running episodes before
        :param counts: (n, 1) of what these are sums
        :return: (T, n, d) the means after each step, before an end takes effect; (n, d) sums and (n, 1) counts to carry on
        """
        means, sums = self.running_sums(values, fresh, carried)
        if self.count:
            every, counts = self.running_sums(np.ones((*self.mask.shape, 1)), 1.0, counts)
        else:
            every = _counted(len(self.mask)) + counts
            counts = every[-1]
        means /= every
        return means, sums, counts

    def _sums_by_steps(self, values: NDArray[Any], fresh: Any, carried: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """:meth:`running_sums` in the place of the values."""
        running, done = carried, 0
        if not self.count:
            for sums in values:
                sums += running
                running = sums
            return values, running.copy()
        starts = [fresh] * self.count if np.isscalar(fresh) else fresh
        for time, sums in enumerate(values):
            sums += running
            running = sums
            if done < self.count and self.places[done][0] == time:
                running = sums.copy()
                while done < self.count and self.places[done][0] == time:
                    running[self.places[done][1]] = starts[done]
                    done += 1
        return values, running.copy()


# What most short rollouts need, in which no episode ends: arrays that never change.
@lru_cache(maxsize=8)
def _nowhere(n_steps: int, n_envs: int) -> Mask:
    return _read_only(np.zeros((n_steps, n_envs), dtype=bool))


@lru_cache(maxsize=8)
def _begin(n_steps: int, n_envs: int) -> Mask:
    starts = np.zeros((n_steps, n_envs), dtype=bool)
    starts[0] = True
    return _read_only(starts)


@lru_cache(maxsize=8)
def _counted(n_steps: int) -> NDArray[np.float64]:
    return _read_only(np.arange(1.0, n_steps + 1.0)[:, None, None])


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
