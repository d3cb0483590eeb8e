"""What the studies of the distance draw from: laws that are known, and recorded episodes of policies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import collect_embeddings

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, int, int], Floats]

#: tasks on which policies are compared
TASKS = ("CartPole-v1", "LunarLander-v3", "Hopper-v5")


def normal(rng: np.random.Generator, n: int, dim: int) -> Floats:
    return rng.normal(size=(n, dim))


def mixture(rng: np.random.Generator, n: int, dim: int) -> Floats:
    """Three normal laws of unequal weights, whose centres are about three times as far apart as each is wide."""
    centres = np.random.default_rng(dim).normal(size=(3, dim)) * 2.0
    return centres[rng.choice(3, n, p=[0.5, 0.3, 0.2])] + rng.normal(size=(n, dim))


def discrete(rng: np.random.Generator, n: int, dim: int) -> Floats:
    """Twelve points of equal weights."""
    return np.random.default_rng(dim).normal(size=(12, dim))[rng.integers(12, size=n)]


LAWS: dict[str, Law] = {"normal": normal, "mixture": mixture, "discrete": discrete}


@cache
def recorded(task: str, checkpoints: tuple[int, ...], n_episodes: int) -> list[Floats]:
    """
    Episodes of a PPO of SB3's default settings, of seed 0, at several times of its training.

    :param task: its environment's id
    :param checkpoints: the steps of training after which episodes are recorded
    :param n_episodes: number of episodes of each checkpoint
    :return: for each checkpoint, (n_episodes, dim) mean states of its episodes
    """
    model = PPO("MlpPolicy", task, seed=0)
    found = []
    for steps in checkpoints:
        model.learn(steps - model.num_timesteps, reset_num_timesteps=False)
        envs = make_vec_env(task, 8)
        found.append(collect_embeddings(model, envs, "mean_state", n_episodes, seed=1))
        envs.close()
    return found
