"""Several steps of several environments at once: what an embedding gets, and what it makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations


class Stretch(NamedTuple):
    """
    Consecutive steps of one episode, from ``begin`` up to ``stop``. An episode that begins after the last step has none yet.

    :param env: index of the environment
    :param begin: first step
    :param stop: the step after the last one
    :param begun: which of the new episodes it is; None for the one that ran before the first step
    """

    env: int
    begin: int
    stop: int
    begun: int | None


@dataclass(frozen=True)
class Ends:
    """
    Where episodes end in T steps of n environments.

    :param mask: (T, n) whether an episode ends with the step; k ends in all, counted row by row
    :param carried: (n,) number of steps that each environment's episode had before; empty for none
    """

    mask: Mask
    carried: tuple[int, ...] = ()

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """The k ends as (step, environment)."""
        times, envs = np.nonzero(self.mask)
        return list(zip(times.tolist(), envs.tolist(), strict=True))

    @property
    def count(self) -> int:
        """k, the number of ends."""
        return len(self.places)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """The k episodes that end, in the order of their ends, and then the n that go on."""
        n_steps, n_envs = self.mask.shape
        found, begin, begun = [], [0] * n_envs, [None] * n_envs
        for j, (time, env) in enumerate(self.places):
            found.append(Stretch(env, begin[env], time + 1, begun[env]))
            begin[env], begun[env] = time + 1, j  # type: ignore[call-overload]
        return found + [Stretch(env, begin[env], n_steps, begun[env]) for env in range(n_envs)]

    def length(self, stretch: Stretch) -> int:
        """:return: number of steps of the stretch's episode after the stretch, earlier ones included"""
        before = self.carried[stretch.env] if self.carried and stretch.begun is None else 0
        return before + stretch.stop - stretch.begin

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(T, n) number of steps of the episode after each step."""
        lengths = np.zeros(self.mask.shape, dtype=np.int64)
        lengths += np.arange(1, len(lengths) + 1)[:, None]
        lengths += np.array(self.carried or (0,))
        for time, env in self.places:
            lengths[time + 1 :, env] -= lengths[time, env]
        return lengths


@dataclass(frozen=True)
class Steps:
    """
    T steps of n environments.

    :param observations: (T, n, ...) after each step, the terminal ones where an episode ended
    :param first: (k, ...) the first observation of each new episode, in the order of the ends
    :param ends: where episodes end
    :param actions: (T, n, ...) or None
    :param rewards: (T, n) or None
    """

    observations: Observations
    first: Observations
    ends: Ends
    actions: NDArray[Any] | None = None
    rewards: NDArray[Any] | None = None


@dataclass(frozen=True)
class Scan:
    """
    What T steps are in the embedding space.

    :param after: (T, n, dim) the episode so far after each step, None for an embedding without prefixes
    :param first: (k, dim) each new episode at its begin; (0, dim) without prefixes
    :param finals: (k, dim) the episodes that ended, in the order of their ends
    """

    after: Floats | None
    first: Floats
    finals: Floats
