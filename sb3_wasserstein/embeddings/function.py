"""An embedding of finished trajectories by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.embeddings.base import BoundEmbedding, Embedding
from sb3_wasserstein.embeddings.features import take
from sb3_wasserstein.embeddings.trajectory import Mask, Observations, Trajectory


class FunctionEmbedding(Embedding):
    """
    φ(τ) = ``function(trajectory)``, of a finished :class:`Trajectory` only. The function is not saved with a model.

    :param function: maps a Trajectory to a vector of length ``dim``
    :param dim: dimension of the embedding space
    :raises TypeError: if ``function`` cannot be called
    :raises ValueError: if ``dim`` < 1

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import FunctionEmbedding
        >>> duration = FunctionEmbedding(lambda trajectory: [len(trajectory)], dim=1)
        >>> Target.from_trajectories([[[0.0], [1.0], [4.0]]], duration).points
        array([[2.]])
    """

    has_prefixes = False

    def __init__(self, function: Callable[[Trajectory], Any], dim: int) -> None:
        if not callable(function):
            raise TypeError(f"function of a FunctionEmbedding must be callable with a Trajectory; got {function!r}")
        self.function = function
        self.dim = check_count("dim of a FunctionEmbedding", dim)

    @property
    def is_plain(self) -> bool:
        return False

    def arguments(self) -> dict[str, Any]:
        return {"function": getattr(self.function, "__qualname__", type(self.function).__name__), "dim": self.dim}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Embedding:
        raise ValueError(
            f"the embedding is a FunctionEmbedding of {arguments['function']}, and functions are not saved: "
            "pass embedding= with that function to load()"
        )

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        return _BoundFunction(self.function, self.dim, n_envs)


class _BoundFunction(BoundEmbedding):
    has_prefixes = False

    def __init__(self, function: Callable[[Trajectory], Any], dim: int, n_envs: int) -> None:
        super().__init__(dim, n_envs)
        self._function = function
        self._observations: list[list[Any]] = [[] for _ in range(n_envs)]
        self._actions: list[list[Any]] = [[] for _ in range(n_envs)]
        self._rewards: list[list[Any]] = [[] for _ in range(n_envs)]

    def reset(self, observations: Observations, mask: Mask) -> None:
        for i in np.flatnonzero(mask):
            self._observations[i] = [_copy(take(observations, i))]
            self._actions[i] = []
            self._rewards[i] = []

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        for i in np.flatnonzero(mask):
            self._observations[i].append(_copy(take(observations, i)))
            if actions is not None:
                self._actions[i].append(np.array(actions[i]))
            if rewards is not None:
                self._rewards[i].append(rewards[i])

    def value_of(self, env: int) -> NDArray[np.float64]:
        """:return: (dim,) the function's value for the episode of one environment"""
        observations = self._observations[env]
        stacked: Observations = (
            {key: np.stack([step[key] for step in observations]) for key in observations[0]}
            if isinstance(observations[0], dict)
            else np.stack(observations)
        )
        complete = len(self._actions[env]) == len(observations) - 1
        trajectory = Trajectory(
            stacked,
            np.asarray(self._actions[env]) if complete else None,
            np.asarray(self._rewards[env]) if len(self._rewards[env]) == len(observations) - 1 else None,
        )
        return np.asarray(self._function(trajectory), dtype=np.float64)

    def value(self) -> NDArray[np.float64]:
        return np.stack([self.value_of(env) for env in range(self.n_envs)])


def _copy(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.array(value) for key, value in observation.items()}
    return np.array(observation)
