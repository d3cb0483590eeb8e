"""Embeddings of trajectories that were recorded elsewhere, without an environment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.features import batch_of_one, take
from sb3_wasserstein.embeddings.states import StateOccupancy
from sb3_wasserstein.embeddings.trajectory import Observations, Trajectory
from sb3_wasserstein.embeddings.validated import CheckedEmbedding, EmbeddingError
from sb3_wasserstein.embeddings.visits import VisitHistogram


def embed_trajectories(
    trajectories: Sequence[Trajectory],
    embedding: Embedding,
    observation_space: spaces.Space[Any] | None = None,
    states_per_trajectory: int = 256,
) -> NDArray[np.float64]:
    """
    :param trajectories: finished episodes
    :param embedding: the recipe
    :param observation_space: None infers it: integers in one dimension are Discrete, all else is Box
    :param states_per_trajectory: bound on the states that a state occupancy takes of each
    :return: (n, dim) one point a trajectory; for a state occupancy a sample of each one's states
    :raises ValueError: if there are none, or if the embedding cannot read them
    """
    return np.concatenate(embed_each(trajectories, embedding, observation_space, states_per_trajectory))


def embed_each(
    trajectories: Sequence[Trajectory],
    embedding: Embedding,
    observation_space: spaces.Space[Any] | None = None,
    states_per_trajectory: int = 256,
) -> list[NDArray[np.float64]]:
    """
    As :func:`embed_trajectories`, whose arguments it takes. :return: (k, dim) points of each trajectory
    """
    if len(trajectories) == 0:
        raise ValueError("trajectories is empty: at least one is needed")
    space = observation_space or infer_space([trajectory.observations for trajectory in trajectories], embedding)
    checked = CheckedEmbedding(embedding.bind(space, None), repr(embedding))
    points: list[NDArray[np.float64]] = []
    for index, trajectory in enumerate(trajectories):
        try:
            states = _followed(trajectory, checked, embedding.samples_states)
        except EmbeddingError as error:
            raise ValueError(f"trajectories[{index}] does not fit: {error}") from error
        if isinstance(embedding, StateOccupancy):
            terminated = embedding.horizon is not None and len(trajectory) < embedding.horizon
            offset = (index + 0.5) / len(trajectories)
            points.append(
                np.stack([states[k] for k in embedding.times(len(trajectory), terminated, states_per_trajectory, offset)])
            )
        else:
            points.append(states[-1][None])
    return points


def _followed(trajectory: Trajectory, checked: CheckedEmbedding, every_state: bool) -> list[NDArray[np.float64]]:
    """The embeddings of the trajectory's states, or of its end alone."""
    states = []
    for t in range(len(trajectory) + 1):
        observation = batch_of_one(take(trajectory.observations, t))
        if t == 0:
            checked.start(observation, np.ones(1, dtype=bool))
        else:
            action = None if trajectory.actions is None else trajectory.actions[t - 1 : t]
            checked.step(observation, action, None if trajectory.rewards is None else trajectory.rewards[t - 1 : t])
        if every_state:
            states.append(checked.value_of(0))
    return states if every_state else [checked.value_of(0)]


def infer_space(observations: Sequence[Observations], embedding: Embedding) -> spaces.Space[Any]:
    """
    :param observations: of each trajectory
    :param embedding: a grid's shape, if it has one, says how many cells a Discrete space has
    :return: a space that holds them
    """
    first = observations[0]
    if isinstance(first, dict):
        parts = [part for part in observations if isinstance(part, dict)]
        return spaces.Dict({key: infer_space([part[key] for part in parts], embedding) for key in first})
    if first.ndim == 1 and np.issubdtype(first.dtype, np.integer):
        shape = embedding.shape if isinstance(embedding, VisitHistogram) else None
        largest = max(int(part.max()) for part in observations if not isinstance(part, dict))
        return spaces.Discrete(largest + 1 if shape is None else math.prod(shape))
    low, high = (0, 255) if first.dtype == np.uint8 else (-np.inf, np.inf)
    return spaces.Box(low, high, first.shape[1:], np.uint8 if first.dtype == np.uint8 else np.float64)
