"""The reader: what it asks of other people's environments, and how it leaves them."""

import copy
import pickle
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from scripted import ScriptedEnv
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
)

from sb3_wasserstein import DualCallback, WassersteinPPO, collect_embeddings
from sb3_wasserstein.embeddings import EmbeddingError, FinalState, MeanState, StateOccupancy
from sb3_wasserstein.recording.reader import EpisodeReader

OURS: dict[str, Any] = {"target": np.zeros((1, 3)), "wasserstein_coef": -1.0, "n_steps": 32, "batch_size": 32, "seed": 0}


def test_after_training_nothing_of_ours_is_on_the_environment() -> None:
    env = VecNormalize(DummyVecEnv([ScriptedEnv]))
    model = WassersteinPPO("MlpPolicy", env, **OURS).learn(64)
    assert "step_wait" not in vars(env.venv)
    model.learn(64, reset_num_timesteps=False)
    PPO("MlpPolicy", env, n_steps=32, batch_size=32).learn(64, DualCallback("mean_state", np.zeros((1, 3))))
    assert "step_wait" not in vars(env.venv)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"])
def test_a_copy_of_a_watched_environment_steps_itself(copied: Any) -> None:
    inner: Any = DummyVecEnv([ScriptedEnv])
    env = VecNormalize(inner)
    reader, other = EpisodeReader(env), EpisodeReader(env)
    env.reset()
    reader.watch()
    other.watch()
    twin = copied(inner)
    twin.reset()
    for _ in range(3):
        twin.step([0])
    assert (inner.get_attr("_step"), twin.get_attr("_step")) == ([0], [3])
    reader.release()
    assert "step_wait" in vars(env.venv)
    other.release()
    assert "step_wait" not in vars(env.venv)


def record(env: VecEnv, n_steps: int = 12) -> Any:
    reader = EpisodeReader(env)
    recorder = reader.recorder(FinalState())
    recorder.start(reader.observations(env.reset()))
    reader.watch()
    terminal = []
    for _ in range(n_steps):
        observations, rewards, dones, infos = env.step(np.zeros(env.num_envs, dtype=int))
        reader.record(recorder, observations, np.zeros(env.num_envs), rewards, dones, infos)
        terminal += [infos[i]["terminal_observation"] for i in np.flatnonzero(dones)]
    reader.release()
    return np.concatenate([episode.points for episode in recorder.flush().episodes]), terminal


def test_terminal_observations_are_the_original_ones_whatever_stands_around_the_normalisation() -> None:
    plain, told = record(DummyVecEnv([ScriptedEnv] * 2))
    np.testing.assert_array_equal(plain, told)
    for wrapped in (VecNormalize(DummyVecEnv([ScriptedEnv] * 2), clip_obs=0.1), None):
        env = wrapped or VecFrameStack(VecNormalize(DummyVecEnv([ScriptedEnv] * 2), clip_obs=0.1), 2)
        np.testing.assert_array_equal(record(env)[0], plain)


def test_recording_without_watching_is_refused() -> None:
    env = VecNormalize(DummyVecEnv([ScriptedEnv]))
    reader = EpisodeReader(env)
    recorder = reader.recorder(FinalState())
    recorder.start(reader.observations(env.reset()))
    with pytest.raises(EmbeddingError, match="watch"):
        reader.record(recorder, *env.step([0])[:1], np.zeros(1), np.zeros(1), np.zeros(1, dtype=bool), [{}])


def test_workers_are_not_asked_for_objects() -> None:
    """The spec of an environment that was wrapped with a lambda cannot be sent from a worker, and trying to kills it."""

    def make() -> gym.Env[Any, Any]:
        return gym.wrappers.TransformReward(gym.make("CartPole-v1", max_episode_steps=30), lambda reward: 0.1 * reward)

    env = SubprocVecEnv([make] * 2)
    try:
        assert EpisodeReader(env).max_episode_steps == 30
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=32, seed=0)
        assert collect_embeddings(model, env, StateOccupancy(features=[0]), 2).shape[1] == 1
        model.learn(128, DualCallback("mean_state", np.zeros((1, 4))))
    finally:
        env.close()


class Pool:
    """A simulator that is no VecEnv: it resets and steps."""

    num_envs = 2
    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self) -> np.ndarray:
        self.time = 0
        return np.zeros((2, 3), np.float32)

    def step(self, actions: Any) -> Any:
        self.time += 1
        done = np.full(2, self.time % 10 == 0)
        observations = np.full((2, 3), self.time % 10 / 10, np.float32)
        infos = [{"terminal_observation": np.ones(3, np.float32), "TimeLimit.truncated": True} if end else {} for end in done]
        return observations, np.arange(2.0), done, infos


class Adapter(VecEnvWrapper):
    def __init__(self, pool: Any) -> None:
        super().__init__(pool, pool.observation_space, pool.action_space)

    def step_async(self, actions: Any) -> None:
        self.actions = actions

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step(self.actions)

    def seed(self, seed: int | None = None) -> Any:
        return [None] * self.num_envs


@pytest.mark.filterwarnings("ignore:The `render_mode` attribute is not defined")
@pytest.mark.filterwarnings("ignore:the returns of the first")
@pytest.mark.parametrize("normalize", [False, True])
def test_an_environment_that_knows_only_reset_and_step(normalize: bool) -> None:
    env: VecEnv = Adapter(Pool())
    assert EpisodeReader(env).max_episode_steps is None
    assert EpisodeReader(env).wrapped() is None
    model = WassersteinPPO("MlpPolicy", VecNormalize(env) if normalize else env, embedding=FinalState(), **OURS).learn(128)
    np.testing.assert_allclose(model.embeddings, np.ones((len(model.embeddings), 3)))
    assert len(model.embeddings) == 12


def test_another_environment_says_another_horizon() -> None:
    short, long = (DummyVecEnv([partial(gym.make, "CartPole-v1", max_episode_steps=n)]) for n in (20, 60))
    recipe = StateOccupancy()
    resolved = EpisodeReader(short).recorder(recipe).embedding
    assert (resolved.horizon, EpisodeReader(long).recorder(resolved).embedding.horizon) == (20, 60)
    # One that says nothing: the longest so far.
    silent = EpisodeReader(DummyVecEnv([ScriptedEnv]))
    assert silent.recorder(resolved, longest=7).embedding.horizon in (None, 7)
    assert EpisodeReader(short).recorder(MeanState()).embedding.horizon is None
