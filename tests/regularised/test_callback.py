"""The callback under SB3's own algorithms, and what is logged."""

import numpy as np
import pytest
import torch as th
from logs import KeepingLogger
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_wasserstein import DualCallback, Target, WassersteinA2C, WassersteinPPO, behaviour_distance, collect_embeddings
from sb3_wasserstein.duals import SinkhornDual

KEYS = {
    f"wasserstein/{name}"
    for name in (
        "distance",
        "coef",
        "coef_effective",
        "bonus_mean",
        "bonus_std",
        "bonus_to_return",
        "window_episodes",
        "dual_residual",
        "dual_iterations",
    )
}
STEPS = {
    PPO: {"n_steps": 128, "batch_size": 64, "n_epochs": 1},
    A2C: {},
    DQN: {"learning_starts": 10},
    SAC: {"learning_starts": 200},
}


@pytest.mark.parametrize("cls", [PPO, A2C, DQN, SAC])
def test_it_measures_and_changes_nothing(cls) -> None:
    def trained(callback):
        env = make_vec_env("Pendulum-v1" if cls is SAC else "CartPole-v1", 1, seed=0, env_kwargs={"max_episode_steps": 40})
        return cls("MlpPolicy", env, seed=0, **STEPS[cls]).learn(400, callback)

    callback = DualCallback("final_state", target=np.zeros((1, 3 if cls is SAC else 4)))
    watched, plain = trained(callback), trained(None)
    for key, value in plain.policy.state_dict().items():
        assert th.equal(value, watched.policy.state_dict()[key])
    assert len(callback.window) >= 8
    assert callback.dual.distance > 0
    assert len(callback.window) == len(plain.ep_info_buffer)
    np.testing.assert_allclose(callback.window.returns, [info["r"] for info in plain.ep_info_buffer], atol=1e-3)


def test_the_window_is_what_collecting_again_would_give() -> None:
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=0), n_steps=512, learning_rate=0.0, seed=0)
    callback = DualCallback("mean_state", episode_window=1000)
    model.learn(8192, callback)
    again = collect_embeddings(
        model, make_vec_env("CartPole-v1", 4, seed=9), "mean_state", n_episodes=len(callback.window), seed=1
    )
    close = behaviour_distance(callback.window.embeddings, again)
    # Two halves of one sample are farther apart, being smaller.
    assert close < behaviour_distance(again[::2], again[1::2]) < np.linalg.norm(again.std(axis=0))


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
def test_what_is_logged(cls) -> None:
    env = make_vec_env("CartPole-v1", 4, seed=0)
    kwargs = {"n_steps": 128, "batch_size": 64} if cls is WassersteinPPO else {"n_steps": 32}
    model = cls("MlpPolicy", env, embedding="final_state", target=np.zeros((1, 4)), wasserstein_coef=-1.0, seed=0, **kwargs)
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(2048, log_interval=1)
    assert logger.rows[-1].keys() >= KEYS
    for key in KEYS:
        assert np.isfinite(logger.rows[-1][key]), key
    assert logger.rows[-1]["wasserstein/window_episodes"] == len(model.embeddings)


def test_scalars_reach_tensorboard(tmp_path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = WassersteinPPO(
        "MlpPolicy",
        "CartPole-v1",
        target=np.zeros((1, 4)),
        wasserstein_coef=1.0,
        n_steps=256,
        tensorboard_log=str(tmp_path),
        seed=0,
    )
    model.learn(512)
    events = event_accumulator.EventAccumulator(str(tmp_path / "PPO_1")).Reload()
    assert set(events.Tags()["scalars"]) >= KEYS | {"rollout/ep_rew_mean", "train/loss"}


class Counting(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.starts = self.ends = self.training = 0

    def _on_training_start(self) -> None:
        self.training += 1

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("form", ["object", "list", "function", "none", "progress bar"])
def test_callbacks_in_every_form_that_sb3_takes(form) -> None:
    if form == "progress bar":
        pytest.importorskip("tqdm")
        pytest.importorskip("rich")
    counting, calls = Counting(), []
    callback = {
        "object": counting,
        "list": [counting, EveryNTimesteps(100, Counting())],
        "function": lambda local, _: calls.append(1) or True,
        "none": None,
        "progress bar": counting,
    }[form]
    model = WassersteinPPO("MlpPolicy", "CartPole-v1", target=np.zeros((1, 4)), n_steps=64, seed=0)
    model.learn(128, callback, progress_bar=form == "progress bar")
    if form in ("object", "list", "progress bar"):
        assert (counting.training, counting.ends, counting.n_calls) == (1, 2, 128)
    if form == "function":
        assert len(calls) == 128


def test_stopping_training_in_a_rollout_loses_no_episode() -> None:
    model = WassersteinPPO("MlpPolicy", "CartPole-v1", target=np.zeros((1, 4)), n_steps=512, seed=0)
    model.learn(512, lambda local, _: local["self"].num_timesteps < 200)
    assert model.dual.is_fitted
    assert model.num_timesteps == 200
    # SB3 leaves an episode that ends with the very step at which it stops out of its own buffer.
    assert len(model.embeddings) - len(model.ep_info_buffer) in (0, 1)
    assert len(model.embeddings) >= 5


def test_frame_stacks_are_what_the_policy_sees() -> None:
    env = VecFrameStack(make_vec_env("CartPole-v1", 2, seed=0), 3)
    model = WassersteinPPO(
        "MlpPolicy", env, embedding="final_state", target=np.zeros((1, 12)), n_steps=64, batch_size=64, seed=0
    )
    model.learn(256)
    assert model.embeddings.shape[1] == 12


def test_a_dual_of_ones_own() -> None:
    dual = SinkhornDual(epsilon=0.2, cost="cityblock")
    model = WassersteinPPO(
        "MlpPolicy", "CartPole-v1", target=np.zeros((2, 4)), wasserstein_coef=-1.0, dual=dual, n_steps=128, seed=0
    )
    model.learn(256)
    assert model.dual is dual
    assert dual.distance > 0


def test_a_sampled_target_is_redrawn() -> None:
    draws = []

    def sample(n):
        draws.append(n)
        return np.random.default_rng(len(draws)).normal(size=(n, 4))

    model = WassersteinPPO(
        "MlpPolicy",
        "CartPole-v1",
        target=Target.from_sampler(sample, 4),
        wasserstein_coef=-1.0,
        episode_window=16,
        n_steps=256,
        seed=0,
    )
    model.learn(1024)
    assert len(draws) >= 3


def test_a_wrapped_environments_record_is_used() -> None:
    from sb3_wasserstein import TrajectoryEmbeddingWrapper

    env = make_vec_env("CartPole-v1", 2, wrapper_class=TrajectoryEmbeddingWrapper, wrapper_kwargs={"embedding": "final_state"})
    model = WassersteinPPO(
        "MlpPolicy", env, target=np.zeros((1, 4)), wasserstein_coef=-1.0, n_steps=128, batch_size=64, seed=0
    )
    model.learn(512)
    assert type(model.embedding).__name__ == "FinalState"
    assert len(model.embeddings) > 2
