"""What a vectorised environment shows of its episodes: original observations, rewards, terminal observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize, unwrap_vec_normalize

from sb3_wasserstein.embeddings import Embedding, EmbeddingError, FinalState
from sb3_wasserstein.embeddings.observations import Observations
from sb3_wasserstein.embeddings.validated import ValidatedEmbedding
from sb3_wasserstein.recording.recorder import Recorder
from sb3_wasserstein.recording.wrapper import TrajectoryEmbeddingWrapper

Answer = TypeVar("Answer")


class EpisodeReader:
    """
    Reads a VecEnv's steps for a recorder. Under VecNormalize it reads the original observations and rewards; between
    :meth:`watch` and :meth:`release` also the original terminal observations, which VecNormalize overwrites.

    :param env: the vectorised environment
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.normalize: VecNormalize | None = unwrap_vec_normalize(env)
        inner = env if self.normalize is None else self.normalize.venv
        self.observation_space: spaces.Space[Any] = inner.observation_space
        self.action_space: spaces.Space[Any] = env.action_space
        self._base = env
        while isinstance(self._base, VecEnvWrapper):
            self._base = self._base.venv
        self._keeper: _TerminalKeeper | None = None

    def watch(self) -> None:
        """
        Keep the terminal observations of the steps to come.

        VecNormalize clips what it normalises, so its terminal observations cannot be turned back. They are read one step
        earlier, from the environment inside of it, whose ``step_wait`` is replaced until :meth:`release`. A VecEnvWrapper
        in between would be the plain way, but SB3 walks the wrappers of the training and the evaluation environment in
        step when it copies the statistics, and fails where they differ.
        """
        if self.normalize is None:
            return
        inner = vars(self.normalize.venv)
        keeper = inner.get("step_wait")
        if not isinstance(keeper, _TerminalKeeper):
            keeper = inner["step_wait"] = _TerminalKeeper(self.normalize.venv)
        keeper.watchers.add(id(self))
        self._keeper = keeper

    def release(self) -> None:
        """Leave the environment as :meth:`watch` found it."""
        keeper, self._keeper = self._keeper, None
        if self.normalize is None or not isinstance(keeper, _TerminalKeeper):
            return
        keeper.watchers.discard(id(self))
        inner = vars(self.normalize.venv)
        if not keeper.watchers and inner.get("step_wait") is keeper:
            del inner["step_wait"]

    def observations(self, observations: Observations) -> Observations:
        """:return: the original of what the environment has just returned"""
        return observations if self.normalize is None else self.normalize.old_obs

    def record(
        self,
        recorder: Recorder,
        observations: Observations,
        actions: Any,
        rewards: NDArray[Any],
        dones: NDArray[np.bool_],
        infos: Sequence[Mapping[str, Any]],
    ) -> None:
        """
        Hand the step that the environment has just made to a recorder.

        :param recorder: of this environment
        :param observations: (n, ...) as ``step`` returned them
        :param actions: (n, ...) as ``step`` got them
        :param rewards: (n,) as ``step`` returned them; SB3 adds to them in place at a time-out, later
        :param dones: (n,)
        :param infos: one mapping an environment
        :raises EmbeddingError: if an environment does not say a terminal observation, or what the wrapper writes
        """
        terminal = None
        if self.normalize is not None:
            observations, rewards = self.normalize.old_obs, self.normalize.old_reward
            if not isinstance(self._keeper, _TerminalKeeper):
                raise EmbeddingError("steps under VecNormalize are recorded between EpisodeReader.watch() and release()")
            terminal = self._keeper.terminal
        recorder.step(observations, actions, rewards, dones, infos, terminal, self.reset_infos)

    @property
    def reset_infos(self) -> Sequence[Mapping[str, Any]]:
        """The infos of each environment's last reset."""
        return getattr(self._base, "reset_infos", ())

    @property
    def max_episode_steps(self) -> int | None:
        """The environments' time limit, the longest of theirs; None if one of them has none."""
        # The number that TimeLimit holds: a spec may hold objects that cannot be sent from a worker.
        name = "_max_episode_steps"
        if not _answer(lambda: self.env.has_attr(name), False):
            return None
        limits = self.env.get_attr(name)
        return max(limits) if all(isinstance(limit, (int, np.integer)) for limit in limits) else None

    def wrapped(self) -> dict[str, Any] | None:
        """:return: what :class:`TrajectoryEmbeddingWrapper` says of itself, None unless it wraps every environment"""
        if not all(_answer(lambda: self.env.env_is_wrapped(TrajectoryEmbeddingWrapper), [False])):
            return None
        return self.env.get_attr("embedding_summary")[0]  # type: ignore[no-any-return]

    def recorder(
        self,
        embedding: Embedding,
        segment_length: int | None = None,
        seen: int = 0,
        longest: int = 0,
        first_number: int = 0,
    ) -> Recorder:
        """
        :param embedding: used where the environments are not wrapped
        :param segment_length: count every so many steps as an episode
        :param seen: number of episodes that were recorded before
        :param longest: number of steps of the longest of them
        :param first_number: from which on episodes are numbered
        :return: a recorder for this environment, whose ``embedding`` has the horizon that this environment says
        :raises ValueError: if the embedding cannot read the observation space
        """
        # Whatever another environment said of it before.
        embedding = embedding.with_time_limit(self.max_episode_steps if embedding.holds else None)
        summary = self.wrapped()
        if summary is None:
            bound = embedding.bind(self.observation_space, self.action_space, self.env.num_envs)
        elif segment_length is not None:
            raise ValueError("segment_length does not go with TrajectoryEmbeddingWrapper, which knows whole episodes only")
        else:
            # What the wrapper wrote last is the embedding.
            written = spaces.Box(-np.inf, np.inf, (summary["dim"],), np.float64)
            bound = FinalState().bind(written, None, self.env.num_envs)
            bound.has_prefixes = summary["every_step"]
        validated = ValidatedEmbedding(bound, repr(embedding), self.env.num_envs)
        return Recorder(validated, embedding, segment_length, seen, longest, summary is not None, first_number)


def _answer(question: Callable[[], Answer], unknown: Answer) -> Answer:
    """What a VecEnv answers; those of other packages need not know all of SB3's questions."""
    try:
        return question()
    except (AttributeError, NotImplementedError):
        return unknown


class _TerminalKeeper:
    """
    Stands in for a VecEnv's ``step_wait``, and keeps the terminal observations of its last step.

    A copy of the VecEnv, and one from a pickle, has its own ``step_wait`` again.
    """

    def __init__(self, venv: VecEnv) -> None:
        self._venv, self._step_wait = venv, venv.step_wait
        #: the readers that watch
        self.watchers: set[int] = set()
        self.terminal: dict[int, Any] = {}

    def __call__(self) -> Any:
        result = self._step_wait()
        infos = result[3]
        self.terminal = {int(env): infos[env].get("terminal_observation") for env in np.flatnonzero(result[2])}
        return result

    def __reduce__(self) -> Any:
        return getattr, (self._venv, "step_wait")
