"""What a rollout looks like in the embedding space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.observations import Floats, Mask


@dataclass(frozen=True)
class Episode:
    """
    A finished episode.

    :param env: index of its environment
    :param step: the rollout's step at which it ended
    :param points: (m, dim) its embedding (m = 1), or a sample of its states, each of equal weight
    :param episode_return: sum of its rewards
    :param length: number of its steps
    :param number: that no other episode of the training has

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.recording import Episode
        >>> episode = Episode(env=0, step=9, points=np.zeros((1, 4)), episode_return=10.0, length=10)
        >>> episode.points.shape
        (1, 4)
    """

    env: int
    step: int
    points: Floats
    episode_return: float
    length: int
    number: int = -1


@dataclass(frozen=True)
class Rollout:
    """
    The embeddings of T steps of n environments; φ of a prefix is the embedding of an episode so far.

    :param after: (T, n, dim) φ after each step (a state's features for an occupancy), None without prefixes
    :param start_values: (m, dim) φ before the step, at the m places of ``starts``, row by row
    :param ends: (T, n) where an episode (or a segment) ended
    :param lengths: (T, n) number of steps of the episode after each step
    :param terminated: (T, n) where an episode ended by itself
    :param truncated: (T, n) where an episode was ended by a time limit
    :param numbers: (T, n) number of the episode that each step belongs to
    :param known: (T, n) False where the episode ran before it was recorded: its embedding, length and return are not its own,
        and ``episodes`` does not have it
    :param episodes: the finished ones, in the order of their ends

    Example:
        >>> from sb3_wasserstein import DualCallback
        >>> from stable_baselines3 import PPO
        >>> behaviour = DualCallback("final_state")
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0).learn(64, behaviour)
        >>> behaviour.rollout.after.shape, len(behaviour.rollout.episodes) == int(behaviour.rollout.ends.sum())
        ((64, 1, 4), True)
    """

    after: Floats | None
    start_values: Floats
    ends: Mask
    lengths: NDArray[np.int64]
    terminated: Mask
    truncated: Mask
    numbers: NDArray[np.int64]
    known: Mask
    episodes: list[Episode]

    @property
    def starts(self) -> Mask:
        """(T, n) where φ before the step is not the one after the step before: at the rollout's, at an episode's begin."""
        starts = np.ones_like(self.ends)
        starts[1:] = self.ends[:-1]
        return starts

    @property
    def has_truncated(self) -> bool:
        """Whether a time limit ended an episode."""
        return bool(self.truncated.any())
