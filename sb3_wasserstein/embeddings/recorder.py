"""The recorder: what the episodes of a vectorised environment look like in the embedding space, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import Embedding, Mask
from sb3_wasserstein.embeddings.checked import CheckedEmbedding, EmbeddingError
from sb3_wasserstein.embeddings.states import StateOccupancy
from sb3_wasserstein.embeddings.trajectory import Observations

Infos = Sequence[Mapping[str, Any]]

#: the key under which the wrapper writes the embedding
INFO_KEY = "wasserstein"
#: states kept of each episode for an occupancy measure
STATES_PER_EPISODE = 64
GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class Episode:
    """
    A finished episode.

    :param env: index of its environment
    :param step: the rollout's step at which it ended
    :param points: (m, dim) its embedding (m = 1), or a sample of its states, each of equal weight
    :param episode_return: sum of its rewards
    :param length: number of its steps
    """

    env: int
    step: int
    points: NDArray[np.float64]
    episode_return: float
    length: int


@dataclass(frozen=True)
class Rollout:
    """
    The embeddings of T steps of n environments; φ of a prefix is the embedding of an episode so far.

    :param after: (T, n, dim) φ after each step (a state's features for an occupancy), None without prefixes
    :param starts: (T, n) where φ before the step is not the one after the step before: at the rollout's begin, at
        an episode's begin
    :param start_values: (k, dim) φ before the step, at the k places of ``starts``, row by row
    :param ends: (T, n) where an episode (or a segment) ended
    :param terminated: (T, n) where it ended by itself
    :param lengths: (T, n) number of steps of the episode after this one
    :param episodes: the finished ones, in the order of their ends
    """

    after: NDArray[np.float64] | None
    starts: Mask
    start_values: NDArray[np.float64]
    ends: Mask
    terminated: Mask
    lengths: NDArray[np.int64]
    episodes: list[Episode]


class Source(Protocol):
    """Where the embeddings come from: a bound embedding, or the infos of wrapped environments."""

    has_prefixes: bool

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> None: ...
    def step(self, observations: Observations, actions: Any, rewards: Any, infos: Infos) -> None: ...
    def values(self) -> NDArray[np.float64]: ...
    def value_of(self, env: int) -> NDArray[np.float64]: ...


class BoundSource:
    """Embeddings built here, from what the vectorised environment returns."""

    def __init__(self, embedding: CheckedEmbedding) -> None:
        self._embedding = embedding
        self.has_prefixes = embedding.has_prefixes
        self.values = embedding.values
        self.value_of = embedding.value_of

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> None:
        self._embedding.start(observations, mask)

    def step(self, observations: Observations, actions: Any, rewards: Any, infos: Infos) -> None:
        self._embedding.step(observations, actions, rewards)


class InfoSource:
    """Embeddings that :class:`TrajectoryEmbeddingWrapper` wrote inside the environments."""

    def __init__(self, dim: int, n_envs: int, has_prefixes: bool) -> None:
        self.has_prefixes = has_prefixes
        self._values = np.zeros((n_envs, dim))

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> None:
        if self.has_prefixes:
            self._read(infos, np.flatnonzero(mask))

    def step(self, observations: Observations, actions: Any, rewards: Any, infos: Infos) -> None:
        self._values = self._values.copy()
        self._read(infos, range(len(infos)) if self.has_prefixes else [i for i, info in enumerate(infos) if INFO_KEY in info])

    def _read(self, infos: Infos, envs: Any) -> None:
        for env in envs:
            if INFO_KEY not in infos[env]:
                raise EmbeddingError(f'info["{INFO_KEY}"] is missing in env {env}: a wrapper outside removed it')
            self._values[env] = infos[env][INFO_KEY]

    def values(self) -> NDArray[np.float64]:
        return self._values.copy()

    def value_of(self, env: int) -> NDArray[np.float64]:
        return self._values[env].copy()  # type: ignore[no-any-return]


class Recorder:
    """
    Follows ``n_envs`` environments that reset by themselves, as SB3's do, and hands out the rollout so far.

    :param source: where the embeddings come from
    :param embedding: the recipe; a state occupancy keeps a sample of each episode's states
    :param n_envs: number of environments
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    """

    def __init__(self, source: Source, embedding: Embedding, n_envs: int, segment_length: int | None = None) -> None:
        self._source = source
        self._occupancy = embedding if isinstance(embedding, StateOccupancy) else None
        self._segment_length = segment_length
        self._n_episodes = 0
        self._return = np.zeros(n_envs)
        self._length = np.zeros(n_envs, dtype=np.int64)
        self._prefix = np.zeros((n_envs, 0))
        self._states: list[list[NDArray[np.float64]]] = [[] for _ in range(n_envs)]
        self._clear()
        self._begins = np.ones(n_envs, dtype=bool)

    @property
    def has_prefixes(self) -> bool:
        """Whether the embedding of an episode so far is known at every step."""
        return self._source.has_prefixes

    def _clear(self) -> None:
        self._after: list[NDArray[np.float64]] = []
        self._start_values: list[NDArray[np.float64]] = []
        self._rows: dict[str, list[NDArray[Any]]] = {"starts": [], "ends": [], "terminated": [], "lengths": []}
        self._episodes: list[Episode] = []

    def start(self, observations: Observations, mask: Mask, infos: Infos = ()) -> None:
        """
        Start an episode where ``mask`` is set.

        :param observations: (n_envs, ...) after the reset
        :param mask: (n_envs,)
        :param infos: the infos of the resets
        """
        self._source.start(observations, mask, infos)
        self._return[mask] = 0.0
        self._length[mask] = 0
        if self.has_prefixes:
            # A new array: the old one may be a row of the rollout.
            self._prefix = np.where(mask[:, None], self._source.values(), self._prefix if self._prefix.size else 0.0)
            self._begins = self._begins | mask
        if self._occupancy is not None:
            for env in np.flatnonzero(mask):
                self._states[env] = [self._prefix[env]]

    def step(
        self,
        observations: Observations,
        actions: Any,
        rewards: NDArray[Any],
        dones: Mask,
        infos: Infos,
        terminal: Mapping[int, Any],
        reset_infos: Infos = (),
    ) -> list[Episode]:
        """
        Add one step of every environment.

        :param observations: (n_envs, ...) what ``VecEnv.step`` returned: the reset's where an episode ended
        :param actions: (n_envs, ...) the actions that the environments got
        :param rewards: (n_envs,) the environments' own
        :param dones: (n_envs,)
        :param infos: one mapping an environment
        :param terminal: the terminal observation of each environment whose episode ended
        :param reset_infos: the infos of the resets
        :return: the episodes that ended
        :raises EmbeddingError: if the embedding fails; the message names environment and episode
        """
        self._source.step(with_terminal(observations, terminal), actions, rewards, infos)
        self._return += rewards
        self._length += 1
        truncated = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos]) if dones.any() else ~dones
        ends = dones if self._segment_length is None else dones | (self._length >= self._segment_length)
        if self.has_prefixes:
            after = self._source.values()
            self._after.append(after)
            self._start_values.append(self._prefix[self._begins])
            self._prefix = after
        for name, row in (
            ("starts", self._begins),
            ("ends", ends),
            ("terminated", dones & ~truncated),
            ("lengths", self._length.copy()),
        ):
            self._rows[name].append(row)
        self._begins = np.zeros_like(dones)
        finished = []
        if self._occupancy is not None:
            for env, states in enumerate(self._states):
                states.append(self._prefix[env])
        if ends.any():
            finished = [self._finish(int(env), bool(dones[env] and not truncated[env])) for env in np.flatnonzero(ends)]
            self._episodes.extend(finished)
            self.start(observations, ends, reset_infos)
        return finished

    def _finish(self, env: int, terminated: bool) -> Episode:
        self._n_episodes += 1
        length = int(self._length[env])
        if self._occupancy is not None:
            # A low-discrepancy offset, not a random one: recording must not touch any random generator.
            offset = self._n_episodes * GOLDEN_RATIO % 1.0
            times = self._occupancy.times(length, terminated, STATES_PER_EPISODE, offset)
            points = np.stack([self._states[env][time] for time in times])
        else:
            points = (self._prefix[env] if self.has_prefixes else self._source.value_of(env))[None].copy()
        step = len(self._rows["ends"]) - 1
        return Episode(env, step, points, float(self._return[env]), length)

    def flush(self) -> Rollout:
        """:return: everything since the last call; the episodes that run go on"""
        rows = {name: np.stack(row) for name, row in self._rows.items()} if self._rows["ends"] else None
        n_envs = len(self._return)
        empty = np.zeros((0, n_envs), dtype=bool)
        rollout = Rollout(
            after=np.stack(self._after) if self._after else None,
            starts=empty if rows is None else rows["starts"],
            start_values=np.concatenate(self._start_values) if self._start_values else np.zeros((0, 0)),
            ends=empty if rows is None else rows["ends"],
            terminated=empty if rows is None else rows["terminated"],
            lengths=np.zeros((0, n_envs), dtype=np.int64) if rows is None else rows["lengths"],
            episodes=self._episodes,
        )
        self._clear()
        self._begins = np.ones(n_envs, dtype=bool)
        return rollout


def with_terminal(observations: Observations, terminal: Mapping[int, Any]) -> Observations:
    """
    :param observations: (n_envs, ...) with the reset's observation where an episode ended
    :param terminal: the terminal observation of each of those environments
    :return: the observations with the terminal ones in their place; the input is not changed
    """
    if not terminal:
        return observations
    if isinstance(observations, dict):
        return {
            key: with_terminal(value, {env: last[key] for env, last in terminal.items()})  # type: ignore[misc]
            for key, value in observations.items()
        }
    observations = np.array(observations)
    for env, last in terminal.items():
        observations[env] = last
    return observations
