"""What is collected is the policy that was trained, on what it was trained on, whichever environment is handed over."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from scripted import ScriptedEnv
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from sb3_wasserstein import TrajectoryEmbeddingWrapper, behaviour_distance, collect_embeddings
from sb3_wasserstein.embeddings import FinalState, MeanState, StateOccupancy


class Pictures(gym.Env[Any, Any]):
    """Images whose first column brightens with each step to the right."""

    observation_space = spaces.Box(0, 255, (36, 40, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def _picture(self) -> np.ndarray:
        picture = np.zeros((36, 40, 3), np.uint8)
        picture[:, 0, 1] = 10 * self.place
        return picture

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left, self.place = 5, 0
        return self._picture(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left, self.place = self.left - 1, self.place + int(action)
        return self._picture(), 0.0, False, self.left == 0, {}


def test_images_are_embedded_as_the_model_sees_them() -> None:
    shapes = set()

    def green(image: np.ndarray) -> np.ndarray:
        shapes.add(image.shape)
        return image[1, 0, :1] / 255.0

    model = PPO("CnnPolicy", DummyVecEnv([Pictures]), n_steps=16, batch_size=16, seed=0)
    envs: tuple[Any, ...] = (Pictures(), DummyVecEnv([Pictures]), model.get_env())
    found = [collect_embeddings(model, env, MeanState(features=green), n_episodes=4, seed=0) for env in envs]
    # A bound embedding tries its function on a sample of the space.
    assert shapes == {(3, 36, 40)}
    assert len(np.unique(found[0])) > 1
    for other in found[1:]:
        assert behaviour_distance(found[0], other) == pytest.approx(0.0, abs=1e-6)


def test_an_environment_that_lacks_a_wrapper_is_refused_with_the_reason() -> None:
    model = PPO("MlpPolicy", VecFrameStack(DummyVecEnv([ScriptedEnv]), 3), n_steps=16, batch_size=16)
    with pytest.raises(ValueError, match=r"env has the observation space.*wrap env as the training environment was"):
        collect_embeddings(model, ScriptedEnv())
    normalized = VecNormalize(VecFrameStack(DummyVecEnv([ScriptedEnv]), 3))
    model = PPO("MlpPolicy", normalized, n_steps=16, batch_size=16)
    with pytest.raises(ValueError, match=r"VecNormalize was made for.*wrap env as the training environment was"):
        collect_embeddings(model, ScriptedEnv())


class Follows:
    """A policy that steps right where its observation is positive, and tells what it was shown."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.shown: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, observation: Any, **kwargs: Any) -> Any:
        self.shown.append(observation.copy())
        return self.model.predict(observation, **kwargs)


def test_a_model_of_normalised_observations_gets_its_statistics_and_they_stay() -> None:
    def make() -> VecEnv:
        return DummyVecEnv([lambda: ScriptedEnv(shift=30.0)])

    model = PPO("MlpPolicy", VecNormalize(make()), n_steps=64, batch_size=64, seed=0).learn(128)
    normalize = model.get_vec_normalize_env()
    assert normalize is not None
    statistics = normalize.obs_rms
    assert isinstance(statistics, RunningMeanStd)
    before, policy = statistics.mean.copy(), Follows(model)
    for env in (make(), ScriptedEnv(shift=30.0), model.get_env()):
        points = collect_embeddings(policy, env, FinalState(), n_episodes=3, seed=0)
        assert np.all(np.abs(points - 30.0) <= 2.0)
        assert all(np.all(np.abs(shown) < 10.0) for shown in policy.shown)
    assert normalize.obs_rms is statistics
    np.testing.assert_array_equal(statistics.mean, before)
    assert normalize.training
    assert "step_wait" not in vars(normalize.venv)


class Corridor(gym.Env[Any, Any]):
    """Only action 1 is legal; it is one step to the right."""

    observation_space = spaces.Box(-100, 100, (1,), np.float32)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return np.zeros(1, np.float32), {}

    def action_masks(self) -> np.ndarray:
        return np.arange(4) == 1

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert action == 1
        self.place += 1
        return np.full(1, self.place, np.float32), 0.0, False, self.place == 8, {}


def test_action_masks_are_obeyed() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.MaskablePPO("MlpPolicy", Corridor(), n_steps=16, batch_size=16, seed=0)
    np.testing.assert_array_equal(collect_embeddings(model, Corridor(), "final_state", n_episodes=20), np.full((20, 1), 8.0))


def test_recurrent_states_are_carried_and_begin_with_episodes() -> None:
    class Remembers:
        """Its state is the number of steps of the episode; it knows when one begins."""

        counted: list[int] = []

        def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False) -> Any:
            state = np.zeros(len(observation), int) if state is None else state
            state = np.where(episode_start, 0, state) + 1
            self.counted.append(int(state[0]))
            return np.zeros(len(observation), int), state

    policy = Remembers()
    collect_embeddings(policy, ScriptedEnv(lengths=(2, 3)), n_episodes=2)
    assert policy.counted == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("cls", "kwargs", "n_drawn"),
    [
        (PPO, {"n_steps": 8, "batch_size": 8}, 4),
        (PPO, {"n_steps": 64, "batch_size": 8, "sde_sample_freq": 5}, 6),
        (SAC, {"train_freq": 10}, 3),
    ],
)
def test_the_noise_of_gsde_is_drawn_as_in_training(cls: Any, kwargs: dict[str, Any], n_drawn: int) -> None:
    model = cls("MlpPolicy", gym.make("Pendulum-v1", max_episode_steps=15), use_sde=True, seed=0, **kwargs)
    drawn, draw = [], model.policy.reset_noise
    model.policy.reset_noise = lambda n: (drawn.append(n), draw(n))
    env = gym.make("Pendulum-v1", max_episode_steps=15)
    first, second = (collect_embeddings(model, env, n_episodes=2, seed=0) for _ in range(2))
    assert drawn == [1] * 2 * n_drawn
    np.testing.assert_array_equal(first, second)
    collect_embeddings(model, env, n_episodes=1, deterministic=True)
    assert len(drawn) == 2 * n_drawn


def test_global_generators_are_left_alone() -> None:
    model = DQN("MlpPolicy", ScriptedEnv(), learning_starts=0, seed=0)
    before = np.random.get_state()[1].copy(), th.get_rng_state()  # noqa: NPY002
    for seed in (None, 3):
        collect_embeddings(model, ScriptedEnv(), n_episodes=2, seed=seed)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert th.equal(th.get_rng_state(), before[1])


def test_states_of_all_episodes_are_thinned_alike() -> None:
    model = PPO("MlpPolicy", ScriptedEnv(), n_steps=16, batch_size=16)
    env = ScriptedEnv(lengths=(40, 4))
    points = collect_embeddings(model, env, StateOccupancy(after_termination="ignore"), n_episodes=4)
    assert len(points) == 41 + 5 + 41 + 5


@pytest.mark.parametrize("env", ["/tmp/nowhere", "CartPole-v999", "no_such_module:Env-v0"])
def test_what_is_no_environment_is_named(env: str) -> None:
    model = PPO("MlpPolicy", ScriptedEnv(), n_steps=16, batch_size=16)
    with pytest.raises(ValueError, match=f"env='{env}' is not the id of an environment"):
        collect_embeddings(model, env)


def test_a_wrapped_environment_says_its_own_embedding() -> None:
    model = PPO("MlpPolicy", ScriptedEnv(), n_steps=16, batch_size=16)
    env = TrajectoryEmbeddingWrapper(ScriptedEnv(), "final_state", every_step=False)
    bare = collect_embeddings(model, ScriptedEnv(), "final_state", n_episodes=3)
    np.testing.assert_allclose(collect_embeddings(model, env, "final_state", n_episodes=3), bare, rtol=1e-6)
