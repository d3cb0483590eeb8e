"""Embeddings that summarise the sequence of states: the last, the mean, the path, and each of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_choice, check_count
from sb3_wasserstein.embeddings.base import BoundEmbedding, FeatureEmbedding
from sb3_wasserstein.embeddings.features import FeatureSpec
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations, merge_axes, take
from sb3_wasserstein.embeddings.scaling import ScaledFeatures, Scaling, check_scaling
from sb3_wasserstein.embeddings.steps import Scan, Steps

#: (m,) indices of environments
Envs = NDArray[np.intp]


class BoundStates(BoundEmbedding):
    """
    An embedding that reads each observation as a point and follows the points of each episode.

    :param read: maps observations (m, ...) to points (m, d)
    :param dim: dimension of the embedding space
    :param n_envs: number of parallel environments
    """

    def __init__(self, read: Callable[[Observations], Floats], dim: int, n_envs: int) -> None:
        super().__init__(dim, n_envs)
        self._read = read
        self._value = np.zeros((n_envs, dim))

    @abstractmethod
    def _start(self, envs: Envs, points: Floats) -> Floats:
        """Begin episodes in m environments at (m, d) points. :return: (m, dim) their values"""

    @abstractmethod
    def _follow(self, envs: Envs, points: Floats) -> Floats:
        """Go on with m episodes through (t, m, d) points. :return: (t, m, dim) their values at each; ``points`` may be lost"""

    def reset(self, observations: Observations, mask: Mask) -> None:
        self._value[mask] = self._start(np.flatnonzero(mask), self._read(take(observations, mask)))

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        self._value[mask] = self._follow(np.flatnonzero(mask), self._read(take(observations, mask))[None])[0]

    def value(self) -> Floats:
        return self._value.copy()

    def scan(self, steps: Steps) -> Scan:
        mask, everywhere = steps.ends.mask, np.arange(self.n_envs)
        points = self._read(merge_axes(steps.observations)).reshape(*mask.shape, -1)
        begins = self._read(steps.first) if steps.ends.count else points[:0, 0]
        after, first = np.empty((*mask.shape, self.dim)), np.empty((len(begins), self.dim))
        begin, done = 0, 0
        # From one step with an end to the next: in between, all episodes go on.
        for stop in sorted({*(time + 1 for time, _ in steps.ends.places), len(mask)}):
            after[begin:stop] = self._follow(everywhere, points[begin:stop])
            self._value = after[stop - 1].copy()
            envs = np.flatnonzero(mask[stop - 1])
            if len(envs):
                new = slice(done, done + len(envs))
                first[new] = self._value[envs] = self._start(envs, begins[new])
            begin, done = stop, done + len(envs)
        return Scan(after, first, after[mask])


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
        features = self.feature_map(observation_space)
        return _BoundFinalState(features, features.dim, n_envs)


class _BoundFinalState(BoundStates):
    def _start(self, envs: Envs, points: Floats) -> Floats:
        return points

    def _follow(self, envs: Envs, points: Floats) -> Floats:
        return points


class MeanState(FeatureEmbedding):
    """
    φ(τ) = the mean of the features over all T + 1 observations, (dim,).

    On a Discrete space this is the visit frequency of Abdullah et al. 2018, section 4.1.

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
        features = self.feature_map(observation_space)
        return BoundMean(features, features.dim, n_envs)


class BoundMean(BoundStates):
    """
    The mean of an episode's points.

    :param read: maps observations (m, ...) to points (m, dim)
    :param dim: dimension of the points
    :param n_envs: number of parallel environments
    """

    def __init__(self, read: Callable[[Observations], Floats], dim: int, n_envs: int) -> None:
        super().__init__(read, dim, n_envs)
        self._sum = np.zeros((n_envs, dim))
        self._count = np.zeros((n_envs, 1), dtype=np.int64)

    def _start(self, envs: Envs, points: Floats) -> Floats:
        self._sum[envs], self._count[envs] = points, 1
        return points

    def _follow(self, envs: Envs, points: Floats) -> Floats:
        # In the order of the steps, wherever rollouts are cut: the last bits are those of adding step by step.
        points[0] += self._sum[envs]
        np.cumsum(points, axis=0, out=points)
        counts = self._count[envs] + np.arange(1, len(points) + 1)[:, None, None]
        self._sum[envs], self._count[envs] = points[-1], counts[-1]
        points /= counts
        return points


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

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        features = self.feature_map(observation_space)
        return _BoundPath(features, features.dim, n_envs, self.n_points)


class _BoundPath(BoundStates):
    def __init__(self, read: Callable[[Observations], Floats], width: int, n_envs: int, n_points: int) -> None:
        super().__init__(read, n_points * width, n_envs)
        self._fractions = np.linspace(0.0, 1.0, n_points)
        # (n_envs, …, width) of each episode its points so far; the memory behind them doubles, as a list's does.
        self._points = np.zeros((n_envs, 1, width))
        self._length = np.zeros(n_envs, dtype=np.intp)

    def _start(self, envs: Envs, points: Floats) -> Floats:
        self._points[envs, 0], self._length[envs] = points, 0
        return np.tile(points, len(self._fractions))

    def _follow(self, envs: Envs, points: Floats) -> Floats:
        lengths = self._length[envs] + np.arange(1, len(points) + 1)[:, None]
        self._length[envs] = lengths[-1]
        missing = int(lengths.max()) + 1 - self._points.shape[1]
        if missing > 0:
            grown = np.zeros((self.n_envs, max(missing, self._points.shape[1]), self._points.shape[2]))
            self._points = np.concatenate([self._points, grown], axis=1)
        self._points[envs, lengths] = points
        times = lengths[..., None] * self._fractions
        # At the end of the path the right neighbour is the point itself: its weight is zero there.
        left = np.minimum(times.astype(np.intp), lengths[..., None] - 1)
        weight = (times - left)[..., None]
        rows = envs[:, None]
        values: Floats = (1.0 - weight) * self._points[rows, left] + weight * self._points[rows, left + 1]
        return values.reshape(*lengths.shape, self.dim)


class StateOccupancy(FeatureEmbedding):
    """
    Each state is a sample (Abdullah et al. 2018, section 4.2: "the position of the agent along the trajectory"): the law is
    the occupancy measure, the potential lives on the state space, and credit lands step by step.

    The value while an episode runs is the current state's features, (dim,).

    :param features: see :class:`FeatureEmbedding`
    :param after_termination: "hold" repeats the terminal state up to the horizon, so that an early end is neither a bonus
        nor a malus in itself: the bonus of every step that it stands for comes at once, undiscounted, and the sum over the
        episode is λ · mean h. "absorb" repeats it in the law as "hold" does, and discounts that bonus by γ: the return is that
        of an agent who stays in the terminal state (absorbing states: Kostrikov 2019, "Discriminator-Actor-Critic"). Where a
        policy can end its episodes and γ sees less than the horizon, "hold" pays an end up to (1 − γ) · horizon times what
        staying is worth, for better or worse. "ignore" counts the visited states only
    :param horizon: number of steps of a full episode; None takes the environment's time limit, or the longest episode so far
        where there is none
    :param states_per_episode: upper bound of the states that are kept of an episode, at equal distances in time
    :param scaling: how the features are scaled and compressed before distances compare them; None leaves them as they are
    :raises ValueError: if ``after_termination`` is unknown, or ``horizon`` or ``states_per_episode`` < 1
    :raises TypeError: if ``scaling`` is no Scaling

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import StateOccupancy
        >>> Target.from_trajectories([[[0.0], [1.0], [4.0]]], StateOccupancy(horizon=2)).points.ravel()
        array([0., 1., 4.])
    """

    samples_states = True

    def __init__(
        self,
        features: FeatureSpec = None,
        after_termination: str = "hold",
        horizon: int | None = None,
        states_per_episode: int = 64,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__(features)
        self.scaling = check_scaling(scaling)
        self.after_termination = check_choice("after_termination", after_termination, ("hold", "absorb", "ignore"))
        self.horizon = self._given_horizon = None if horizon is None else check_count("horizon of a StateOccupancy", horizon)
        self.states_per_episode = check_count("states_per_episode of a StateOccupancy", states_per_episode)

    def arguments(self) -> dict[str, Any]:
        scaling = None if self.scaling is None else self.scaling.config()
        return {**super().arguments(), "horizon": self._given_horizon, "scaling": scaling}

    def __repr__(self) -> str:
        shown = {**self.arguments(), "scaling": self.scaling}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in shown.items())})"

    def scaled_features(self, observation_space: spaces.Space[Any]) -> tuple[Callable[[Observations], Floats], int]:
        """:return: the map from observations of this space to (m, d) scaled features, and d"""
        features = self.feature_map(observation_space)
        return features if self.scaling is None else ScaledFeatures(features, self.scaling), features.dim

    def states_of(self, points: Floats) -> Floats:
        """:param points: (..., dim) of this law. :return: (..., d) the features of the states there, not compressed"""
        return points if self.scaling is None else self.scaling.expanded(points)

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        features, dim = self.scaled_features(observation_space)
        return _BoundFinalState(features, dim, n_envs)


class TransitionOccupancy(StateOccupancy):
    """
    Each transition (s, s') is a sample, as the features of s' and their change from s to s', (2 d,): two behaviours that visit
    the same states in another direction differ. The first state of an episode counts as one that has not changed.

    Arguments are those of :class:`StateOccupancy`.

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import TransitionOccupancy
        >>> Target.from_trajectories([[[0.0], [1.0], [4.0]]], TransitionOccupancy(horizon=2)).points
        array([[0., 0.],
               [1., 1.],
               [4., 3.]])
    """

    def states_of(self, points: Floats) -> Floats:
        return super().states_of(points[..., : points.shape[-1] // 2])

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        features, dim = self.scaled_features(observation_space)
        return _BoundTransition(features, 2 * dim, n_envs)


class _BoundTransition(BoundStates):
    def __init__(self, read: Callable[[Observations], Floats], dim: int, n_envs: int) -> None:
        super().__init__(read, dim, n_envs)
        self._before = np.zeros((n_envs, dim // 2))

    def _start(self, envs: Envs, points: Floats) -> Floats:
        self._before[envs] = points
        return np.concatenate([points, np.zeros_like(points)], axis=-1)

    def _follow(self, envs: Envs, points: Floats) -> Floats:
        change = np.diff(points, axis=0, prepend=self._before[envs][None])
        self._before[envs] = points[-1]
        return np.concatenate([points, change], axis=-1)
