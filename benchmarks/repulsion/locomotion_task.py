"""What ``locomotion.py`` trains on, how its PPO comes to rest, and what its policies are evaluated by."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

#: where a task's observation holds the velocity along x; the other velocities follow it
VELOCITY = {"HalfCheetah-v5": 8, "Swimmer-v5": 3}
#: where it holds the angle of a body that can fall over, and from how many radians on it is taken to
PITCH = {"HalfCheetah-v5": (1, 0.5)}
#: Steps of an episode of training, and of the task's own. Members compare whole episodes: two that have ended none cannot
#: tell their directions.
TRAINED, HORIZON = 250, 1000
#: What PPO sees is of order one: velocities are up to 10, and returns 300, which a critic takes long to reach.
OBSERVED, REWARDED = 0.1, 0.05
#: log standard deviation of the actions, at the first step and at the last
NOISE = (-1.0, -2.0)
#: The discount, at the first step and at the last; the logarithm of 1 − discount falls in a line. The fast gait has 3.4 to 4
#: strides a second; a larger one often finds two, a smaller one more often five. What a fall costs takes a large one.
DISCOUNT = (0.96, 0.98)
#: from this share of the training on, its episodes begin within this radius of a standing cheetah; the task's own within .1
SCATTERED_FROM, SCATTER = 0.5, 0.3
#: the share of the training, at its end, that policies are averaged over
AVERAGED = 0.05
#: One policy in three or four falls in one episode of twenty: ten tell little of it.
EPISODES = 30


class Running(gym.Wrapper[Any, Any, Any, Any]):
    """
    The task with another reward for the velocity, and with velocities in tenths in what is observed.

    In training, episodes are short, the reward is in twentieths, and a fall ends the episode: on its back a cheetah earns
    little for the rest of an episode and does not get up again, and a policy that has not learnt to stay on its feet
    falls in some of the task's long episodes. A policy that always starts from the same stand does not learn to leave a
    lean either: without noise it may lean there to the end.

    The last observation before a fall has no velocity: members are compared by velocities, an episode's last one is
    extended to the horizon, and a fast fall is not to be paid as a fast run.

    :param task: the environment's id
    :param way: 1: forward; −1: backward; 0: either
    :param steps: how many steps of this environment a policy is trained for; 0: it is evaluated
    """

    def __init__(self, task: str, way: float = 0.0, steps: int = 0) -> None:
        super().__init__(gym.make(task, max_episode_steps=TRAINED if steps else HORIZON))
        self._way, self._scale = way, REWARDED if steps else 1.0
        self._pitch = PITCH.get(task) if steps else None
        self._steps, self._taken = steps, 0
        self._velocity = VELOCITY[task]
        self._units = np.ones(self.observation_space.shape or ())
        self._units[self._velocity :] = OBSERVED

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        late = self._steps > 0 and self._taken >= SCATTERED_FROM * self._steps
        # A task takes its radius when it is made, and offers no other way to change it.
        if late and not self.set_wrapper_attr("_reset_noise_scale", SCATTER, force=False):
            raise AttributeError(f"{self.unwrapped} has no _reset_noise_scale to widen: locomotion.py wants another gymnasium")
        observation, info = super().reset(**kwargs)
        return observation * self._units, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        velocity = float(info["x_velocity"])
        gained = self._way * velocity if self._way else abs(velocity)
        total = float(reward) - float(info["reward_forward"]) + gained
        self._taken += 1
        if self._pitch is not None and abs(observation[self._pitch[0]]) > self._pitch[1]:
            terminated = True
            observation[self._velocity] = 0.0
        return observation * self._units, self._scale * total, terminated, truncated, info


class Settling(BaseCallback):
    """
    Noise that falls in a line, a horizon that grows, and at the end the mean of the last policies: some fall, their mean less.

    For PPO itself as for members, each of which gets a copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: list[dict[str, th.Tensor]] = []

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, PPO)
        left = self.model._current_progress_remaining
        policy = self.model.policy
        with th.no_grad():
            policy.get_parameter("log_std").fill_(NOISE[1] + (NOISE[0] - NOISE[1]) * left)
        self.model.gamma = 1.0 - (1.0 - DISCOUNT[1]) * ((1.0 - DISCOUNT[0]) / (1.0 - DISCOUNT[1])) ** left
        self.model.rollout_buffer.gamma = self.model.gamma
        if left < AVERAGED:
            self._last.append({name: value.clone() for name, value in policy.state_dict().items()})

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self._last:
            mean = {name: th.stack([state[name] for state in self._last]).mean(dim=0) for name in self._last[0]}
            self.model.policy.load_state_dict(mean)


def velocity_of(state: np.ndarray, index: int) -> np.ndarray:
    """(..., 1) the velocity along x."""
    return np.asarray(state, dtype=float)[..., [index]]


def evaluated(model: PPO, task: str) -> tuple[float, float]:
    """Mean velocity of the deterministic policy on the task as it is, and its return in the direction that it runs."""
    velocities, costs = [], []
    env = Running(task)
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=10_000 + episode)
        for _ in range(HORIZON):
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, info = env.step(action)
            velocities.append(float(info["x_velocity"]))
            costs.append(float(reward) - abs(velocities[-1]))
            if terminated or truncated:
                break
    mean = float(np.mean(velocities))
    return mean, (abs(sum(velocities)) + sum(costs)) / EPISODES
