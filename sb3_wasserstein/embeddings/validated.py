"""A bound embedding whose values are checked: what a user's embedding gets wrong is said with environment and episode."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein._threads import sum_of_squares
from sb3_wasserstein.embeddings.base import BoundEmbedding, Scanning
from sb3_wasserstein.embeddings.features import copied, put, take
from sb3_wasserstein.embeddings.running import Ends
from sb3_wasserstein.embeddings.trajectory import Mask, Observations
from sb3_wasserstein.means import RunningMeans

if TYPE_CHECKING:
    from sb3_wasserstein.recording.steps import Steps


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


class CheckedEmbedding:
    """
    Every embedding, built-in or not, goes through here, under the wrapper as well as under the recorder.

    :param bound: a fresh bound embedding; a user's own needs ``dim``, ``has_prefixes``, ``reset``, ``update`` and ``value``
    :param name: the embedding's name, for messages
    :param n_envs: number of parallel environments
    """

    def __init__(self, bound: BoundEmbedding, name: str, n_envs: int = 1) -> None:
        self.bound = bound
        self.n_envs = n_envs
        self.name = name
        self.has_prefixes = bound.has_prefixes
        self._scan = bound.scan if isinstance(bound, Scanning) else None
        #: whether it follows a rollout at once, from the observations alone (:class:`Scanning`)
        self.scans = self._scan is not None
        #: number of episodes begun in each environment, for messages
        self.episodes = np.zeros(n_envs, dtype=np.int64)

    @property
    def means(self) -> RunningMeans | None:
        """What the last scan's values are means of, where they are means of few points."""
        # A user's own embedding may call something else by that name.
        means = getattr(self.bound, "means", None)
        return means if isinstance(means, RunningMeans) else None

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
        everywhere = np.ones(self.n_envs, dtype=bool)
        try:
            self.bound.update(observations, actions, rewards, everywhere)
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", everywhere) from error

    def values(self) -> NDArray[np.float64]:
        """
        :return: (n_envs, dim) embedding of each episode so far
        :raises EmbeddingError: if the embedding raises, returns NaN or infinity, or another shape than (n_envs, dim)
        """
        everywhere = np.ones(self.n_envs, dtype=bool)
        try:
            values = np.asarray(self.bound.value())
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", everywhere) from error
        expected = (self.n_envs, self.bound.dim)
        if values.shape != expected:
            raise self._error(f"returned shape {values.shape}; expected (n_envs, dim) = {expected}", everywhere)
        if not np.isfinite(values).all():
            bad: Mask = np.logical_not(np.isfinite(values).all(axis=1))
            raise self._error(f"returned {values[np.argmax(bad)]}; every entry must be finite", bad)
        return values

    def scan(
        self, steps: Steps, observations: Observations, resets: Observations, ends: Ends
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64], NDArray[np.float64]]:
        """
        Follow a whole rollout.

        :param steps: T steps; what follows is taken from them
        :param observations: (T, n_envs, ...) after each step, terminal ones at the ends
        :param resets: (k, ...) the first observation of each new episode
        :param ends: where episodes end
        :return: (T, n_envs, dim) values after each step, None without prefixes; (k, dim) values at each new episode's
            begin; (k, dim) values of the episodes that ended
        :raises EmbeddingError: as :meth:`values`
        """
        if self._scan is None:
            return self._step_by_step(steps, observations, resets, ends)
        try:
            after, fresh = self._scan(observations, resets, ends)
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", np.ones(self.n_envs, dtype=bool)) from error
        # Means of points that it keeps are as finite as these.
        if self.means is None and not (_is_finite(after) and (not ends.count or _is_finite(fresh))):
            self._refuse(after, ends)
        if not ends.count:
            return after, fresh, fresh
        for _, env in ends.places:
            self.episodes[env] += 1
        return after, fresh, after[ends.mask]

    def _refuse(self, after: NDArray[np.float64], ends: Ends) -> NoReturn:
        bad = ~np.isfinite(after).all(axis=2)
        time, env = np.argwhere(bad)[0] if bad.any() else (len(after), ends.places[0][1])
        self.episodes[env] += np.count_nonzero(ends.mask[:time, env])
        mask = np.arange(self.n_envs) == env
        raise self._error("returned NaN or infinity; every entry must be finite: is the observation?", mask)

    def _step_by_step(
        self, steps: Steps, observations: Observations, resets: Observations, ends: Ends
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64], NDArray[np.float64]]:
        after, fresh, finals, n_begun = [], [], [], 0
        for time, (actions, rewards) in enumerate(zip(steps.actions, steps.rewards, strict=True)):
            self.step(take(observations, time), actions, np.array(rewards))
            if self.has_prefixes:
                after.append(self.values())
            ended = ends.mask[time]
            if not ended.any():
                continue
            finals += [after[-1][env] if self.has_prefixes else self.value_of(int(env)) for env in np.flatnonzero(ended)]
            begun = copied(take(observations, time))
            for env in np.flatnonzero(ended):
                put(begun, (int(env),), take(resets, n_begun))
                n_begun += 1
            self.start(begun, ended)
            if self.has_prefixes:
                fresh += list(self.values()[ended])
        none = np.zeros((0, self.bound.dim))
        return (
            np.stack(after) if self.has_prefixes else None,
            np.stack(fresh) if fresh else none,
            np.stack(finals) if finals else none,
        )

    def value_of(self, env: int) -> NDArray[np.float64]:
        """
        :param env: index of an environment
        :return: (dim,) embedding of its episode so far
        :raises EmbeddingError: as :meth:`values`
        """
        mask = np.zeros(self.n_envs, dtype=bool)
        mask[env] = True
        try:
            value = np.asarray(self.bound.value_of(env) if hasattr(self.bound, "value_of") else self.bound.value()[env])
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


def _is_finite(values: NDArray[np.float64]) -> bool:
    """Whether every entry is finite: one product says so unless squares overflow."""
    return math.isfinite(sum_of_squares(values)) or bool(np.isfinite(values).all())
