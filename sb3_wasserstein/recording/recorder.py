"""The recorder: what the episodes of a vectorised environment look like in the embedding space, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations, each, put, stacked, take
from sb3_wasserstein.embeddings.steps import Ends, Steps
from sb3_wasserstein.embeddings.validated import EmbeddingError, ValidatedEmbedding
from sb3_wasserstein.recording.rollout import Episode, Rollout
from sb3_wasserstein.recording.wrapper import INFO_KEY

Infos = Sequence[Mapping[str, Any]]


class Recorder:
    """
    Follows ``n_envs`` environments that reset by themselves, as SB3's do, and hands out the rollout so far. A step only
    keeps what the environments returned: :meth:`flush` embeds all of it at once.

    :param bound: the embedding, bound to the environments' spaces
    :param embedding: its recipe; where it samples states, a bounded sample of each episode's states is kept
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param seen: number of episodes that were recorded before: which of an episode's states are kept depends on it
    :param longest: number of steps of the longest episode that was recorded before
    :param reads_infos: whether the environments are wrapped in a TrajectoryEmbeddingWrapper: what it wrote is then recorded
    :param first_number: of the first episode; the others count on from it, in the order of their first steps

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.embeddings import FinalState
        >>> from sb3_wasserstein.embeddings.validated import ValidatedEmbedding
        >>> from sb3_wasserstein.recording import Recorder
        >>> recipe = FinalState()
        >>> recorder = Recorder(ValidatedEmbedding(recipe.bind(Box(-9, 9, (1,)), None), "final state"), recipe)
        >>> recorder.start(np.array([[0.0]]))
        >>> recorder.step(np.array([[0.0]]), np.zeros((1, 1)), [1.0], [True], [{"terminal_observation": np.array([5.0])}])
        >>> recorder.flush().episodes[0].points
        array([[5.]])
    """

    def __init__(
        self,
        bound: ValidatedEmbedding,
        embedding: Embedding,
        segment_length: int | None = None,
        seen: int = 0,
        longest: int = 0,
        reads_infos: bool = False,
        first_number: int = 0,
    ) -> None:
        self._bound = bound
        self._recipe = self._embedding = embedding
        self._segment_length = segment_length
        self._seen = seen
        self._longest = longest
        self._reads_infos = reads_infos
        #: from which on no number has been given to an episode
        self.next_number = first_number
        self._numbers = np.zeros(bound.n_envs, dtype=np.int64)
        self._clear()

    def _clear(self) -> None:
        self._observations: list[Observations] = []
        self._actions: list[Any] = []
        self._rewards: list[Any] = []
        self._dones: list[Any] = []
        self._terminal: list[tuple[int, int, Any]] = []
        self._truncated: list[tuple[int, int]] = []

    @property
    def has_prefixes(self) -> bool:
        """Whether the embedding of an episode so far is known at every step."""
        return self._bound.has_prefixes

    @property
    def embedding(self) -> Embedding:
        """The recipe; where nothing says its horizon, with the longest episode so far (see ``Embedding.horizon``)."""
        return self._embedding

    def start(self, observations: Observations, infos: Infos = (), known: Mask | None = None) -> None:
        """
        Start an episode in every environment.

        :param observations: (n_envs, ...) after the resets
        :param infos: the infos of the resets
        :param known: (n_envs,) False where an episode runs already, whose beginning was not recorded: it is left out of
            ``Rollout.episodes``. None where all episodes begin
        """
        n_envs = self._bound.n_envs
        self._known = np.ones(n_envs, dtype=bool) if known is None else np.array(known, dtype=bool)
        self._return, self._length = [0.0] * n_envs, (0,) * n_envs
        self._clear()
        if self._reads_infos:
            observations = self._written(infos, range(n_envs) if self.has_prefixes else ())
        self._bound.start(observations, np.ones(n_envs, dtype=bool))
        self._value = self._bound.values() if self.has_prefixes else np.zeros((n_envs, self._bound.dim))
        self._states = [_StateSample(value, self._recipe) for value in self._value]

    def step(
        self,
        observations: Observations,
        actions: Any,
        rewards: Any,
        dones: Any,
        infos: Infos,
        terminal: Mapping[int, Any] | None = None,
        reset_infos: Infos = (),
    ) -> None:
        """
        Add one step of every environment.

        :param observations: (n_envs, ...) what ``VecEnv.step`` returned: the reset's where an episode ended
        :param actions: (n_envs, ...) the actions that the environments got
        :param rewards: (n_envs,) the environments' own
        :param dones: (n_envs,)
        :param infos: one mapping an environment
        :param terminal: the terminal observation of each environment whose episode ended; None takes them from the infos
        :param reset_infos: the infos of the resets
        :raises EmbeddingError: if an environment does not say a terminal observation, or what the wrapper writes
        """
        time, dones = len(self._dones), np.array(dones, dtype=bool)
        ended = np.flatnonzero(dones).tolist()
        if self._reads_infos:
            written = self._written(infos, range(len(infos)) if self.has_prefixes else ended)
            terminal = {env: written[env].copy() for env in ended}
            if self.has_prefixes and ended:
                written[ended] = self._written(reset_infos, ended)[ended]
            observations = written
        # Copies: an environment may return the same arrays at every step, and SB3 adds to rewards in place.
        self._observations.append(each(np.array, observations))
        self._actions.append(np.array(actions))
        self._rewards.append(np.array(rewards, dtype=np.float64))
        self._dones.append(dones)
        for env in ended:
            last = infos[env].get("terminal_observation") if terminal is None else terminal.get(env)
            if last is None:
                raise EmbeddingError(
                    f'env {env} ended an episode without info["terminal_observation"], which SB3\'s VecEnvs give'
                )
            self._terminal.append((time, env, last))
            if infos[env].get("TimeLimit.truncated", False):
                self._truncated.append((time, env))

    def _written(self, infos: Infos, envs: Sequence[int]) -> Floats:
        """(n_envs, dim) what the wrapper wrote into the infos of these environments."""
        values = np.zeros((self._bound.n_envs, self._bound.dim))
        for env in envs:
            if INFO_KEY not in infos[env]:
                raise EmbeddingError(f'info["{INFO_KEY}"] is missing in env {env}: a wrapper outside removed it')
            values[env] = infos[env][INFO_KEY]
        return values

    def fault(self) -> str | None:
        """:return: the first NaN or infinity that the environments have returned since the last flush, in words"""
        for time, (observations, rewards) in enumerate(zip(self._observations, self._rewards, strict=True)):
            parts = observations if isinstance(observations, dict) else {"": observations}
            returned = [("reward", env, reward) for env, reward in enumerate(rewards)]
            returned += [
                (f"observation {key}".strip(), env, row) for key, rows in parts.items() for env, row in enumerate(rows)
            ]
            for ended, env, last in self._terminal:
                if ended == time:
                    lasts = last.values() if isinstance(last, dict) else [last]
                    returned += [("terminal observation", env, part) for part in lasts]
            for what, env, value in returned:
                if not np.isfinite(np.asarray(value, dtype=np.float64)).all():
                    return f"env {env} returned the {what} {value} at step {time + 1} of the rollout"
        return None

    def flush(self) -> Rollout:
        """
        :return: everything since the last call; the episodes that run go on
        :raises EmbeddingError: if the embedding fails; the message names environment and episode
        :raises ValueError: if a reward is NaN or infinite; the message names environment and step
        """
        if not self._dones:
            none = np.zeros((0, self._bound.n_envs), dtype=bool)
            counts = none.astype(np.int64)
            return Rollout(None, np.zeros((0, 0)), none, counts, none, none, counts, none, [])
        try:
            return self._rollout()
        finally:
            self._clear()

    def _rollout(self) -> Rollout:
        rewards, terminated = np.array(self._rewards), np.array(self._dones)
        if not np.isfinite(rewards).all() and (fault := self.fault()) is not None:
            raise ValueError(f"{fault}: what is learnt from it would be NaN")
        ends = Ends(terminated, self._length)
        if self._segment_length is not None:
            ends = Ends(terminated | (ends.lengths % self._segment_length == 0), self._length)
        truncated = np.zeros_like(terminated)
        for place in self._truncated:
            truncated[place] = True
        terminated = terminated & ~truncated

        observations = stacked(self._observations)
        first = take(observations, ends.mask)
        for time, env, last in self._terminal:
            put(observations, (time, env), last)
        scan = self._bound.scan(Steps(observations, first, ends, np.array(self._actions), rewards))
        start_values = np.concatenate([self._value, scan.first[: int(ends.mask[:-1].sum())]])
        known = np.ones_like(terminated)
        numbers = self._numbered(ends.mask)
        episodes, running, returned = [], list(self._length), rewards.T.tolist()
        for j, stretch in enumerate(ends.stretches):
            env, begin, stop, begun = stretch
            if begun is not None:
                self._known[env], self._return[env] = True, 0.0
            if begun is not None and self._recipe.samples_states:
                self._states[env] = _StateSample(scan.first[begun], self._recipe)
            if not self._known[env]:
                known[begin:stop, env] = False
            # In the order of the steps, as Monitor adds: the last bits do not depend on where rollouts are cut.
            self._return[env] = sum(returned[env][begin:stop], self._return[env])
            if self._recipe.samples_states and scan.after is not None:
                self._states[env].extend(scan.after[begin:stop, env])
            length = ends.length(stretch)
            if j >= ends.count:
                running[env] = length
            elif self._known[env]:
                points = scan.finals[j : j + 1]
                if self._recipe.samples_states:
                    points = self._sample(env, length, bool(terminated[stop - 1, env]))
                episodes.append(Episode(env, stop - 1, points, self._return[env], length, int(numbers[begin, env])))
        self._length = tuple(running)
        if self.has_prefixes:
            self._value = self._bound.values()
        return Rollout(scan.after, start_values, ends.mask, ends.lengths, terminated, truncated, numbers, known, episodes)

    def _numbered(self, ends: Mask) -> NDArray[np.int64]:
        """(T, n_envs) number of the episode that each step belongs to."""
        begins = np.concatenate([[np.array(self._length) == 0], ends[:-1]])
        given = self.next_number - 1 + np.cumsum(begins).reshape(begins.shape)
        numbers = np.where(begins, given, 0)
        numbers[0] = np.where(begins[0], numbers[0], self._numbers)
        np.maximum.accumulate(numbers, axis=0, out=numbers)
        self._numbers, self.next_number = numbers[-1], int(given[-1, -1]) + 1
        return numbers

    def _sample(self, env: int, length: int, terminated: bool) -> Floats:
        """The states that are kept of an episode that has ended."""
        self._seen += 1
        self._longest = max(self._longest, length)
        if self._recipe.horizon is None:
            self._embedding = self._recipe.with_time_limit(self._longest)
        # A low-discrepancy offset, not a random one: recording must not touch any random generator.
        offset = self._seen * (math.sqrt(5.0) - 1.0) / 2.0 % 1.0
        return self._states[env].at(self._embedding.times(length, terminated, self._recipe.states_per_episode, offset))


class _StateSample:
    """
    The states of a running episode at a stride that doubles, so that an episode that never ends does not fill the memory.

    :param first: (dim,) the first state
    :param embedding: says how many states will be kept at least
    """

    def __init__(self, first: Floats, embedding: Embedding) -> None:
        self._kept, self._last = first[None], first
        self._stride, self._count = 1, 1
        # At the stride that leaves half of them, there are still two for each that will be kept.
        self._limit = 4 * embedding.states_per_episode

    def extend(self, states: Floats) -> None:
        """:param states: (t, dim) the next ones"""
        if not len(states):
            return
        self._kept = np.concatenate([self._kept, states[-self._count % self._stride :: self._stride]])
        self._last, self._count = states[-1], self._count + len(states)
        while len(self._kept) > self._limit:
            self._kept, self._stride = self._kept[::2], 2 * self._stride

    def at(self, times: NDArray[np.intp]) -> Floats:
        """:return: (m, dim) the states at these times, or the nearest ones that were kept; the last one is always exact"""
        nearest = np.minimum((times + self._stride // 2) // self._stride, len(self._kept) - 1)
        return np.where((times == self._count - 1)[:, None], self._last, self._kept[nearest])
