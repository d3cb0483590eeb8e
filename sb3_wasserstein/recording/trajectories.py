"""Recorded episodes in the forms that other tools write them, as trajectories."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from sb3_wasserstein._atomic_io import read_arrays, read_bounded
from sb3_wasserstein.embeddings.trajectory import Trajectory


def as_trajectories(value: Any, name: str = "trajectories") -> list[Trajectory]:
    """
    Recorded episodes, whoever recorded them. Other packages' classes are known by their attributes; none is imported.

    :param value: a list of episodes, or one of: a Minari dataset (``iterate_episodes``); the path of an npz file with the
        arrays ``observations_0``, ``observations_1``, … and if known ``actions_i``, ``rewards_i``, ``terminated_i``; a D4RL
        dictionary (``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``, all of one length). An episode is
        a :class:`Trajectory`, an array of T + 1 observations, Minari's ``EpisodeData`` (``observations``, ``actions``,
        ``rewards``, ``terminations``) or a trajectory of the package imitation (``obs``, ``acts``, ``rews``, ``terminal``)
    :param name: the argument's name, for the errors
    :return: the trajectories
    :raises TypeError: if it is none of these
    :raises ValueError: if an episode is damaged, with its index, or if there is none
    :raises OSError: if there is no such file
    """
    if isinstance(value, (str, os.PathLike)):
        items: list[Any] = _from_file(Path(value), name)
    elif hasattr(value, "iterate_episodes"):
        items = list(value.iterate_episodes())
    elif isinstance(value, Mapping):
        items = _from_d4rl(value, name)
    elif isinstance(value, Trajectory) or not isinstance(value, Iterable) or isinstance(value, bytes):
        raise TypeError(
            f"{name} must be a list of episodes, a Minari dataset, a D4RL dictionary or the path of an npz file; got {value!r}"
        )
    else:
        items = list(value)
    if not items:
        raise ValueError(f"{name} is empty: at least one episode is needed")
    return [_episode(item, f"{name}[{index}]") for index, item in enumerate(items)]


def is_cloud(value: Any) -> bool:
    """:return: whether these are points, each a row of numbers, rather than episodes"""
    if isinstance(value, (np.ndarray, th.Tensor)):
        return value.dtype != object and value.ndim < 3
    rows = isinstance(value, (list, tuple)) and len(value) > 0
    return rows and not isinstance(value[0], Trajectory) and np.ndim(value[0]) == 1


def _episode(item: Any, name: str) -> Trajectory:
    if isinstance(item, Trajectory):
        return item
    try:
        if hasattr(item, "observations"):
            ends = getattr(item, "terminations", None)
            return Trajectory(_arrays(item.observations), item.actions, item.rewards, None if ends is None else bool(ends[-1]))
        if hasattr(item, "obs") and hasattr(item, "acts"):
            return Trajectory(_arrays(item.obs), item.acts, getattr(item, "rews", None), getattr(item, "terminal", None))
        return Trajectory(item)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no episode: {error}") from error


def _arrays(observations: Any) -> Any:
    """imitation's observations of a Dict space are an object with a ``get`` for each key."""
    return dict(observations.items()) if hasattr(observations, "items") else observations


def _from_file(path: Path, name: str) -> list[Trajectory]:
    if not path.is_file():
        raise FileNotFoundError(f"{name}={str(path)!r} is no file: an npz with observations_0, observations_1, … is expected")
    arrays = read_arrays(read_bounded(path))
    numbers = sorted(int(found[1]) for key in arrays if (found := re.fullmatch(r"observations_(\d+)", key)))
    if not numbers:
        raise ValueError(f"{name}={str(path)!r} holds no observations_0, observations_1, …; it has {sorted(arrays)[:5]}")
    episodes = []
    for k in numbers:
        ends = arrays.get(f"terminated_{k}")
        actions, rewards = arrays.get(f"actions_{k}"), arrays.get(f"rewards_{k}")
        episodes.append(Trajectory(arrays[f"observations_{k}"], actions, rewards, None if ends is None else bool(ends)))
    return episodes


def _from_d4rl(data: Mapping[str, Any], name: str) -> list[Trajectory]:
    """Episodes of a flat dictionary. Only ``next_observations`` says the observation after the last step."""
    if "observations" not in data or not ({"terminals", "timeouts"} & set(data)):
        raise ValueError(
            f"{name} is a dictionary without observations and terminals (or timeouts), as D4RL has them: {sorted(data)}"
        )
    observations = np.asarray(data["observations"])
    terminals, timeouts = (
        np.asarray(data.get(key, np.zeros(len(observations))), dtype=bool) for key in ("terminals", "timeouts")
    )
    episodes, begin = [], 0
    for end in np.flatnonzero(terminals | timeouts):
        steps = slice(begin, int(end) + 1)
        last = (
            data["next_observations"][end : end + 1] if "next_observations" in data else np.empty((0, *observations.shape[1:]))
        )
        seen = np.concatenate([observations[steps], last])
        known = slice(begin, begin + len(seen) - 1)
        actions, rewards = (None if key not in data else np.asarray(data[key])[known] for key in ("actions", "rewards"))
        episodes.append(Trajectory(seen, actions, rewards, bool(terminals[end])))
        begin = int(end) + 1
    return episodes
