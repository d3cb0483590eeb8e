"""What a vectorised environment returned, and what it looks like in the embedding space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.trajectory import Mask, Observations

#: observations, actions, rewards, dones, terminal, truncated: see :class:`Steps`
Step: TypeAlias = tuple[Observations, Any, list[float], list[bool], Mapping[int, Any], Sequence[int]]


class Steps(NamedTuple):
    """
    What a vectorised environment returned for T steps: T of each, and plain lists inside, which are cheap to make.

    :param observations: (n, ...) the reset's where an episode ended
    :param actions: (n, ...) the actions that the environments got
    :param rewards: n numbers, the environments' own
    :param dones: n booleans
    :param terminal: the terminal observation of each environment whose episode ended
    :param truncated: the environments whose episode ended by a time limit
    """

    observations: Sequence[Observations]
    actions: Sequence[Any]
    rewards: Sequence[list[float]]
    dones: Sequence[list[bool]]
    terminal: Sequence[Mapping[int, Any]]
    truncated: Sequence[Sequence[int]]


def not_finite(steps: Sequence[Step]) -> str | None:
    """
    :param steps: what the environments returned
    :return: the first NaN or infinity among it, in words, with environment and step; None if there is none
    """
    for time, (observations, _, rewards, _, terminal, _) in enumerate(steps, start=1):
        returned: list[tuple[str, int, Any]] = [("reward", env, reward) for env, reward in enumerate(rewards)]
        parts = observations.items() if isinstance(observations, dict) else [("", observations)]
        returned += [(f"observation {key}".strip(), env, row) for key, rows in parts for env, row in enumerate(rows)]
        returned += [("terminal observation", env, last) for env, last in terminal.items() if not isinstance(last, dict)]
        for what, env, value in returned:
            if not np.isfinite(np.asarray(value, dtype=np.float64)).all():
                return f"env {env} returned the {what} {value} at step {time} of the rollout"
    return None


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
        >>> from sb3_wasserstein.embeddings import Episode
        >>> episode = Episode(env=0, step=9, points=np.zeros((1, 4)), episode_return=10.0, length=10)
        >>> episode.points.shape
        (1, 4)
    """

    env: int
    step: int
    points: NDArray[np.float64]
    episode_return: float
    length: int


class Rollout(NamedTuple):
    """
    The embeddings of T steps of n environments; φ of a prefix is the embedding of an episode so far.

    :param after: (T, n, dim) φ after each step (a state's features for an occupancy), None without prefixes
    :param starts: (T, n) where φ before the step is not the one after the step before: at the rollout's begin, at
        an episode's begin
    :param start_values: (k, dim) φ before the step, at the k places of ``starts``, row by row
    :param ends: (T, n) where an episode (or a segment) ended
    :param terminated: (T, n) where it ended by itself
    :param lengths: (T, n) number of steps of the episode after this one
    :param episodes: the finished ones, in the order of their ends

    Example:
        >>> from sb3_wasserstein import DualCallback
        >>> from stable_baselines3 import PPO
        >>> behaviour = DualCallback("final_state")
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0).learn(64, behaviour)
        >>> behaviour.rollout.after.shape, len(behaviour.rollout.episodes) == int(behaviour.rollout.ends.sum())
        ((64, 1, 4), True)
    """

    after: NDArray[np.float64] | None
    starts: Mask
    start_values: NDArray[np.float64]
    ends: Mask
    terminated: Mask
    lengths: NDArray[np.int64]
    episodes: list[Episode]
