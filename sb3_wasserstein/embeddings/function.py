"""An embedding of finished trajectories by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.embeddings.base import BoundEmbedding, Embedding, ScanError, of_shape
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations, batch_of_one, each, take
from sb3_wasserstein.embeddings.steps import Scan, Steps
from sb3_wasserstein.embeddings.trajectory import Trajectory


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
        # Of each environment's episode: stretches of (observations, actions, rewards).
        self._parts: list[list[tuple[Any, Any, Any]]] = [[] for _ in range(n_envs)]

    def reset(self, observations: Observations, mask: Mask) -> None:
        for env in np.flatnonzero(mask):
            self._parts[env] = [(batch_of_one(take(observations, env)), None, None)]

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        for env in np.flatnonzero(mask):
            step = [None if part is None else take(part, slice(env, env + 1)) for part in (observations, actions, rewards)]
            self._parts[env].append((step[0], step[1], step[2]))

    def value(self) -> Floats:
        return np.stack([self._value(env) for env in range(self.n_envs)])

    def scan(self, steps: Steps) -> Scan:
        finals = []
        for j, (env, begin, stop, begun) in enumerate(steps.ends.stretches):
            if begun is not None:
                self._parts[env] = [(batch_of_one(take(steps.first, begun)), None, None)]
            rows = (slice(begin, stop), env)
            actions, rewards = (None if part is None else part[rows] for part in (steps.actions, steps.rewards))
            self._parts[env].append((take(steps.observations, rows), actions, rewards))
            if j < steps.ends.count:
                try:
                    finals.append(self._value(env))
                except Exception as error:
                    raise ScanError(stop - 1, env) from error
        return Scan(None, np.zeros((0, self.dim)), np.array(finals) if finals else np.zeros((0, self.dim)))

    def _value(self, env: int) -> Floats:
        observations, actions, rewards = zip(*self._parts[env], strict=True)
        # The first part is the reset's observation, to which no action belongs.
        known_actions, known_rewards = (
            np.concatenate(parts[1:]) if len(parts) > 1 and all(part is not None for part in parts[1:]) else None
            for parts in (actions, rewards)
        )
        joined = each(lambda *parts: np.concatenate(parts), *observations)
        trajectory = Trajectory(joined, known_actions, known_rewards)
        return of_shape(self._function(trajectory), (self.dim,))
