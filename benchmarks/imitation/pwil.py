"""
PWIL (Dadashi et al. 2021, "Primal Wasserstein Imitation Learning", Algorithm 1) as a wrapper that replaces the reward.

Each of an episode's states carries the mass 1 / (H + 1). As it is entered it takes the nearest mass that is left of the
expert's, at the cost c = Σ mass · distance, and the reward is α exp(−β (H + 1) c / √dim), with the paper's α = β = 5. States
only (the paper's PWIL-state). What is ours: the learner is PPO, not D4PG; features are ours (``compressed``),
divided by their deviation in the demonstrations (the paper standardises); and a terminal state is extended to the horizon, on
both sides, since a positive reward would else punish arriving. The reward of those steps comes with the last step.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.imitation.tasks import compressed

ALPHA = 5.0
BETA = 5.0


class PWILReward(gym.Wrapper[Any, Any, Any, Any]):
    """
    :param env: whose observations are compared with the expert's
    :param demonstrations: states (T + 1, dim) of each
    :param horizon: H, the number of steps of a full episode
    """

    def __init__(self, env: gym.Env[Any, Any], demonstrations: list[NDArray[Any]], horizon: int) -> None:
        super().__init__(env)
        states = compressed(np.concatenate(demonstrations))
        self._deviation = states.std(axis=0)
        self._atoms = states / self._deviation
        # The last state of a demonstration stands for the steps that are left.
        masses = [np.append(np.ones(len(part) - 1), horizon + 2 - len(part)) for part in demonstrations]
        self._full = np.concatenate(masses) / (len(demonstrations) * (horizon + 1))
        self._left = self._full.copy()
        self._horizon = horizon
        self._steps = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        state, info = self.env.reset(**kwargs)
        self._left = self._full.copy()
        self._steps = 0
        # The reset's own reward has no step to go to; its mass is taken.
        self._rewards(state, 1)
        return state, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        state, _, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        extended = self._horizon - self._steps if terminated else 0
        return state, float(self._rewards(state, 1 + extended).sum()), terminated, truncated, info

    def _rewards(self, state: Any, n: int) -> NDArray[np.float64]:
        """Couple n steps at one state with what is left of the expert's mass; the reward of each."""
        distances = np.linalg.norm(self._atoms - compressed(state) / self._deviation, axis=1)
        open_atoms = np.flatnonzero(self._left > 0)
        order = open_atoms[np.argsort(distances[open_atoms])]
        # The cost of the nearest mass m is piecewise linear in m.
        masses = np.cumsum(self._left[order])
        costs = np.cumsum(self._left[order] * distances[order])
        taken = np.minimum(np.arange(n + 1) / (self._horizon + 1), masses[-1])
        cost = np.diff(np.interp(taken, np.append(0.0, masses), np.append(0.0, costs)))
        self._left[order] -= np.diff(np.append(0.0, np.minimum(masses, taken[-1])))
        self._left[self._left < 1e-12] = 0.0
        if not self._left.any():
            self._left = np.full_like(self._left, 1e-12)
        rewards: NDArray[np.float64] = ALPHA * np.exp(-BETA * (self._horizon + 1) * cost / np.sqrt(len(self._deviation)))
        return rewards
