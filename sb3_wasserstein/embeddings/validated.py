"""A bound embedding whose values are checked: what a user's embedding gets wrong is said with environment and episode."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from sb3_wasserstein.embeddings.base import BoundEmbedding, ScanError
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations
from sb3_wasserstein.embeddings.steps import Scan, Steps


class EmbeddingError(ValueError):
    """
    An embedding failed on an episode; the message names the environment and the episode.

    Example:
        >>> from sb3_wasserstein import collect_embeddings, WassersteinPPO
        >>> from sb3_wasserstein.embeddings import EmbeddingError, FunctionEmbedding
        >>> model = WassersteinPPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32)
        >>> try:
        ...     collect_embeddings(model, model.get_env(), FunctionEmbedding(lambda trajectory: [float("nan")], dim=1))
        ... except EmbeddingError as error:
        ...     print("every entry must be finite" in str(error))
        True
    """


class ValidatedEmbedding:
    """
    Every embedding, built-in or not, goes through here, under the wrapper as well as under the recorder.

    :param bound: a new bound embedding; a user's own needs ``dim``, ``has_prefixes``, ``reset``, ``update`` and ``value``
    :param name: the embedding's name, for messages
    :param n_envs: number of parallel environments
    """

    def __init__(self, bound: BoundEmbedding, name: str, n_envs: int = 1) -> None:
        self.bound = bound
        self.n_envs = n_envs
        self.name = name
        self.dim = bound.dim
        self.has_prefixes = bound.has_prefixes
        #: (n_envs,) number of episodes begun in each environment, for messages
        self.episodes = np.zeros(n_envs, dtype=np.int64)

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
            raise self._raised(error, np.flatnonzero(mask)) from error

    def step(self, observations: Observations, actions: Any, rewards: Any) -> None:
        """
        Add one step of every environment.

        :param observations: (n_envs, ...) after the step; at an episode's end the terminal one
        :param actions: (n_envs, ...) or None
        :param rewards: (n_envs,) or None
        :raises EmbeddingError: if the embedding raises
        """
        try:
            self.bound.update(observations, actions, rewards, np.ones(self.n_envs, dtype=bool))
        except Exception as error:
            raise self._raised(error, range(self.n_envs)) from error

    def values(self) -> Floats:
        """
        :return: (n_envs, dim) embedding of each episode so far
        :raises EmbeddingError: if the embedding raises, returns NaN or infinity, or another shape than (n_envs, dim)
        """
        try:
            values = np.asarray(self.bound.value())
        except Exception as error:
            raise self._raised(error, range(self.n_envs)) from error
        self._check(values[None], np.zeros((1, self.n_envs), dtype=bool))
        return values

    def scan(self, steps: Steps) -> Scan:
        """
        Follow T steps at once.

        :param steps: what the environments returned
        :return: their embeddings
        :raises EmbeddingError: as :meth:`values`; the message names environment and episode
        """
        ends = steps.ends
        # A user's own embedding may have no base class.
        scan = getattr(self.bound, "scan", None) or partial(BoundEmbedding.scan, self.bound)
        try:
            found = scan(steps)
        except ScanError as error:
            self.episodes += ends.mask[: error.time].sum(axis=0)
            assert isinstance(error.__cause__, Exception)
            raise self._raised(error.__cause__, range(self.n_envs) if error.env is None else [error.env]) from error.__cause__
        except Exception as error:
            raise self._raised(error, range(self.n_envs)) from error
        if not self.has_prefixes:
            found = Scan(None, found.first[:0], found.finals)
        if found.after is not None:
            self._check(found.after, ends.mask)
        if ends.count:
            if found.after is not None:
                self._check(found.first, ends.mask, ends.places)
            self._check(found.finals, ends.mask, ends.places)
        self.episodes += ends.mask.sum(axis=0)
        return found

    def _check(self, values: Floats, ends: Mask, places: list[tuple[int, int]] | None = None) -> None:
        """Check (T, n_envs, dim) values, or (k, dim) at k places, of steps of which some end episodes."""
        expected = (*ends.shape, self.dim) if places is None else (len(places), self.dim)
        if values.shape != expected:
            names = "(n_envs, dim)" if places is None else "(dim,)"
            raise self._error(f"returned shape {values.shape[1:]}; expected {names} = {expected[1:]}", range(self.n_envs))
        if not np.isfinite(values).all():
            rows = values.reshape(-1, self.dim)
            j = int(np.argmin(np.isfinite(rows).all(axis=1)))
            time, env = divmod(j, self.n_envs) if places is None else places[j]
            self.episodes += ends[:time].sum(axis=0)
            raise self._error(f"returned {rows[j]}; every entry must be finite: is the observation?", [env])

    def _raised(self, error: Exception, envs: Iterable[int]) -> EmbeddingError:
        return self._error(f"raised {type(error).__name__}: {error}", envs)

    def _error(self, what: str, envs: Iterable[int]) -> EmbeddingError:
        where = ", ".join(f"env {env}, episode {self.episodes[env]}" for env in envs)
        return EmbeddingError(f"embedding {self.name} {what} (in {where})")
