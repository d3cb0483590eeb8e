"""What a saved model keeps: window, scales, target, dual, to the bit; and nothing that has to be unpickled."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding, Path, StateOccupancy

POINTS = np.array([[0.0, 0.1, 0.0, 0.2], [0.3, 0.0, -0.1, 0.0]])


def model_for(cls=WassersteinPPO, embedding="final_state", target=POINTS, coef=-1.0, **kwargs):
    if cls is WassersteinPPO:
        kwargs = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, **kwargs}
    env = make_vec_env("CartPole-v1", 2, seed=0)
    return cls("MlpPolicy", env, embedding=embedding, target=target, wasserstein_coef=coef, seed=0, **kwargs)


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
@pytest.mark.parametrize(
    ("embedding", "dim", "dual_kwargs"),
    [
        ("final_state", 4, None),
        (Path(3, features=[0, 2]), 6, {"epsilon": 0.1, "cost": SaturatingCost("euclidean", 2.0)}),
        (StateOccupancy(features=slice(0, 2), after_termination="absorb"), 2, {"cost": "cityblock"}),
    ],
    ids=["final_state", "path", "occupancy"],
)
def test_round_trip(tmp_path, cls, embedding, dim, dual_kwargs) -> None:
    target = Target(np.random.default_rng(0).normal(size=(5, dim)), [1, 2, 3, 4, 5])
    model = model_for(cls, embedding, target, dual_kwargs=dual_kwargs, credit="terminal", episode_window=32)
    model.learn(1024)
    model.save(tmp_path / "model")
    loaded = cls.load(tmp_path / "model", env=make_vec_env("CartPole-v1", 2, seed=0))
    points = np.random.default_rng(1).normal(size=(20, dim))
    np.testing.assert_array_equal(loaded.tracker.shaping(points), model.tracker.shaping(points))
    np.testing.assert_array_equal(loaded.embeddings, model.embeddings)
    assert loaded.tracker.scales == model.tracker.scales
    np.testing.assert_array_equal(loaded.target.points, target.points)
    np.testing.assert_array_equal(loaded.target.weights, target.weights)
    assert (loaded.credit, loaded.episode_window, loaded.wasserstein_coef) == ("terminal", 32, -1.0)
    assert loaded.embedding.config() == model.embedding.config()
    seen = loaded.tracker.window.n_seen
    loaded.learn(256, reset_num_timesteps=False)
    assert loaded.tracker.window.n_seen > seen == model.tracker.window.n_seen
    assert loaded.num_timesteps >= model.num_timesteps + 256


def test_a_model_loads_without_an_environment_and_saves_again(tmp_path) -> None:
    model = model_for()
    model.learn(512)
    model.save(tmp_path / "first")
    WassersteinPPO.load(tmp_path / "first").save(tmp_path / "second")
    loaded = WassersteinPPO.load(tmp_path / "second")
    observation = np.array([0.01, 0.0, 0.02, 0.0], dtype=np.float32)
    assert loaded.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.embeddings, model.embeddings)


def test_nothing_of_ours_is_pickled(tmp_path) -> None:
    model = model_for(embedding=Path(3), target=np.zeros((1, 12)), dual_kwargs={"cost": SaturatingCost()})
    model.learn(512)
    model.save(tmp_path / "model")
    PPO("MlpPolicy", "CartPole-v1").save(tmp_path / "plain")

    def pickled(path):
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            for name in archive.namelist():
                if name.endswith(".pth"):
                    th.load(io.BytesIO(archive.read(name)), weights_only=True)
        return {key for key, value in data.items() if isinstance(value, dict) and ":serialized:" in value}

    extra = pickled(tmp_path / "model.zip") - pickled(tmp_path / "plain.zip")
    # What a trained model holds beyond a fresh one is SB3's.
    assert extra <= {"_last_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer", "_last_original_obs"}


def test_arguments_given_to_load_win(tmp_path) -> None:
    model = model_for()
    model.learn(512)
    model.save(tmp_path / "model")
    other = Target(POINTS + 1.0)
    env = make_vec_env("CartPole-v1", 2, seed=0)
    loaded = WassersteinPPO.load(tmp_path / "model", env=env, target=other, wasserstein_coef=0.5)
    np.testing.assert_array_equal(loaded.target.points, other.points)
    np.testing.assert_array_equal(loaded.tracker.target.points, other.points)
    assert loaded.wasserstein_coef == 0.5
    loaded.learn(256)


def test_a_plain_zip_loads_and_can_be_given_a_target(tmp_path) -> None:
    PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), n_steps=64, batch_size=64).learn(128).save(tmp_path / "plain")
    env = make_vec_env("CartPole-v1", 2, seed=0)
    assert WassersteinPPO.load(tmp_path / "plain", env=env).target is None
    model = WassersteinPPO.load(tmp_path / "plain", env=env, embedding="final_state", target=POINTS, wasserstein_coef=-1.0)
    model.learn(512)
    assert model.dual.distance > 0


@pytest.mark.parametrize("embedding", [FunctionEmbedding(lambda t: [len(t)], 1), FinalState(lambda o: o[:1])], ids=str)
def test_functions_are_not_saved_and_the_error_says_so(tmp_path, embedding) -> None:
    model = model_for(embedding=embedding, target=[[3.0]])
    model.learn(256)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="embedding="):
        WassersteinPPO.load(tmp_path / "model")
    loaded = WassersteinPPO.load(tmp_path / "model", env=make_vec_env("CartPole-v1", 2), embedding=embedding)
    np.testing.assert_array_equal(loaded.embeddings, model.embeddings)
    loaded.learn(256)


def test_a_sampled_target_is_not_saved_and_the_error_says_so(tmp_path) -> None:
    target = Target.from_sampler(lambda n: np.random.default_rng(n).normal(size=(n, 4)), 4)
    model = model_for(target=target)
    model.learn(512)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="target="):
        WassersteinPPO.load(tmp_path / "model")
    WassersteinPPO.load(tmp_path / "model", target=target)


def test_checkpoints_and_evaluation(tmp_path) -> None:
    """Checkpoints keep the window; what EvalCallback sees is the environment's own return."""
    env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=0))
    model = WassersteinPPO(
        "MlpPolicy", env, embedding="final_state", target=POINTS + 50, wasserstein_coef=20.0, n_steps=64, batch_size=64, seed=0
    )
    evaluation = EvalCallback(VecNormalize(make_vec_env("CartPole-v1", 1, seed=1), training=False), eval_freq=128, verbose=0)
    checkpoint = CheckpointCallback(256, str(tmp_path), save_vecnormalize=True)
    model.learn(1024, callback=[evaluation, checkpoint])
    for rewards, lengths in zip(evaluation.evaluations_results, evaluation.evaluations_length, strict=True):
        np.testing.assert_array_equal(rewards, lengths)
    assert {info["r"] == info["l"] for info in model.ep_info_buffer} == {True}
    saved = sorted(tmp_path.glob("rl_model_*_steps.zip"))
    assert len(saved) == 2
    loaded = WassersteinPPO.load(saved[0], env=env)
    assert 0 < len(loaded.embeddings) < len(model.embeddings)
    assert loaded.dual.is_fitted
    mean, _ = evaluate_policy(model, make_vec_env("CartPole-v1", 1, seed=2), 3, warn=False)
    assert mean >= 1


def test_learning_goes_on_where_it_stopped() -> None:
    """Two calls of learn keep the window; an episode that spans them is recorded whole."""
    model = model_for(n_steps=16, batch_size=32)
    model.learn(320)
    first = model.tracker.window.n_seen
    model.learn(320, reset_num_timesteps=False)
    assert model.tracker.window.n_seen > first
    lengths = list(model.tracker.window.lengths)
    assert sum(lengths) <= 640
    assert sum(lengths) + 2 * 500 > 640
    assert [info["l"] for info in model.ep_info_buffer] == lengths


@pytest.mark.parametrize("dual", ["sinkhorn", "rkhs", "alternating", "semidiscrete"])
def test_every_dual_is_saved_and_goes_on(tmp_path, dual) -> None:
    model = model_for(dual=dual)
    model.learn(1024)
    assert model.dual.distance != 0
    model.save(tmp_path / "model")
    loaded = WassersteinPPO.load(tmp_path / "model", env=make_vec_env("CartPole-v1", 2, seed=0))
    assert type(loaded.dual) is type(model.dual)
    np.testing.assert_array_equal(loaded.dual.shaping(POINTS + 0.1), model.dual.shaping(POINTS + 0.1))
    loaded.learn(256, reset_num_timesteps=False)


@pytest.mark.parametrize("dual", ["rkhs", "alternating", "semidiscrete"])
def test_a_stochastic_dual_takes_the_models_seed(dual) -> None:
    # One after the other: SB3 seeds torch's global generator when a model is made.
    first, second = (model_for(dual=dual, target=np.repeat(POINTS, 20, axis=0)).learn(1024) for _ in range(2))
    np.testing.assert_array_equal(first.dual.shaping(POINTS), second.dual.shaping(POINTS))
    for key, value in first.policy.state_dict().items():
        assert th.equal(value, second.policy.state_dict()[key])
