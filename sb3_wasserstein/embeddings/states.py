"""Embeddings that summarise the sequence of states: the last, the mean, the path, and each of them."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.embeddings.base import BoundEmbedding, Embedding, FeatureEmbedding
from sb3_wasserstein.embeddings.features import Features, FeatureSpec, scan_features
from sb3_wasserstein.embeddings.running import Ends
from sb3_wasserstein.embeddings.trajectory import Mask, Observations

#: what a terminal state is after the episode: repeated, repeated and discounted, or nothing
ENDS = ("hold", "absorb", "ignore")
Scan = tuple[NDArray[np.float64], NDArray[np.float64]]


class FinalState(FeatureEmbedding):
    """
    φ(τ) = the features of the last observation, (dim,). See :class:`FeatureEmbedding` for ``features``.

    :param features: see :class:`FeatureEmbedding`

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import FinalState
        >>> Target.from_trajectories([[[0.0, 0.0], [1.0, 2.0]]], FinalState(features=[1])).points
        array([[2.]])
    """

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        return _BoundFinalState(self.feature_map(observation_space), n_envs)


class _BoundFinalState(BoundEmbedding):
    def __init__(self, features: Features, n_envs: int) -> None:
        super().__init__(features.dim, n_envs)
        self._features = features
        self._last = np.zeros((n_envs, self.dim))

    def reset(self, observations: Observations, mask: Mask) -> None:
        self.update(observations, None, None, mask)

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        self._last[mask] = self._features(observations)[mask]

    def value(self) -> NDArray[np.float64]:
        return self._last.copy()

    def scan(self, observations: Observations, resets: Observations, ends: Ends) -> Scan:
        after, fresh = scan_features(self._features, observations, resets, ends)
        self._last = after[-1].copy()
        if ends.count:
            self._last[ends.mask[-1]] = fresh[ends.count - ends.count_last :]
        return after, fresh


class MeanState(FeatureEmbedding):
    """
    φ(τ) = the mean of the features over all T + 1 observations, (dim,).

    On a Discrete space this is the visit frequency of S1 §4.1. See :class:`FeatureEmbedding` for ``features``.

    :param features: see :class:`FeatureEmbedding`

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import MeanState
        >>> Target.from_trajectories([[[0.0, 0.0], [1.0, 2.0]]], MeanState()).points
        array([[0.5, 1. ]])
    """

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        return _BoundMeanState(self.feature_map(observation_space), n_envs)


class _BoundMeanState(BoundEmbedding):
    def __init__(self, features: Features, n_envs: int) -> None:
        super().__init__(features.dim, n_envs)
        self._features = features
        self._sum = np.zeros((n_envs, self.dim))
        self._count = np.ones((n_envs, 1))

    def reset(self, observations: Observations, mask: Mask) -> None:
        self._sum[mask] = self._features(observations)[mask]
        self._count[mask] = 1.0

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        self._sum[mask] += self._features(observations)[mask]
        self._count[mask] += 1.0

    def value(self) -> NDArray[np.float64]:
        return self._sum / self._count

    def scan(self, observations: Observations, resets: Observations, ends: Ends) -> Scan:
        after, fresh = scan_features(self._features, observations, resets, ends)
        means, self._sum, self._count = ends.running_means(after, fresh, self._sum, self._count)
        return means, fresh


class Path(FeatureEmbedding):
    """
    φ(τ) = the features at ``n_points`` equally spaced times of the episode so far, linearly interpolated, one after the
    other: (n_points · d,).

    :param n_points: at least 2; the first is the reset's observation, the last the current one
    :param features: see :class:`FeatureEmbedding`
    :raises ValueError: if ``n_points`` < 2

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import Path
        >>> Target.from_trajectories([[[0.0], [1.0], [4.0]]], Path(n_points=5)).points
        array([[0. , 0.5, 1. , 2.5, 4. ]])
    """

    def __init__(self, n_points: int = 5, features: FeatureSpec = None) -> None:
        super().__init__(features)
        self.n_points = check_count("n_points of a Path", n_points, 2)

    def arguments(self) -> dict[str, Any]:
        return {"n_points": self.n_points, **super().arguments()}

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        return _BoundPath(self.feature_map(observation_space), n_envs, self.n_points)


class _BoundPath(BoundEmbedding):
    def __init__(self, features: Features, n_envs: int, n_points: int) -> None:
        super().__init__(n_points * features.dim, n_envs)
        self._features = features
        self._fractions = np.linspace(0.0, 1.0, n_points)
        self._history = np.zeros((64, n_envs, features.dim))
        self._last = np.zeros(n_envs, dtype=np.intp)
        self._envs = np.arange(n_envs)[:, None]

    def reset(self, observations: Observations, mask: Mask) -> None:
        self._history[0, mask] = self._features(observations)[mask]
        self._last[mask] = 0

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        self._last[mask] += 1
        if self._last.max() >= len(self._history):
            self._history = np.concatenate([self._history, np.zeros_like(self._history)])
        self._history[self._last[mask], np.flatnonzero(mask)] = self._features(observations)[mask]

    def value(self) -> NDArray[np.float64]:
        times = self._last[:, None] * self._fractions
        # At the end of the path the right neighbour is the point itself: its weight is zero there.
        left = np.minimum(times.astype(np.intp), np.maximum(self._last - 1, 0)[:, None])
        right = np.minimum(left + 1, self._last[:, None])
        weight = (times - left)[..., None]
        points: NDArray[np.float64] = (1.0 - weight) * self._history[left, self._envs] + weight * self._history[
            right, self._envs
        ]
        return points.reshape((self.n_envs, self.dim))

    def scan(self, observations: Observations, resets: Observations, ends: Ends) -> Scan:
        after, fresh = scan_features(self._features, observations, resets, ends)
        lengths = ends.lengths
        values = np.empty((*lengths.shape, self.dim))
        order = np.cumsum(ends.mask.ravel()).reshape(lengths.shape) - 1
        for env in range(self.n_envs):
            steps = np.flatnonzero(ends.mask[:, env])
            known = self._history[: self._last[env] + 1, env]
            begun = fresh[order[steps, env]]
            states = np.concatenate([known, np.insert(after[:, env], steps + 1, begun, axis=0)])
            # A new episode's first state stands behind each end.
            place = len(known) + np.arange(len(lengths)) + np.cumsum(np.concatenate([[0], ends.mask[:-1, env]]))
            values[:, env] = self._interpolated(states, place, lengths[:, env])
            running = 0 if ends.mask[-1, env] else int(lengths[-1, env])
            while running >= len(self._history):
                self._history = np.concatenate([self._history, np.zeros_like(self._history)])
            self._history[: running + 1, env] = states[len(states) - running - 1 :]
            self._last[env] = running
        return values, np.repeat(fresh[:, None], len(self._fractions), axis=1).reshape(len(fresh), self.dim)

    def _interpolated(self, states: NDArray[np.float64], place: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.float64]:
        times = lengths[:, None] * self._fractions
        left = np.minimum(times.astype(np.intp), np.maximum(lengths - 1, 0)[:, None])
        right = np.minimum(left + 1, lengths[:, None])
        weight = (times - left)[..., None]
        first = (place - lengths)[:, None]
        points: NDArray[np.float64] = (1.0 - weight) * states[first + left] + weight * states[first + right]
        return points.reshape((len(lengths), self.dim))


class StateOccupancy(FeatureEmbedding):
    """
    Each state is a sample (S1 §4.2, "the position of the agent along the trajectory"): the law is the occupancy measure,
    the potential lives on the state space, and credit lands step by step.

    The value while an episode runs is the current state's features, (dim,).

    :param features: see :class:`FeatureEmbedding`
    :param after_termination: "hold" repeats the terminal state up to the horizon, so that an early end is neither a bonus
        nor a malus in itself: the bonus of every step that it stands for comes at once, undiscounted, and the sum over the
        episode is λ · mean h. "absorb" repeats it in the law as "hold" does, and discounts that bonus by γ: the return is that
        of an agent who stays in the terminal state (absorbing states: Kostrikov 2019, "Discriminator-Actor-Critic"). Where a
        policy can end its episodes and γ sees less than the horizon, "hold" pays an end up to (1 − γ) · horizon times what
        staying is worth, for better or worse. "ignore" counts the visited states only
    :param horizon: number of steps of a full episode; None takes the environment's time limit
    :raises ValueError: if ``after_termination`` is unknown or ``horizon`` < 1

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import StateOccupancy
        >>> Target.from_trajectories([[[0.0], [1.0], [4.0]]], StateOccupancy(horizon=2)).points.ravel()
        array([0., 1., 4.])
    """

    samples_states = True

    def __init__(self, features: FeatureSpec = None, after_termination: str = "hold", horizon: int | None = None) -> None:
        super().__init__(features)
        if after_termination not in ENDS:
            raise ValueError(f"after_termination must be one of {', '.join(ENDS)}; got {after_termination!r}")
        self.after_termination = after_termination
        self.horizon = None if horizon is None else check_count("horizon of a StateOccupancy", horizon)

    @property
    def holds(self) -> bool:
        """Whether a terminal state stands for the steps that are left to the horizon."""
        return self.after_termination != "ignore"

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "after_termination": self.after_termination, "horizon": self.horizon}

    def with_time_limit(self, max_episode_steps: int | None) -> Embedding:
        if self.horizon is not None or max_episode_steps is None:
            return self
        return StateOccupancy(self.features, self.after_termination, max_episode_steps)

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        if self.holds and self.horizon is None:
            raise ValueError(
                f'StateOccupancy(after_termination="{self.after_termination}") needs horizon=: the environment has no time '
                "limit to take it from"
            )
        return _BoundFinalState(self.feature_map(observation_space), n_envs)

    def times(self, length: int, terminated: bool, n_samples: int, offset: float) -> NDArray[np.intp]:
        """
        Equally spaced indices into the T + 1 states of an episode: a bounded sample of its occupancy, each of equal weight.

        :param length: number of steps T
        :param terminated: whether the episode ended by itself; only then is its last state held
        :param n_samples: upper bound of the number of indices
        :param offset: in [0, 1), where in its stratum each sample lies
        :return: indices in 0 … T
        """
        total = max(length, self.horizon or 0) + 1 if terminated and self.holds else length + 1
        n = min(n_samples, total)
        return np.minimum(((np.arange(n) + offset) * total / n).astype(np.intp), length)
