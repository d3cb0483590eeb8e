"""WPO's life in SB3: every kind of space, buffer, exploration and actor; saved, loaded, gone on with; and what it refuses."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv, FakeImageEnv, SimpleMultiObsEnv
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import SACPolicy

from sb3_wasserstein import WPO
from sb3_wasserstein.flow.wpo import MixtureActor, MlpPolicy

SMALL = {"learning_starts": 40, "batch_size": 16, "buffer_size": 500, "seed": 0, "device": "cpu"}
NETS = {"net_arch": [32]}


def model(env="Pendulum-v1", policy="MlpPolicy", **kwargs):
    return WPO(policy, env, **{**SMALL, "policy_kwargs": dict(NETS), **kwargs})


def weights(algorithm):
    return torch.cat([p.detach().reshape(-1) for p in algorithm.policy.parameters()])


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"actor": "mixture"},
        {"actor": "particles"},
        {"actor": "mixture", "policy_kwargs": {**NETS, "n_components": 3, "max_std": 0.3, "min_weight": 0.2}},
        {"prox": "w2"},
        {"prox": "kl", "actor": "mixture"},
        {"squash_velocity": "cbrt", "ent_coef": 0.0},
        {"natural_gradient": True},
        {"natural_gradient": True, "actor": "particles"},
        {"ent_coef": "auto_0.1", "target_entropy": -0.5, "n_action_samples": 1},
        {"use_sde": True, "sde_sample_freq": 4, "use_sde_at_warmup": True},
        {"use_sde": True, "natural_gradient": True, "prox": "w2"},
        {"action_noise": NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))},
        {"train_freq": (1, "episode"), "gradient_steps": 5, "learning_starts": 10},
    ],
    ids=str,
)
def test_it_is_saved_loaded_and_goes_on(kwargs, tmp_path) -> None:
    first = model(**kwargs).learn(60)
    assert first._n_updates > 0
    assert bool(torch.isfinite(weights(first)).all())
    assert not torch.equal(weights(first), weights(model(**kwargs)))
    first.save(tmp_path / "model")
    first.save_replay_buffer(tmp_path / "buffer")
    second = WPO.load(tmp_path / "model", env=gym.make("Pendulum-v1"), device="cpu", custom_objects={"learning_starts": 5})
    second.load_replay_buffer(tmp_path / "buffer")
    assert second.learning_starts == 5
    assert torch.equal(weights(first), weights(second))
    assert second.actor_type == first.actor_type
    assert second.replay_buffer.size() == first.replay_buffer.size()
    observation = first.observation_space.sample()
    ours, theirs = (m.predict(observation, deterministic=True)[0] for m in (first, second))
    np.testing.assert_array_equal(ours, theirs)
    parameters = first.get_parameters()
    second.learn(20, reset_num_timesteps=False)
    second.set_parameters(parameters)
    assert torch.equal(weights(first), weights(second))
    for name in parameters:
        assert name in second.get_parameters()


def test_a_resumed_training_keeps_target_actor_and_temperature(tmp_path) -> None:
    first = model(prox="kl").learn(80)
    first.save(tmp_path / "model")
    second = WPO.load(tmp_path / "model")
    assert second.log_ent_coef.item() == first.log_ent_coef.item() != 0.0
    one, other = (torch.cat([p.reshape(-1) for p in m.actor_target.parameters()]) for m in (first, second))
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.cat([p.detach().reshape(-1) for p in first.actor.parameters()]))


def test_n_step_returns() -> None:
    assert model(n_steps=3).learn(60)._n_updates > 0


@pytest.mark.parametrize("actor", ["gaussian", "mixture", "particles"])
def test_dict_observations_and_several_environments(actor) -> None:
    env = make_vec_env(lambda: SimpleMultiObsEnv(discrete_actions=False, channel_last=False), 2)
    policy_kwargs = {"net_arch": [8], "features_extractor_kwargs": {"cnn_output_dim": 8}}
    found = model(env, "MultiInputPolicy", actor=actor, policy_kwargs=policy_kwargs).learn(60)
    assert found._n_updates > 0
    assert found.predict(env.reset())[0].shape == (2, *(env.action_space.shape or ()))


@pytest.mark.parametrize("actor", ["gaussian", "particles"])
def test_images(actor) -> None:
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=False)
    policy_kwargs = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}, "share_features_extractor": True}
    found = model(env, "CnnPolicy", actor=actor, policy_kwargs=policy_kwargs, batch_size=4, buffer_size=60)
    assert found.learn(43)._n_updates > 0


def test_hindsight() -> None:
    env = BitFlippingEnv(n_bits=3, continuous=True)
    found = model(env, "MultiInputPolicy", replay_buffer_class=HerReplayBuffer, replay_buffer_kwargs={"n_sampled_goal": 2})
    assert found.learn(60)._n_updates > 0


def test_normalised_observations_callbacks_and_the_log(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    env = VecNormalize(make_vec_env("Pendulum-v1", 1))
    evaluated = VecNormalize(make_vec_env("Pendulum-v1", 1), training=False)
    callbacks = [
        CheckpointCallback(50, str(tmp_path), save_replay_buffer=True),
        EvalCallback(evaluated, eval_freq=50, verbose=0),
    ]
    model(env, tensorboard_log=str(tmp_path)).learn(60, callback=callbacks)
    assert (tmp_path / "WPO_1").is_dir()
    assert any(path.suffix == ".zip" for path in tmp_path.iterdir())


def test_the_gaussian_actor_is_sb3s() -> None:
    ours = model()
    theirs = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs=NETS, seed=0, device="cpu")
    assert type(ours.actor) is type(theirs.actor)
    assert torch.equal(weights(ours), weights(theirs))
    assert isinstance(WPO(SACPolicy, "Pendulum-v1", policy_kwargs=NETS).policy, SACPolicy)


@pytest.mark.parametrize("actor", ["mixture", "particles"])
def test_a_policy_is_saved_by_itself(actor, tmp_path) -> None:
    found = model(actor=actor, policy_kwargs={**NETS, "n_components": 3})
    assert isinstance(found.actor, MixtureActor)
    assert found.actor.n_components == 3
    found.policy.save(tmp_path / "policy")
    again = MlpPolicy.load(tmp_path / "policy")
    observation = found.observation_space.sample()
    np.testing.assert_array_equal(
        found.policy.predict(observation, deterministic=True)[0], again.predict(observation, deterministic=True)[0]
    )


def test_a_mixtures_bounds() -> None:
    """Widths are max_std / (1 + e⁻ˣ), weights m + (1 − K m) softmax: written out in numpy, from the heads' own outputs."""
    kwargs = {**NETS, "n_components": 3, "max_std": 0.3, "min_weight": 0.1}
    found = model(actor="mixture", policy_kwargs=kwargs)
    actor, observations = found.actor, torch.randn(7, 3)
    with torch.no_grad():
        actor.log_std.bias.copy_(torch.tensor([-3.0, 0.0, 9.0]))
        actor.logits.bias.copy_(torch.tensor([0.0, 8.0, -8.0]))
        latent = actor.latent_pi(actor.extract_features(observations, actor.features_extractor))
        x, logits = (head(latent).double().numpy() for head in (actor.log_std, actor.logits))
    law = actor.law(observations)
    weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(law.stds[..., 0].detach(), 0.3 / (1 + np.exp(-x)), rtol=1e-5)
    np.testing.assert_allclose(law.log_weights.exp().detach(), 0.1 + 0.7 * weights, rtol=1e-5)
    (slope,) = torch.autograd.grad(law.stds[:, 1].sum(), actor.log_std.bias)
    assert float(slope[1]) > 0.1
    even = model(actor="mixture", policy_kwargs={**kwargs, "n_components": 4, "min_weight": 0.25}).actor
    with torch.no_grad():
        even.logits.bias.copy_(torch.tensor([5.0, 0.0, 0.0, -5.0]))
    np.testing.assert_allclose(even.law(observations).log_weights.exp().detach(), 0.25, rtol=1e-6)


TUNED = {"learning_starts": 150, "batch_size": 64, "learning_rate": 3e-3, "seed": 1, "policy_kwargs": {"net_arch": [64, 64]}}


class Bandit(gym.Env):
    """One state; the reward has two equal tops, at ± .6."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(-8 * (abs(action[0]) - 0.6) ** 2), True, False, {}


def shares(algorithm):
    observations = np.zeros((2000, 1), np.float32)
    actions = algorithm.predict(observations)[0][:, 0]
    near = np.abs(np.abs(actions) - 0.6) < 0.3
    return near.mean(), (actions[near] > 0).mean()


@pytest.mark.parametrize("actor", ["mixture", "particles"])
def test_two_modes_are_kept(actor) -> None:
    near, right = shares(model(Bandit(), actor=actor, **TUNED).learn(400))
    assert near > 0.8
    assert 0.4 <= right <= 0.6


@pytest.mark.parametrize("kwargs", [{}, {"natural_gradient": True, "learning_rate": 1e-2}], ids=str)
def test_it_climbs(kwargs) -> None:
    class Slope(Bandit):
        def step(self, action):
            return np.zeros(1, np.float32), float(-4 * (action[0] - 0.5) ** 2), True, False, {}

    found = model(Slope(), **{**TUNED, "ent_coef": 0.05, **kwargs}).learn(400)
    assert found.predict(np.zeros(1, np.float32), deterministic=True)[0][0] == pytest.approx(0.5, abs=0.1)


def test_a_proximal_step_holds_back() -> None:
    def moved(**kwargs):
        found = model(learning_rate=3e-3, ent_coef=0.1, gradient_steps=2, **kwargs)
        start = found.actor.mu.weight.detach().clone()
        found.learn(100)
        return float((found.actor.mu.weight.detach() - start).norm())

    assert moved(prox="w2", prox_coef=1e4, tau=1e-6) < 0.7 * moved()


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"ent_coef": "auto_0"}, "ent_coef"),
        ({"actor": "mixture", "use_sde": True}, "use_sde"),
        ({"actor": "mixture", "policy": SACPolicy}, "policy"),
        ({"policy_kwargs": {"actor_type": "dirac"}}, "actor"),
        ({"actor": "mixture", "policy_kwargs": {"max_std": 0.0}}, "max_std"),
        ({"actor": "mixture", "policy_kwargs": {"min_weight": 0.3}}, "min_weight"),
        ({"actor": "mixture", "policy_kwargs": {"min_weight": -0.1}}, "min_weight"),
        ({"actor": "particles", "policy_kwargs": {"max_std": 0.3}}, "max_std"),
        ({"policy_kwargs": {"min_weight": 0.1}}, "min_weight"),
    ],
    ids=str,
)
def test_wpo_refuses_bad_input(kwargs, name) -> None:
    """What tests/trust/test_bad_input.py does not try."""
    with pytest.raises(ValueError, match=name):
        model(**kwargs)
