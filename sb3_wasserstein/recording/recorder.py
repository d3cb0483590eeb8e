"""The recorder: what the episodes of a vectorised environment look like in the embedding space, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.features import put, take
from sb3_wasserstein.embeddings.running import Ends
from sb3_wasserstein.embeddings.states import StateOccupancy
from sb3_wasserstein.embeddings.trajectory import Mask, Observations
from sb3_wasserstein.embeddings.validated import CheckedEmbedding, EmbeddingError
from sb3_wasserstein.means import RunningMeans
from sb3_wasserstein.recording.rollout import Episode, Rollout
from sb3_wasserstein.recording.steps import Steps

Infos = Sequence[Mapping[str, Any]]
Scanned = tuple[NDArray[np.float64] | None, NDArray[np.float64], NDArray[np.float64]]

#: the key under which the wrapper writes the embedding
INFO_KEY = "wasserstein"
#: states kept of each episode for an occupancy measure
STATES_PER_EPISODE = 64
GOLDEN_RATIO = 0.6180339887498949
#: no episode ended
NOTHING: Mapping[int, Any] = MappingProxyType({})


class Source(Protocol):
    """Where the embeddings come from: a bound embedding, or the infos of wrapped environments."""

    has_prefixes: bool
    reads_infos: bool
    reads_actions: bool

    @property
    def means(self) -> RunningMeans | None: ...

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> NDArray[np.float64]: ...
    def note(self, dones: list[bool], infos: Infos, reset_infos: Infos) -> None: ...
    def scan(self, steps: Steps, ends: Ends) -> Scanned: ...


class BoundSource:
    """Embeddings built here, from what the vectorised environment returns."""

    reads_infos = False

    def __init__(self, embedding: CheckedEmbedding) -> None:
        self._embedding = embedding
        self.has_prefixes = embedding.has_prefixes
        self.reads_actions = not embedding.scans

    @property
    def means(self) -> RunningMeans | None:
        """What the last scan's values are means of, where they are means of few points."""
        return self._embedding.means

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> NDArray[np.float64]:
        self._embedding.start(observations, mask)
        return self._embedding.values() if self.has_prefixes else np.zeros((len(mask), 0))

    def note(self, dones: list[bool], infos: Infos, reset_infos: Infos) -> None:
        """Nothing: all is in the steps."""

    def scan(self, steps: Steps, ends: Ends) -> Scanned:
        observations = steps.observations()
        resets = take(observations, ends.mask if ends.count else (slice(0), 0))
        for time, env, last in steps.terminal:
            put(observations, (time, env), last)
        return self._embedding.scan(steps, observations, resets, ends)


class InfoSource:
    """Embeddings that :class:`TrajectoryEmbeddingWrapper` wrote inside the environments."""

    reads_infos = True
    reads_actions = False
    means = None

    def __init__(self, dim: int, n_envs: int, has_prefixes: bool) -> None:
        self.has_prefixes = has_prefixes
        self._none = np.zeros((n_envs, dim if has_prefixes else 0))
        self._after: list[NDArray[np.float64]] = []
        self._fresh: list[NDArray[np.float64]] = []
        self._finals: list[NDArray[np.float64]] = []

    def start(self, observations: Observations, mask: Mask, infos: Infos) -> NDArray[np.float64]:
        values = self._none.copy()
        if self.has_prefixes:
            values[mask] = [_read(infos, int(env)) for env in np.flatnonzero(mask)]
        return values

    def note(self, dones: list[bool], infos: Infos, reset_infos: Infos) -> None:
        if self.has_prefixes:
            self._after.append(np.array([_read(infos, env) for env in range(len(infos))], dtype=np.float64))
        for env in np.flatnonzero(dones):
            self._finals.append(_read(infos, int(env)))
            if self.has_prefixes:
                self._fresh.append(_read(reset_infos, int(env)))

    def scan(self, steps: Steps, ends: Ends) -> Scanned:
        fresh, finals = (np.stack(rows) if rows else self._none[:0] for rows in (self._fresh, self._finals))
        after = np.stack(self._after) if self.has_prefixes else None
        self._after, self._fresh, self._finals = [], [], []
        return after, fresh, finals


class Recorder:
    """
    Follows ``n_envs`` environments that reset by themselves, as SB3's do, and hands out the rollout so far. A step only
    keeps what the environment returned: the rollout is embedded at once.

    :param source: where the embeddings come from
    :param embedding: the recipe; a state occupancy keeps a sample of each episode's states
    :param n_envs: number of environments
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param seen: number of episodes that were recorded before: which of a state occupancy's states are kept depends on it

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.embeddings import FinalState
        >>> from sb3_wasserstein.recording import Recorder
        >>> from sb3_wasserstein.embeddings.validated import CheckedEmbedding
        >>> from sb3_wasserstein.recording.recorder import BoundSource
        >>> recipe = FinalState()
        >>> bound = CheckedEmbedding(recipe.bind(Box(-9, 9, (1,)), None), "final state")
        >>> recorder = Recorder(BoundSource(bound), recipe, n_envs=1)
        >>> recorder.start(np.array([[0.0]]))
        >>> recorder.step(np.array([[0.0]]), np.zeros((1, 1)), [1.0], [True], [{}], terminal={0: np.array([5.0])})
        >>> recorder.flush().episodes[0].points
        array([[5.]])
    """

    def __init__(
        self, source: Source, embedding: Embedding, n_envs: int, segment_length: int | None = None, seen: int = 0
    ) -> None:
        self._source = source
        #: whether the embeddings come from the infos of every step
        self.reads_infos = source.reads_infos
        self._occupancy = embedding if isinstance(embedding, StateOccupancy) else None
        self._segment_length = segment_length
        self._n_envs = n_envs
        self._n_episodes = seen
        self._return = [0.0] * n_envs
        self._length = [0] * n_envs
        self._prefix = np.zeros((n_envs, 0))
        self._states: list[NDArray[np.float64]] = []
        self._steps = Steps(source.reads_actions)
        #: :meth:`step` where no episode ended and no info is read (``reads_infos``): what most steps are
        self.quick_step = self._steps.add

    @property
    def has_prefixes(self) -> bool:
        """Whether the embedding of an episode so far is known at every step."""
        return self._source.has_prefixes

    def start(self, observations: Observations, infos: Infos = ()) -> None:
        """
        Start an episode in every environment.

        :param observations: (n_envs, ...) after the resets
        :param infos: the infos of the resets
        """
        self._prefix = self._source.start(observations, np.ones(self._n_envs, dtype=bool), infos)
        self._states = [state[None] for state in self._prefix]

    def step(
        self,
        observations: Observations,
        actions: Any,
        rewards: list[float],
        dones: list[bool],
        infos: Infos,
        terminal: Mapping[int, Any] = NOTHING,
        reset_infos: Infos = (),
    ) -> None:
        """
        Add one step of every environment.

        :param observations: (n_envs, ...) what ``VecEnv.step`` returned: the reset's where an episode ended
        :param actions: (n_envs, ...) the actions that the environments got
        :param rewards: n_envs numbers, the environments' own
        :param dones: n_envs booleans
        :param infos: one mapping an environment
        :param terminal: the terminal observation of each environment whose episode ended, in their order
        :param reset_infos: the infos of the resets
        :raises EmbeddingError: if a wrapped environment does not say its embedding
        """
        self._source.note(dones, infos, reset_infos)
        steps = self._steps
        time = len(steps)
        steps.terminal += [(time, env, last) for env, last in terminal.items()]
        steps.truncated += [(time, env) for env in terminal if infos[env].get("TimeLimit.truncated", False)]
        steps.add(observations, actions, rewards)

    def fault(self) -> str | None:
        """:return: the first NaN or infinity that the environments have returned since the last flush, in words"""
        return self._steps.fault()

    def flush(self) -> Rollout:
        """
        :return: everything since the last call; the episodes that run go on
        :raises EmbeddingError: if the embedding fails; the message names environment and episode
        :raises ValueError: if a reward is NaN or infinite; the message names environment and step
        """
        steps = self._steps
        places = [(time, env) for time, env, _ in steps.terminal] if steps.terminal else []
        ends = Ends.of(len(steps), self._n_envs, places, self._length)
        if not steps:
            return Rollout(None, np.zeros((0, 0)), ends, ends.mask, [])
        try:
            return self._rollout(steps, ends)
        finally:
            steps.clear()

    def _rollout(self, steps: Steps, ends: Ends) -> Rollout:
        terminated = ends.mask
        if steps.truncated:
            terminated = ends.mask.copy()
            for place in steps.truncated:
                terminated[place] = False
        if self._segment_length is not None:
            ends = Ends(ends.mask | (ends.lengths % self._segment_length == 0), carried=self._length)
        returns, running = self._episode_returns(steps.rewards, ends)
        if not math.isfinite(sum(running) + sum(returns)):
            fault = steps.fault()
            if fault is not None:
                raise ValueError(f"{fault}: what is learnt from it would be NaN")
        self._return = running
        lengths, self._length = ends.finished()

        after, fresh, finals = self._source.scan(steps, ends)
        points = [final[None] for final in finals] if ends.count else []
        start_values = self._prefix
        if after is not None:
            at_the_cut = ends.count - ends.count_last
            if at_the_cut:
                start_values = np.concatenate([start_values, fresh[:at_the_cut]])
            if self._occupancy is not None:
                points = self._occupied(self._occupancy, after, fresh, ends, terminated, lengths)
            self._prefix = after[-1].copy()
            if ends.count_last:
                self._prefix[ends.mask[-1]] = fresh[at_the_cut:]
        episodes = [
            Episode(env, time, embedded, episode_return, length)
            for (time, env), embedded, episode_return, length in zip(ends.places, points, returns, lengths, strict=True)
        ]
        return Rollout(after, start_values, ends, terminated, episodes, self._source.means)

    def _episode_returns(self, rewards: list[list[float]], ends: Ends) -> tuple[list[float], list[float]]:
        """Of each episode that ended, and of those that run: plain sums, as Monitor's are."""
        if not ends.count:
            return [], list(map(sum, zip(self._return, *rewards, strict=True)))
        columns, running = list(zip(*rewards, strict=True)), self._return.copy()
        begun, returns = [0] * self._n_envs, []
        for time, env in ends.places:
            returns.append(sum(columns[env][begun[env] : time + 1], running[env]))
            running[env], begun[env] = 0.0, time + 1
        return returns, [sum(column[first:], before) for column, first, before in zip(columns, begun, running, strict=True)]

    def _occupied(
        self,
        occupancy: StateOccupancy,
        after: NDArray[np.float64],
        fresh: NDArray[np.float64],
        ends: Ends,
        terminated: Mask,
        lengths: list[int],
    ) -> list[NDArray[np.float64]]:
        """A sample of the states of each episode that ended."""
        points = []
        begun = [0] * self._n_envs
        for (time, env), first, length in zip(ends.places, fresh, lengths, strict=True):
            states = np.concatenate([self._states[env], after[begun[env] : time + 1, env]])
            self._n_episodes += 1
            # A low-discrepancy offset, not a random one: recording must not touch any random generator.
            offset = self._n_episodes * GOLDEN_RATIO % 1.0
            times = occupancy.times(length, bool(terminated[time, env]), STATES_PER_EPISODE, offset)
            points.append(states[times])
            self._states[env], begun[env] = first[None], time + 1
        self._states = [
            np.concatenate([states, after[begin:, env]])
            for env, (states, begin) in enumerate(zip(self._states, begun, strict=True))
        ]
        return points


def _read(infos: Infos, env: int) -> NDArray[np.float64]:
    if INFO_KEY not in infos[env]:
        raise EmbeddingError(f'info["{INFO_KEY}"] is missing in env {env}: a wrapper outside removed it')
    return np.asarray(infos[env][INFO_KEY], dtype=np.float64)
