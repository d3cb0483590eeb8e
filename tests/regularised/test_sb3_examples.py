"""
Scripts of the "Examples" page of SB3's documentation and of its page on custom policies, with one name changed and few steps;
then the ways in which users make environments and callbacks.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from scripted import ScriptedEnv
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import FinalState, MeanState

SHORT = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}


def drawn(dim):
    """What makes a script's model ours: a target, here, so that everything of ours runs."""
    return {"target": Target(np.zeros((2, dim)), [0.5, 0.5]), "wasserstein_coef": -1.0, "seed": 0}


def test_basic_usage() -> None:
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    model = WassersteinA2C("MlpPolicy", env, verbose=0, **drawn(4))
    model.learn(total_timesteps=200)
    vec_env = model.get_env()
    obs = vec_env.reset()
    for _ in range(10):
        action, _state = model.predict(obs, deterministic=True)
        obs, _reward, _done, _info = vec_env.step(action)
    assert model.num_timesteps == 200
    assert vec_env.observation_space.contains(obs[0])


def make_env(env_id, rank, seed=0):
    def _init():
        env = gym.make(env_id)
        env.reset(seed=seed + rank)
        return env

    set_random_seed(seed)
    return _init


def test_multiprocessing() -> None:
    vec_env = SubprocVecEnv([make_env("CartPole-v1", i) for i in range(2)])
    model = WassersteinPPO("MlpPolicy", vec_env, **SHORT, **drawn(4))
    model.learn(total_timesteps=128)
    assert len(model.embeddings) > 1
    vec_env.close()


class SaveOnBestTrainingRewardCallback(BaseCallback):
    def __init__(self, check_freq, log_dir, verbose=1) -> None:
        super().__init__(verbose)
        self.check_freq, self.save_path, self.best = check_freq, log_dir / "best_model", -np.inf

    def _on_step(self) -> bool:
        if self.n_calls % self.check_freq == 0 and self.model.ep_info_buffer:
            mean = np.mean([episode["r"] for episode in self.model.ep_info_buffer])
            if mean > self.best:
                self.best = mean
                self.model.save(self.save_path)
        return True


def test_using_callback_monitoring_training(tmp_path) -> None:
    env = Monitor(gym.make("CartPole-v1"), str(tmp_path))
    model = WassersteinA2C("MlpPolicy", env, **drawn(4))
    model.learn(total_timesteps=200, callback=SaveOnBestTrainingRewardCallback(50, tmp_path))
    assert len(WassersteinA2C.load(tmp_path / "best_model").embeddings) > 0
    env.close()


def test_callback_collection(tmp_path) -> None:
    for module in ("tqdm", "rich"):
        pytest.importorskip(module, reason="needs the extra logging")
    checkpoints = CheckpointCallback(save_freq=64, save_path=tmp_path, save_vecnormalize=True)
    evaluation = EvalCallback(
        VecNormalize(make_vec_env("CartPole-v1"), training=False), eval_freq=64, n_eval_episodes=1, verbose=0
    )
    stop = StopTrainingOnMaxEpisodes(max_episodes=1000)
    model = WassersteinPPO("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1")), **SHORT, **drawn(4))
    model.learn(128, callback=CallbackList([checkpoints, evaluation, stop]), progress_bar=True)
    assert list(tmp_path.glob("*vecnormalize*"))
    assert evaluation.last_mean_reward > 0


def test_dict_observations() -> None:
    env = SimpleMultiObsEnv(random_start=False)
    features = {"embedding": FinalState(features="vec")}
    model = WassersteinPPO("MultiInputPolicy", env, **SHORT, **features, **drawn(5))
    model.learn(total_timesteps=320)
    assert model.embeddings.shape[1] == 5


def brightness(image):
    return image.mean(axis=(0, 1)) / 255.0


@pytest.mark.parametrize("stack", [False, True])
def test_images(stack) -> None:
    """The Atari example's shape: CnnPolicy on stacked images."""
    vec_env = make_vec_env(lambda: FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, channel_first=False), 2)
    if stack:
        vec_env = VecFrameStack(vec_env, n_stack=4)
    # What the algorithm sees is transposed to channels first.
    embedding = MeanState(features=lambda image: image.mean(axis=(1, 2)) / 255.0)
    model = WassersteinA2C("CnnPolicy", vec_env, embedding=embedding, **drawn(4 if stack else 1))
    assert isinstance(model.get_env(), VecTransposeImage)
    model.learn(total_timesteps=50)
    assert len(model.embeddings) > 0


def test_normalizing_input_features(tmp_path) -> None:
    vec_env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=1), norm_obs=True, norm_reward=True, clip_obs=10.0)
    model = WassersteinPPO("MlpPolicy", vec_env, n_steps=256, batch_size=64, n_epochs=1, **drawn(3))
    model.learn(total_timesteps=512)
    model.save(tmp_path / "ppo_pendulum")
    vec_env.save(str(tmp_path / "vec_normalize.pkl"))
    loaded_env = VecNormalize.load(str(tmp_path / "vec_normalize.pkl"), make_vec_env("Pendulum-v1", n_envs=1))
    loaded_env.training = loaded_env.norm_reward = False
    model = WassersteinPPO.load(tmp_path / "ppo_pendulum", env=loaded_env)
    # The embeddings are those of the original observations: a pendulum's speed goes up to eight.
    assert np.abs(model.embeddings[:, :2]).max() <= 1.0
    evaluate_policy(model, loaded_env, n_eval_episodes=1)


def test_accessing_and_modifying_model_parameters() -> None:
    """The evolution strategy of the page: parameters out, changed, and in again without the optimiser's."""
    model = WassersteinA2C("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8]}, **drawn(4))
    model.learn(total_timesteps=200)
    params = {key: value for key, value in model.policy.state_dict().items() if "policy" in key or "action" in key}
    candidate = {name: param + th.randn_like(param) for name, param in params.items()}
    all_params: Any = {**model.policy.state_dict(), **candidate}
    model.set_parameters({"policy": all_params}, exact_match=False)
    assert th.equal(model.policy.state_dict()["action_net.bias"], candidate["action_net.bias"])
    window = model.embeddings
    model.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(model.embeddings, window)


def test_learning_rate_schedule() -> None:
    model = WassersteinPPO("MlpPolicy", "CartPole-v1", learning_rate=lambda left: left * 0.001, **SHORT, **drawn(4))
    model.learn(total_timesteps=192)
    model.learn(total_timesteps=64, reset_num_timesteps=False, tb_log_name="more")
    assert model.num_timesteps == 256
    # At the end of the second call nothing of 256 steps is left.
    assert model.policy.optimizer.param_groups[0]["lr"] == 0.001 * model._current_progress_remaining < 0.001


class CustomCombinedExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=16) -> None:
        super().__init__(observation_space, features_dim)
        self.linear = th.nn.Sequential(th.nn.Linear(observation_space.shape[0], features_dim), th.nn.ReLU())

    def forward(self, observations):
        return self.linear(observations)


def test_custom_policy() -> None:
    policy_kwargs = {
        "activation_fn": th.nn.ReLU,
        "net_arch": {"pi": [16, 16], "vf": [16]},
        "features_extractor_class": CustomCombinedExtractor,
        "features_extractor_kwargs": {"features_dim": 8},
    }
    model = WassersteinPPO("MlpPolicy", "CartPole-v1", policy_kwargs=policy_kwargs, **SHORT, **drawn(4))
    before = model.policy.features_extractor.linear[0].weight.detach().clone()
    model.learn(192)
    assert not th.equal(model.policy.features_extractor.linear[0].weight, before)


@pytest.mark.parametrize(("space", "dim"), [("multi_discrete", 5), ("multi_binary", 4), ("dict", 5), ("discrete", 6)])
def test_observation_spaces(space, dim) -> None:
    policy = "MultiInputPolicy" if space == "dict" else "MlpPolicy"
    model = WassersteinPPO(policy, make_vec_env(lambda: ScriptedEnv(space), 2), **SHORT, **drawn(dim)).learn(64)
    assert model.embeddings.shape[1] == dim


class AnyAction(ScriptedEnv):
    def __init__(self, action_space) -> None:
        super().__init__()
        self.action_space = action_space


@pytest.mark.parametrize(
    "action_space",
    [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Box(-1, 1, (2,))],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
def test_action_spaces(cls, action_space) -> None:
    model = cls("MlpPolicy", AnyAction(action_space), **drawn(3)) if cls is WassersteinA2C else None
    model = model or cls("MlpPolicy", AnyAction(action_space), **SHORT, **drawn(3))
    assert len(model.learn(64).embeddings) > 4


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
def test_state_dependent_exploration(cls) -> None:
    kwargs = SHORT if cls is WassersteinPPO else {}
    for more in ({}, {"sde_sample_freq": 4, "policy_kwargs": {"squash_output": True}}):
        model = cls("MlpPolicy", "Pendulum-v1", use_sde=True, segment_length=16, **more, **kwargs, **drawn(3)).learn(128)
        assert len(model.embeddings) == 8


def test_set_env_binds_to_the_new_one() -> None:
    model = WassersteinPPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=0), **SHORT, **drawn(4)).learn(128)
    before = len(model.embeddings)
    model.set_env(make_vec_env("CartPole-v1", 2, seed=1))
    model.learn(128)
    assert len(model.embeddings) > before


@pytest.mark.parametrize(("ours", "theirs"), [(WassersteinPPO, PPO), (WassersteinA2C, A2C)])
def test_a_plain_models_zip(tmp_path, ours, theirs) -> None:
    """Its policy goes on with ours; a target given to load starts an empty window."""
    kwargs = SHORT if theirs is PPO else {}
    plain = theirs("MlpPolicy", "CartPole-v1", seed=0, **kwargs)
    plain.save(tmp_path / "plain")
    model = ours.load(tmp_path / "plain", env=gym.make("CartPole-v1"), **drawn(4))
    for key, value in plain.policy.state_dict().items():
        assert th.equal(value, model.policy.state_dict()[key])
    assert len(model.embeddings) == 0
    assert len(model.learn(128).embeddings) > 0
    fresh = ours("MlpPolicy", "CartPole-v1", **kwargs, **drawn(4))
    fresh.set_parameters(tmp_path / "plain.zip")
    assert th.equal(fresh.policy.state_dict()["action_net.bias"], plain.policy.state_dict()["action_net.bias"])


@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, SubprocVecEnv])
def test_make_vec_env_with_its_arguments(tmp_path, vec_env_cls) -> None:
    env = make_vec_env(
        "CartPole-v1",
        2,
        seed=1,
        start_index=3,
        monitor_dir=str(tmp_path),
        env_kwargs={"max_episode_steps": 50},
        vec_env_cls=vec_env_cls,
        monitor_kwargs={"info_keywords": ()},
    )
    model = WassersteinA2C("MlpPolicy", env, **drawn(4)).learn(200)
    assert len(list(tmp_path.glob("*.monitor.csv"))) == 2
    assert len(model.embeddings) > 0
    env.close()
