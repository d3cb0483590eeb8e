"""What ``learners.py`` and ``gail.py`` share: the tasks, and how states are scaled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TransformReward
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.imitation.rules import demonstrations

TASKS = ("CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1")
STEPS = 100_000
N_ENVS = 8


class NeverEnding(gym.Wrapper[Any, Any, Any, Any]):
    """CartPole goes on when the pole has fallen."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        state, reward, _, truncated, info = self.env.step(action)
        # CartPole warns of every step after its end unless it forgets that there was one.
        self.unwrapped.steps_beyond_terminated = None  # type: ignore[attr-defined]
        return state, reward, False, truncated, info


class Scaled(gym.ObservationWrapper[Any, Any, Any]):
    """Observations as :func:`scaling` shows them."""

    def __init__(self, env: gym.Env[Any, Any], function: Callable[[Any], NDArray[np.float32]]) -> None:
        super().__init__(env)
        assert env.observation_space.shape is not None
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self._function = function

    def observation(self, observation: Any) -> NDArray[np.float32]:
        return self._function(observation)


def scaling(trajectories: list[NDArray[np.float64]]) -> Callable[[Any], NDArray[np.float32]]:
    """
    Standardise by the demonstrations, clipped to their range, widened by its width on both sides.

    A running mean and deviation would be set by what the untrained policy does: the never-ending CartPole turns and drifts
    without bound, and the expert's states, which lie within hundredths of a radian, become one.
    """
    states = np.concatenate(trajectories)
    mean, deviation = states.mean(axis=0), states.std(axis=0)
    low, high = states.min(axis=0), states.max(axis=0)
    width = high - low

    def scale(state: Any) -> NDArray[np.float32]:
        clipped = np.clip(np.asarray(state, dtype=np.float64), low - width, high + width)
        return ((clipped - mean) / deviation).astype(np.float32)

    return scale


def compressed(states: Any) -> NDArray[np.float64]:
    """sign(z) log(1 + |z|) of scaled states: for a distance, a velocity of six deviations is not six times as far as one."""
    states = np.asarray(states, dtype=np.float64)
    return np.sign(states) * np.log1p(np.abs(states))


@cache
def lessons(task: str) -> tuple[list[NDArray[np.float32]], Callable[[Any], NDArray[np.float32]], float]:
    """Five state-only demonstrations, scaled; the scaling; the expert's mean return."""
    trajectories, returns = demonstrations(task)
    scale = scaling(trajectories)
    return [scale(states) for states in trajectories], scale, float(np.mean(returns))


class Staggered(gym.Wrapper[Any, Any, Any, Any]):
    """
    The first episode is cut. Environments that begin together end together where only a time limit ends them: most rollouts
    then hold no episode's begin, and what a policy does there is forgotten between two that do.
    """

    def __init__(self, env: gym.Env[Any, Any], steps: int) -> None:
        super().__init__(env)
        self._left = steps

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        state, reward, terminated, truncated, info = self.env.step(action)
        self._left -= 1
        return state, reward, terminated, truncated or self._left == 0, info


def side_by_side(make: Callable[[], gym.Env[Any, Any]], task: str, seed: int) -> VecEnv:
    """``N_ENVS`` of them, whose first episodes end one after the other."""
    firsts = iter([round(time_limit(task) * (k + 1) / N_ENVS) for k in range(N_ENVS)])
    return make_vec_env(lambda: Staggered(make(), next(firsts)), N_ENVS, seed=seed)


def training_env(task: str, reward: float = 0.0) -> gym.Env[Any, Any]:
    """The task with a constant instead of its reward."""
    env = gym.make(task)
    return Scaled(TransformReward(NeverEnding(env) if task == "CartPole-v1" else env, lambda _: reward), lessons(task)[1])


def evaluation_env(task: str) -> gym.Env[Any, Any]:
    """The task itself."""
    return Scaled(gym.make(task), lessons(task)[1])


def time_limit(task: str) -> int:
    """Number of steps after which an episode is cut."""
    limit = gym.spec(task).max_episode_steps
    assert limit is not None
    return limit


def horizon(task: str) -> int:
    """
    To which a terminal state is extended: twice the demonstrations' mean length, at most the time limit. Where they end
    after a sixth of the time limit, five sixths of an occupancy up to it would lie where an episode ended, and say little
    of its pace.
    """
    steps = np.mean([len(states) - 1 for states in lessons(task)[0]])
    return min(round(2 * float(steps)), time_limit(task))
