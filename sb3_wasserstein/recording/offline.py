"""Embeddings of trajectories that were recorded elsewhere, without an environment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.observations import Floats, Observations, each, take
from sb3_wasserstein.embeddings.steps import Ends, Steps
from sb3_wasserstein.embeddings.trajectory import Trajectory
from sb3_wasserstein.embeddings.validated import EmbeddingError, ValidatedEmbedding
from sb3_wasserstein.embeddings.visits import VisitHistogram


def embed_trajectories(
    trajectories: Sequence[Trajectory],
    embedding: Embedding,
    observation_space: spaces.Space[Any] | None = None,
    states_per_trajectory: int = 256,
) -> Floats:
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
) -> list[Floats]:
    """
    As :func:`embed_trajectories`, whose arguments it takes. :return: (k, dim) points of each trajectory
    """
    if len(trajectories) == 0:
        raise ValueError("trajectories is empty: at least one is needed")
    space = observation_space or infer_space([trajectory.observations for trajectory in trajectories], embedding)
    embedding = embedding.with_time_limit(max(map(len, trajectories)))
    validated = ValidatedEmbedding(embedding.bind(space, None), repr(embedding))
    points = []
    for index, trajectory in enumerate(trajectories):
        try:
            states = _followed(trajectory, validated)
        except EmbeddingError as error:
            raise ValueError(f"trajectories[{index}] does not fit: {error}") from error
        if embedding.samples_states:
            terminated = trajectory.terminated
            if terminated is None:
                terminated = len(trajectory) < (embedding.horizon or 0)
            offset = (index + 0.5) / len(trajectories)
            points.append(states[embedding.times(len(trajectory), terminated, states_per_trajectory, offset)])
        else:
            points.append(states[-1:])
    return points


def _followed(trajectory: Trajectory, validated: ValidatedEmbedding) -> Floats:
    """The embeddings of the trajectory's T + 1 prefixes, or of its end alone."""
    validated.start(take(trajectory.observations, slice(0, 1)), np.ones(1, dtype=bool))
    first = validated.values() if validated.has_prefixes else None
    if len(trajectory):
        # One environment: its axis comes second.
        observations = each(lambda rows: rows[1:, None], trajectory.observations)
        actions, rewards = (None if part is None else part[:, None] for part in (trajectory.actions, trajectory.rewards))
        none = take(observations, (0, slice(0, 0)))
        scan = validated.scan(Steps(observations, none, Ends(np.zeros((len(trajectory), 1), dtype=bool)), actions, rewards))
        if first is not None and scan.after is not None:
            return np.concatenate([first, scan.after[:, 0]])
    return validated.values()


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
