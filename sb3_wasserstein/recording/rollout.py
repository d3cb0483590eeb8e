"""What a rollout looks like in the embedding space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.running import Ends
from sb3_wasserstein.embeddings.trajectory import Mask
from sb3_wasserstein.means import RunningMeans


@dataclass(frozen=True)
class Episode:
    """
    A finished episode.

    :param env: index of its environment
    :param step: the rollout's step at which it ended
    :param points: (m, dim) its embedding (m = 1), or a sample of its states, each of equal weight
    :param episode_return: sum of its rewards
    :param length: number of its steps

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.recording import Episode
        >>> episode = Episode(env=0, step=9, points=np.zeros((1, 4)), episode_return=10.0, length=10)
        >>> episode.points.shape
        (1, 4)
    """

    env: int
    step: int
    points: NDArray[np.float64]
    episode_return: float
    length: int


class Rollout:
    """
    The embeddings of T steps of n environments; φ of a prefix is the embedding of an episode so far.

    :param after: (T, n, dim) φ after each step (a state's features for an occupancy), None without prefixes
    :param start_values: (k, dim) φ before the step, at the k places of ``starts``, row by row
    :param places: where an episode (or a segment) ended
    :param terminated: (T, n) where it ended by itself
    :param episodes: the finished ones, in the order of their ends
    :param means: what ``after`` are means of, where they are means of few points

    Example:
        >>> from sb3_wasserstein import DualCallback
        >>> from stable_baselines3 import PPO
        >>> behaviour = DualCallback("final_state")
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0).learn(64, behaviour)
        >>> behaviour.rollout.after.shape, len(behaviour.rollout.episodes) == int(behaviour.rollout.ends.sum())
        ((64, 1, 4), True)
    """

    def __init__(
        self,
        after: NDArray[np.float64] | None,
        start_values: NDArray[np.float64],
        places: Ends,
        terminated: Mask,
        episodes: list[Episode],
        means: RunningMeans | None = None,
    ) -> None:
        self.after = after
        self.start_values = start_values
        #: (T, n) where an episode (or a segment) ended
        self.ends = places.mask
        self.terminated = terminated
        self.episodes = episodes
        self.means = means
        self._places = places

    @property
    def starts(self) -> Mask:
        """(T, n) where φ before the step is not the one after the step before: at the rollout's, at an episode's begin."""
        return self._places.starts

    @property
    def has_truncated(self) -> bool:
        """Whether an episode ended by a time limit."""
        return self.terminated is not self.ends and bool(np.any(self.ends & ~self.terminated))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(T, n) number of steps of the episode after this one."""
        return self._places.lengths
