"""A bound embedding whose values are checked: what a user's embedding gets wrong is said with environment and episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import BoundEmbedding, Mask
from sb3_wasserstein.embeddings.trajectory import Observations


class EmbeddingError(ValueError):
    """An embedding failed on an episode; the message names the environment and the episode."""


class CheckedEmbedding:
    """
    Every embedding, built-in or not, goes through here, under the wrapper as well as under the recorder.

    :param bound: a fresh bound embedding
    :param name: the embedding's name, for messages
    """

    def __init__(self, bound: BoundEmbedding, name: str) -> None:
        self.bound = bound
        self.name = name
        self.has_prefixes = bound.has_prefixes
        #: number of episodes begun in each environment, for messages
        self.episodes = np.zeros(bound.n_envs, dtype=np.int64)

    def start(self, observations: Observations, mask: Mask) -> None:
        """
        Start an episode where ``mask`` is set.

        :param observations: (n_envs, ...) observations after the reset
        :param mask: (n_envs,)
        :raises EmbeddingError: if the embedding raises
        """
        self.episodes[mask] += 1
        try:
            self.bound.reset(observations, mask)
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", mask) from error

    def step(self, observations: Observations, actions: Any, rewards: Any) -> None:
        """
        Add one step of every environment.

        :param observations: (n_envs, ...) after the step; at an episode's end the terminal one
        :param actions: (n_envs, ...) or None
        :param rewards: (n_envs,) or None
        :raises EmbeddingError: if the embedding raises
        """
        everywhere = np.ones(self.bound.n_envs, dtype=bool)
        try:
            self.bound.update(observations, actions, rewards, everywhere)
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", everywhere) from error

    def values(self) -> NDArray[np.float64]:
        """
        :return: (n_envs, dim) embedding of each episode so far
        :raises EmbeddingError: if the embedding raises, returns NaN or infinity, or another shape than (n_envs, dim)
        """
        everywhere = np.ones(self.bound.n_envs, dtype=bool)
        try:
            values = np.asarray(self.bound.value())
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", everywhere) from error
        expected = (self.bound.n_envs, self.bound.dim)
        if values.shape != expected:
            raise self._error(f"returned shape {values.shape}; expected (n_envs, dim) = {expected}", everywhere)
        if not np.isfinite(values).all():
            bad: Mask = np.logical_not(np.isfinite(values).all(axis=1))
            raise self._error(f"returned {values[np.argmax(bad)]}; every entry must be finite", bad)
        return values

    def value_of(self, env: int) -> NDArray[np.float64]:
        """
        :param env: index of an environment
        :return: (dim,) embedding of its episode so far
        :raises EmbeddingError: as :meth:`values`
        """
        mask = np.zeros(self.bound.n_envs, dtype=bool)
        mask[env] = True
        try:
            value = np.asarray(self.bound.value_of(env))
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", mask) from error
        if value.shape != (self.bound.dim,):
            raise self._error(f"returned shape {value.shape}; expected (dim,) = ({self.bound.dim},)", mask)
        if not np.isfinite(value).all():
            raise self._error(f"returned {value}; every entry must be finite", mask)
        return value

    def _error(self, what: str, mask: Mask) -> EmbeddingError:
        where = ", ".join(f"env {i}, episode {self.episodes[i]}" for i in np.flatnonzero(mask))
        return EmbeddingError(f"embedding {self.name} {what} (in {where})")
