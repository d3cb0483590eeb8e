"""What a vectorised environment shows of its episodes: original observations, rewards, terminal observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize, unwrap_vec_normalize

from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.embeddings.observations import Observations
from sb3_wasserstein.embeddings.validated import ValidatedEmbedding
from sb3_wasserstein.recording.recorder import Recorder
from sb3_wasserstein.recording.wrapper import TrajectoryEmbeddingWrapper


class EpisodeReader:
    """
    Reads a VecEnv's steps for a recorder. Under VecNormalize it reads the original observations and rewards.

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
        if self.normalize is not None:
            _keep_terminal_observations(self.normalize.venv)

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
        if self.normalize is not None:
            observations, rewards = self.normalize.old_obs, self.normalize.old_reward
        # Normalised terminal observations are clipped: they cannot be turned back.
        terminal = None if self.normalize is None else self.normalize.venv.__dict__[_TERMINAL]
        recorder.step(observations, actions, rewards, dones, infos, terminal, self.reset_infos)

    @property
    def reset_infos(self) -> Sequence[Mapping[str, Any]]:
        """The infos of each environment's last reset."""
        # A VecEnv of somebody's own may not have them.
        return getattr(self._base, "reset_infos", ())

    @property
    def max_episode_steps(self) -> int | None:
        """The environments' time limit, None if they have none."""
        try:
            spec = self.env.get_attr("spec")[0]
        except AttributeError:
            return None
        return None if spec is None else spec.max_episode_steps

    def wrapped(self) -> dict[str, Any] | None:
        """:return: what :class:`TrajectoryEmbeddingWrapper` says of itself, None unless it wraps every environment"""
        if not all(self.env.env_is_wrapped(TrajectoryEmbeddingWrapper)):
            return None
        return self.env.get_attr("embedding_summary")[0]  # type: ignore[no-any-return]

    def recorder(self, embedding: Embedding, segment_length: int | None = None, seen: int = 0, longest: int = 0) -> Recorder:
        """
        :param embedding: used where the environments are not wrapped
        :param segment_length: count every so many steps as an episode
        :param seen: number of episodes that were recorded before
        :param longest: number of steps of the longest of them
        :return: a recorder for this environment, whose ``embedding`` has the horizon that this environment says
        :raises ValueError: if the embedding cannot read the observation space
        """
        # Whatever another environment said of it before.
        embedding = embedding.with_time_limit(self.max_episode_steps if embedding.holds else None)
        summary = self.wrapped()
        if summary is None:
            bound = embedding.bind(self.observation_space, self.action_space, self.env.num_envs)
            validated = ValidatedEmbedding(bound, repr(embedding), self.env.num_envs)
            return Recorder(validated, embedding, segment_length, seen, longest)
        if segment_length is not None:
            raise ValueError("segment_length does not go with TrajectoryEmbeddingWrapper, which knows whole episodes only")
        return Recorder.of_infos(summary["dim"], summary["every_step"], embedding, self.env.num_envs, seen, longest)


_TERMINAL = "_wasserstein_terminal_observations"


def _keep_terminal_observations(venv: VecEnv) -> None:
    """
    Keep each step's terminal observations before VecNormalize, which surrounds ``venv``, overwrites them.

    A VecEnvWrapper in between would be the plain way, but SB3 walks the wrappers of the training and the evaluation
    environment in step when it copies the statistics, and fails where they differ.
    """
    if _TERMINAL in venv.__dict__:
        return
    step_wait = venv.step_wait

    def step_wait_and_keep() -> Any:
        result = step_wait()
        dones = result[2].tolist()
        if True in dones:
            infos = result[3]
            venv.__dict__[_TERMINAL] = {i: infos[i].get("terminal_observation") for i, done in enumerate(dones) if done}
        return result

    venv.__dict__[_TERMINAL] = {}
    venv.__dict__["step_wait"] = step_wait_and_keep
