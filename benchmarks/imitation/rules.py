"""Experts for four classic-control tasks, by rule or by value iteration, and their state-only trajectories."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Rule = Callable[[NDArray[Any]], Any]


def cart_pole(state: NDArray[Any]) -> int:
    """Push to the side that the pole falls to; the cart's own terms keep it near the middle."""
    return int(0.1 * state[0] + 0.2 * state[1] + 3.0 * state[2] + state[3] > 0)


def mountain_car(state: NDArray[Any]) -> int:
    """The shortest way by value iteration on a grid of states: rules by hand miss the hill in one episode of ten."""
    position, velocity = state
    later = [_times_to_goal(*_pushed(position, velocity, action)) for action in range(3)]
    # The last of equals: pushing, not coasting.
    return 2 - int(np.argmin(later[::-1]))


def _pushed(position: Any, velocity: Any, action: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One step of MountainCar-v0."""
    velocity = np.clip(velocity + (action - 1) * 0.001 - 0.0025 * np.cos(3.0 * position), -0.07, 0.07)
    position = np.clip(position + velocity, -1.2, 0.6)
    return position, np.where((position <= -1.2) & (velocity < 0), 0.0, velocity)


def _times_to_goal(position: Any, velocity: Any, times: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Numbers of steps, interpolated on the grid."""
    table = _mountain_times() if times is None else times
    rows, columns = (size - 1 for size in table.shape)
    place = np.array([(position + 1.2) / 1.8 * rows, (velocity + 0.07) / 0.14 * columns])
    inner = map_coordinates(table, place.reshape(2, -1), order=1, mode="nearest").reshape(np.shape(position))
    return np.where(np.asarray(position) >= 0.5, 0.0, inner)


@cache
def _mountain_times() -> NDArray[np.float64]:
    grid = np.meshgrid(np.linspace(-1.2, 0.6, 241), np.linspace(-0.07, 0.07, 241), indexing="ij")
    after = [_pushed(*grid, action) for action in range(3)]
    times = np.zeros(grid[0].shape)
    for _ in range(400):
        better = np.where(grid[0] >= 0.5, 0.0, 1.0 + np.min([_times_to_goal(*states, times) for states in after], axis=0))
        if np.abs(better - times).max() < 1e-3:
            break
        times = better
    return times


def acrobot(state: NDArray[Any]) -> int:
    """Torque against the first joint's velocity pumps energy in; the angles' terms save a swing."""
    return 1 - int(np.sign(state[4] + 0.5 * state[1] + 0.2 * state[3]))


def pendulum(state: NDArray[Any]) -> NDArray[np.float32]:
    """Pump energy up to that of the upright; a linear law near it."""
    cosine, sine, velocity = state
    angle = np.arctan2(sine, cosine)
    if abs(angle) < 0.8 and abs(velocity) < 4:
        torque = -15.0 * angle - 3.0 * velocity
    else:
        torque = 3.0 * (5.0 - velocity**2 / 6.0 - 5.0 * cosine) * (np.sign(velocity) or 1.0)
    return np.array([np.clip(torque, -2.0, 2.0)], dtype=np.float32)


RULES: dict[str, Rule] = {
    "CartPole-v1": cart_pole,
    "MountainCar-v0": mountain_car,
    "Acrobot-v1": acrobot,
    "Pendulum-v1": pendulum,
}


def demonstrations(env_id: str, n: int = 5, seed: int = 1000) -> tuple[list[NDArray[np.float64]], list[float]]:
    """
    :param env_id: a key of ``RULES``
    :param n: number of episodes
    :param seed: of the first one; the next ones count up, and none is passed over
    :return: the states (T + 1, dim) and the return of each episode
    """
    env, rule = gym.make(env_id), RULES[env_id]
    trajectories, returns = [], []
    for episode in range(n):
        state, _ = env.reset(seed=seed + episode)
        states, total, ended = [state], 0.0, False
        while not ended:
            state, reward, terminated, truncated, _ = env.step(rule(state))
            states.append(state)
            total += float(reward)
            ended = terminated or truncated
        trajectories.append(np.array(states, dtype=np.float64))
        returns.append(total)
    return trajectories, returns
