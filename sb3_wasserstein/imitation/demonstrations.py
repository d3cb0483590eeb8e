"""Demonstrations: recorded episodes whose observations are those of the environment, checked one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.observations import Floats, Observations, each, take
from sb3_wasserstein.embeddings.trajectory import Trajectory
from sb3_wasserstein.recording.trajectories import as_trajectories


class Demonstrations:
    """
    Episodes of an expert, of which only the observations are used.

    An episode that terminated says so in its recording, or by an end before the environment's time limit. Where no time limit
    is known, the length of the longest episode stands for it.

    :param value: a list of episodes (arrays of T + 1 observations, :class:`Trajectory`, Minari's or imitation's episodes), a
        Minari dataset, a D4RL dictionary, or the path of an npz file with ``observations_0``, ``observations_1``, …
    :param observation_space: the environment's
    :param time_limit: the environment's number of steps after which an episode is cut; None where there is none
    :raises TypeError: if ``value`` is none of these
    :raises ValueError: if an episode does not fit the environment; the message names its index
    :raises OSError: if there is no such file

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.imitation import Demonstrations
        >>> walks = Demonstrations([np.zeros((5, 2)), np.ones((9, 2))], Box(-1, 1, (2,)), time_limit=8)
        >>> len(walks), walks.terminated, walks.before().shape
        (2, [True, False], (12, 2))
    """

    def __init__(self, value: Any, observation_space: spaces.Space[Any], time_limit: int | None = None) -> None:
        self.episodes: list[Trajectory] = as_trajectories(value, "demonstrations")
        self.time_limit = time_limit
        for index, episode in enumerate(self.episodes):
            fault = _fault(episode.observations, observation_space)
            if len(episode) == 0:
                fault = "it has one observation, and no step"
            if fault is not None:
                raise ValueError(f"demonstrations[{index}] does not fit the environment: {fault}")
        lengths = np.array([len(episode) for episode in self.episodes])
        #: (N,) of the episodes, where each of all transitions belongs
        self.episode_of: NDArray[np.int64] = np.repeat(np.arange(len(lengths)), lengths)
        self.lengths: NDArray[np.int64] = lengths
        limit = int(lengths.max()) if time_limit is None else time_limit
        ends_early = [length < limit for length in lengths.tolist()]
        #: whether each episode terminated
        self.terminated = [
            early if episode.terminated is None else bool(episode.terminated)
            for episode, early in zip(self.episodes, ends_early, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.episodes)

    def before(self) -> Any:
        """:return: (N, ...) the observations that the N transitions of all episodes start from"""
        return self._joined(slice(None, -1))

    def after(self) -> Any:
        """:return: (N, ...) the observations that the N transitions lead to"""
        return self._joined(slice(1, None))

    def held_to(self, horizon: float) -> int:
        """
        :param horizon: number of steps to which the last state of an episode that terminated is held, in mean lengths
        :return: the same in steps, at most the time limit
        """
        steps = round(horizon * float(self.lengths.mean()))
        return steps if self.time_limit is None else min(steps, self.time_limit)

    def weights(self, horizon: float) -> Floats:
        """
        :param horizon: as for :meth:`held_to`: the last state of an episode that terminated stands for the steps that are left
        :return: (N,) weight of each state that a transition leads to, of sum one
        """
        weights = np.ones(int(self.lengths.sum()))
        left = np.maximum(self.held_to(horizon) - self.lengths, 0)
        weights[np.cumsum(self.lengths) - 1] += np.where(self.terminated, left, 0)
        return np.asarray(weights / weights.sum())

    def halves(self) -> NDArray[np.bool_]:
        """:return: (N,) whether a transition belongs to the first half: every other episode, or of one every other state"""
        return np.asarray((self.episode_of if len(self) > 1 else np.arange(len(self.episode_of))) % 2 == 0)

    def _joined(self, part: slice) -> Any:
        return each(lambda *parts: np.concatenate(parts), *(take(episode.observations, part) for episode in self.episodes))


def _fault(observations: Observations, space: spaces.Space[Any]) -> str | None:
    """What is wrong with (T + 1, ...) observations of a space, in words; None if nothing is."""
    if isinstance(space, spaces.Dict):
        if not isinstance(observations, dict) or set(observations) != set(space.spaces):
            found = sorted(observations) if isinstance(observations, dict) else "one array"
            return f"observations of the keys {sorted(space.spaces)} are expected; got {found}"
        faults = ((key, _fault(observations[key], part)) for key, part in space.spaces.items())
        return next((f"{key}: {fault}" for key, fault in faults if fault is not None), None)
    if isinstance(observations, dict):
        return f"observations of {space} are expected; got a dict of {sorted(observations)}"
    if observations.shape[1:] != (space.shape or ()):
        return f"observations of shape {space.shape} are expected; got {observations.shape[1:]}"
    if observations.dtype.kind not in "fiub" or not np.isfinite(observations).all():
        return "observations must be finite numbers"
    if isinstance(space, spaces.Discrete) and not all(map(space.contains, np.unique(observations))):
        return f"observations of {space} are expected; got {np.unique(observations)}"
    return None
