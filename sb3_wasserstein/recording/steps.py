"""What a vectorised environment returned since the last rollout."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein.embeddings.features import joined, stacked
from sb3_wasserstein.embeddings.trajectory import Observations

#: steps after which observations are stacked: thousands of small arrays kept until a rollout ends cost more to give back
CHUNK = 64


class Steps:
    """
    What a vectorised environment returned for T steps.

    :param keeps_actions: whether somebody reads the actions
    """

    def __init__(self, keeps_actions: bool) -> None:
        self._keeps_actions = keeps_actions
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        #: T times n numbers, the environments' own: plain lists, whose sums over a short rollout are cheaper than an array's
        self.rewards: list[list[float]] = []
        #: T actions (n, ...) that the environments got, none where nobody reads them
        self.actions: list[Any] = []
        #: the ends: step, environment, terminal observation
        self.terminal: list[tuple[int, int, Any]] = []
        #: the ends by a time limit: step, environment
        self.truncated: list[tuple[int, int]] = []
        self._chunks: list[Observations] = []
        self._latest: list[Observations] = []

    def __len__(self) -> int:
        """Number of steps T."""
        return len(self.rewards)

    def add(self, observations: Observations, actions: Any, rewards: list[float]) -> None:
        """
        Add a step of every environment.

        :param observations: (n, ...) the reset's where an episode ended
        :param actions: (n, ...) the actions that the environments got
        :param rewards: n numbers, the environments' own
        """
        self._latest.append(observations)
        self.rewards.append(rewards)
        if self._keeps_actions:
            self.actions.append(actions)
        if len(self._latest) == CHUNK:
            self._chunks.append(stacked(self._latest))
            self._latest = []

    def observations(self) -> Observations:
        """:return: (T, n, ...) after each step, a copy"""
        latest = [stacked(self._latest)] if self._latest else []
        return joined([*self._chunks, *latest])

    def fault(self) -> str | None:
        """:return: the first NaN or infinity among them, in words, with environment and step; None if there is none"""
        if not self.rewards:
            return None
        observations = self.observations()
        for time, rewards in enumerate(self.rewards):
            returned: list[tuple[str, int, Any]] = [("reward", env, reward) for env, reward in enumerate(rewards)]
            parts = observations.items() if isinstance(observations, dict) else [("", observations)]
            returned += [(f"observation {key}".strip(), env, row) for key, rows in parts for env, row in enumerate(rows[time])]
            lasts = [(env, last) for ended, env, last in self.terminal if ended == time]
            returned += [("terminal observation", env, last) for env, last in lasts if not isinstance(last, dict)]
            for what, env, value in returned:
                if not np.isfinite(np.asarray(value, dtype=np.float64)).all():
                    return f"env {env} returned the {what} {value} at step {time + 1} of the rollout"
        return None
