"""Experts by rule for four classic-control tasks, and their state-only trajectories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Rule = Callable[[NDArray[Any]], Any]


def cart_pole(state: NDArray[Any]) -> int:
    """Push to the side that the pole falls to; the cart's own terms keep it near the middle."""
    return int(0.1 * state[0] + 0.2 * state[1] + 3.0 * state[2] + state[3] > 0)


def mountain_car(state: NDArray[Any]) -> int:
    """Push right between two curves in phase space, left elsewhere."""
    position, velocity = state
    lower = min(-0.09 * (position + 0.25) ** 2 + 0.03, 0.3 * (position + 0.9) ** 4 - 0.008)
    return 2 if lower <= velocity <= -0.07 * (position + 0.38) ** 2 + 0.07 else 0


def acrobot(state: NDArray[Any]) -> int:
    """Torque against the joints' velocities pumps energy in."""
    return 1 - int(np.sign(state[4] + 0.3 * state[5]))


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
