"""Learning on after a stop: the window has what the environment's episodes were, and nothing else."""

import contextlib
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_wasserstein import DualCallback, WassersteinA2C, WassersteinPPO, WassersteinSAC

# Its returns are drawn, and few.
pytestmark = pytest.mark.filterwarnings("ignore:.*episodes have finished")


class Diary(gym.Env):
    """Episodes of 1 to 8 random observations; it writes down the mean of each."""

    observation_space = spaces.Box(-99, 99, (1,), np.float32)

    def __init__(self, seed: int, diary: list[float], continuous: bool = False) -> None:
        self.action_space = spaces.Box(-1.0, 1.0, (1,)) if continuous else spaces.Discrete(2)
        self.rng, self.diary = np.random.default_rng(seed), diary

    def _observe(self) -> Any:
        self.lived.append(np.float32(self.rng.normal()))
        return np.array(self.lived[-1:])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.lived: list[Any] = []
        self.left = int(self.rng.integers(1, 9))
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        observation, self.left = self._observe(), self.left - 1
        if self.left == 0:
            self.diary.append(float(np.mean(self.lived, dtype=np.float64)))
        return observation, float(self.rng.normal()), self.left == 0, False, {}


class StopAt(BaseCallback):
    def __init__(self, calls: int, error: type[BaseException] | None = None) -> None:
        super().__init__()
        self.calls, self.error = calls, error

    def _on_step(self) -> bool:
        if self.error is not None and self.n_calls == self.calls:
            raise self.error
        return self.n_calls < self.calls


def env_of(diary: list[float], continuous: bool = False) -> VecEnv:
    return DummyVecEnv([partial(Diary, seed, diary, continuous) for seed in range(3)])


def check(embeddings: Any, diary: list[float], at_least: int) -> None:
    strangers = [value for value in embeddings[:, 0] if np.abs(np.array(diary) - value).min() > 1e-4]
    assert strangers == []
    assert at_least <= len(embeddings) <= len(diary)


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C, WassersteinSAC])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ZeroDivisionError])
def test_after_a_stop_in_the_middle_of_a_rollout(cls: Any, error: type[BaseException] | None) -> None:
    diary: list[float] = []
    own = {"n_steps": 20, "batch_size": 20} if cls is WassersteinPPO else {}
    own = {"learning_starts": 30, "train_freq": 20, "batch_size": 8} if cls is WassersteinSAC else own
    model = cls(
        "MlpPolicy", env_of(diary, cls is WassersteinSAC), target=[[0.0]], wasserstein_coef=-1.0, episode_window=4096, seed=0,
        policy_kwargs={"net_arch": [4]}, **own,
    )  # fmt: skip
    for stop, reset in ((None, True), (13, False), (None, False), (13, True), (8, False), (None, False)):
        with contextlib.suppress(KeyboardInterrupt, ZeroDivisionError):
            model.learn(60, StopAt(stop, error) if stop else None, reset_num_timesteps=reset)
    check(model.embeddings, diary, at_least=len(diary) // 2)


def test_nothing_is_lost_where_the_recorder_has_followed_every_step() -> None:
    diary: list[float] = []
    model = WassersteinPPO("MlpPolicy", env_of(diary), target=[[0.0]], n_steps=20, batch_size=20, episode_window=4096, seed=0)
    for stop in (None, 13, None, 8, 7, None):
        model.learn(60, StopAt(stop) if stop else None, reset_num_timesteps=False)
    assert len(model.embeddings) == len(diary)
    check(model.embeddings, diary, at_least=30)


def test_a_rollout_has_the_steps_of_its_own_only() -> None:
    model = WassersteinPPO("MlpPolicy", env_of([]), target=[[0.0]], n_steps=20, batch_size=20, seed=0)
    with pytest.raises(KeyboardInterrupt):
        model.learn(60, StopAt(13, KeyboardInterrupt))
    model.learn(60, reset_num_timesteps=False)
    assert model.tracker.rollout.ends.shape == (20, 3)
    assert not model.tracker.rollout.known.all()


def test_transitions_of_an_interrupted_rollout_gain_nothing() -> None:
    model = WassersteinSAC(
        "MlpPolicy", env_of([], True), target=[[0.0]], wasserstein_coef=-1.0, learning_starts=1000, train_freq=20, seed=0
    )
    model.learn(60)
    with pytest.raises(KeyboardInterrupt):
        model.learn(60, StopAt(13, KeyboardInterrupt), reset_num_timesteps=False)
    gains = model.replay_buffer.factors[0, : model.replay_buffer.pos]
    assert (gains[:20] == 1.0).all()
    assert (gains[20:] == 0.0).all()


@pytest.mark.parametrize("between", [None, 13])
@pytest.mark.parametrize("cls", [PPO, A2C, DQN])
def test_a_callback_that_comes_in_the_middle(cls: Any, between: int | None) -> None:
    diary: list[float] = []
    own = {"n_steps": 20, "batch_size": 20} if cls is PPO else {}
    model = cls("MlpPolicy", env_of(diary), seed=0, **own).learn(60, StopAt(between) if between else None)
    callback = DualCallback("mean_state", [[0.0]], episode_window=4096)
    n_before = len(diary)
    model.learn(120, callback, reset_num_timesteps=False)
    model.learn(60, reset_num_timesteps=False)
    model.learn(60, callback, reset_num_timesteps=False)
    check(callback.window.embeddings, diary, at_least=(len(diary) - n_before) // 2)


def test_a_callback_that_is_not_called_at_every_step_says_so() -> None:
    with pytest.raises(ValueError, match="every step"):
        PPO("MlpPolicy", env_of([]), n_steps=20, batch_size=20).learn(60, EveryNTimesteps(30, DualCallback("mean_state")))


OWN: dict[str, dict[str, Any]] = {
    "RecurrentPPO": {"policy": "MlpLstmPolicy", "n_steps": 20, "batch_size": 60, "policy_kwargs": {"lstm_hidden_size": 4}},
    "TRPO": {"n_steps": 20, "batch_size": 60},
    "PPO": {"n_steps": 20, "batch_size": 60},
}


@pytest.mark.parametrize(
    "name", ["PPO", "A2C", "DQN", "SAC", "TD3", "DDPG", "TRPO", "RecurrentPPO", "QRDQN", "TQC", "CrossQ", "ARS"]
)
def test_under_every_algorithm_it_measures_or_says_that_it_does_not(name: str) -> None:
    import stable_baselines3

    cls = getattr(stable_baselines3, name, None) or getattr(pytest.importorskip("sb3_contrib"), name)
    diary: list[float] = []
    env = env_of(diary, continuous=name in ("SAC", "TD3", "DDPG", "TQC", "CrossQ"))
    own = {"policy": "MlpPolicy", **OWN.get(name, {})}
    model = cls(own.pop("policy"), env, seed=0, **own)
    callback = DualCallback("mean_state", [[0.0]], episode_window=4096)
    if name == "ARS":
        with pytest.raises(ValueError, match=r"DualCallback .* ARS has none"):
            model.learn(60, callback)
        return
    model.learn(60, callback)
    assert len(callback.window) == len(diary)
    check(callback.window.embeddings, diary, at_least=5)
    assert all(th.isfinite(value).all() for value in model.policy.state_dict().values())
