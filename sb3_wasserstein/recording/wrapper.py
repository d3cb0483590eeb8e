"""The Gymnasium wrapper that writes the embedding of the episode so far into ``info``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from sb3_wasserstein._validation import check_flag
from sb3_wasserstein.embeddings.observations import batch_of_one
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.embeddings.validated import ValidatedEmbedding

#: the key under which the wrapper writes the embedding
INFO_KEY = "wasserstein"


class TrajectoryEmbeddingWrapper(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """
    Writes ``info["wasserstein"]`` = φ(episode so far), float32 of shape (dim,).

    Put it outside ``TimeLimit``, so that it sees truncations. An embedding without prefixes
    (:class:`~sb3_wasserstein.embeddings.FunctionEmbedding`) is written at the end of each episode only.

    :param env: the environment
    :param embedding: a name, an :class:`Embedding`, or its ``config()``
    :param every_step: write at every step and in the info of ``reset``; otherwise at the end of each episode only
    :raises ValueError: if the embedding cannot read the observation space, or if a state occupancy is asked for with
        ``every_step=False`` (each of its states counts)

    Example:
        >>> import gymnasium as gym
        >>> from sb3_wasserstein import TrajectoryEmbeddingWrapper
        >>> env = TrajectoryEmbeddingWrapper(gym.make("CartPole-v1"), "mean_state")
        >>> _, info = env.reset(seed=0)
        >>> info["wasserstein"].shape
        (4,)
    """

    def __init__(self, env: gym.Env[Any, Any], embedding: EmbeddingLike, every_step: bool = True) -> None:
        if not isinstance(env, gym.Env):
            raise TypeError(f"env must be a Gymnasium environment; got {env!r} (an id goes to gymnasium.make first)")
        recipe = make_embedding(embedding)
        check_flag("every_step", every_step)
        # The recorded argument is the JSON-plain config where there is one, so that the env's spec can go to JSON.
        recorded = recipe.config() if recipe.is_plain else recipe
        RecordConstructorArgs.__init__(self, embedding=recorded, every_step=every_step, _disable_deepcopy=True)
        gym.Wrapper.__init__(self, env)
        self.trajectory_embedding = recipe.with_time_limit(env.spec.max_episode_steps if env.spec is not None else None)
        if recipe.samples_states and not every_step:
            raise ValueError(f"every_step=False loses states, and each state is a sample of {recipe}: use every_step=True")
        bound = self.trajectory_embedding.bind(env.observation_space, env.action_space)
        self.every_step = every_step and bound.has_prefixes
        #: what an algorithm outside reads, JSON-plain: a subprocess could not send a recipe that holds a function
        self.embedding_summary = {
            "dim": bound.dim,
            "every_step": self.every_step,
            "config": self.trajectory_embedding.config(),
            "is_plain": recipe.is_plain,
        }
        self._embedding = ValidatedEmbedding(bound, repr(recipe))
        self._one = np.ones(1, dtype=bool)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._embedding.start(batch_of_one(observation), self._one)
        return observation, self._written(info) if self.every_step else info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._embedding.step(batch_of_one(observation), np.asarray(action)[None], np.array([reward], dtype=np.float64))
        if self.every_step or terminated or truncated:
            info = self._written(info)
        return observation, reward, terminated, truncated, info

    def _written(self, info: dict[str, Any]) -> dict[str, Any]:
        if INFO_KEY in info:
            raise ValueError(f'info["{INFO_KEY}"] is taken already: is the environment wrapped twice?')
        return {**info, INFO_KEY: self._embedding.values()[0].astype(np.float32)}
