"""Arguments that are set on a model, or given to ``load``, take effect from the next rollout on, or raise with their name."""

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import StateOccupancy, Trajectory
from sb3_wasserstein.regularised import TrackerOptions

LEFT, RIGHT = Target([[-0.5, 0.0, 0.0, 0.0]]), Target([[0.5, 0.0, 0.0, 0.0]])
ALONG = np.linspace(-0.5, 0.5, 5)[:, None] * [1.0, 0.0, 0.0, 0.0]


def made(**kwargs: Any) -> WassersteinPPO:
    arguments = {"target": LEFT, "wasserstein_coef": -1.0, "n_steps": 128, "batch_size": 64, "n_epochs": 1, "seed": 0}
    return WassersteinPPO("MlpPolicy", "CartPole-v1", **{**arguments, **kwargs})


@pytest.mark.parametrize("dual", ["sinkhorn", "rkhs", "alternating", "semidiscrete"])
def test_a_target_that_is_set_shapes_from_the_next_rollout_on(dual: str) -> None:
    model = made(dual=dual).learn(512)
    assert np.argmin(model.dual.shaping(ALONG)) == 0
    model.target = RIGHT
    assert np.argmin(model.dual.shaping(ALONG)) == len(ALONG) - 1
    assert model.target is model.tracker.target is RIGHT
    model.learn(128, reset_num_timesteps=False)


@pytest.mark.parametrize("dual", ["sinkhorn", "alternating"])
def test_a_target_given_to_load_shapes_from_the_first_rollout_on(dual: str, tmp_path: Any) -> None:
    model = made(dual=dual).learn(512)
    model.save(tmp_path / "model")
    loaded = WassersteinPPO.load(tmp_path / "model", env=gym.make("CartPole-v1"), target=RIGHT)
    assert np.argmin(loaded.dual.shaping(ALONG)) == len(ALONG) - 1
    same = WassersteinPPO.load(tmp_path / "model", env=gym.make("CartPole-v1"), target=Target(LEFT.points))
    np.testing.assert_array_equal(same.dual.shaping(ALONG), model.dual.shaping(ALONG))


def test_a_target_for_a_model_that_was_made_without_one() -> None:
    model = made(target=None, wasserstein_coef=0.0).learn(128)
    model.target, model.wasserstein_coef = RIGHT, 1.0
    model.learn(256, reset_num_timesteps=False)
    assert model.dual.is_fitted
    with pytest.raises(ValueError, match="target has dimension 2"):
        model.target = np.zeros((1, 2))
    with pytest.raises(ValueError, match="target=None"):
        model.target = None


def test_each_setting_takes_effect() -> None:
    model = made().learn(384)
    n_seen = len(model.embeddings)
    model.credit, model.normalize_bonus, model.episode_window = "terminal", False, 3
    model.wasserstein_coef = lambda left: -2.0
    assert n_seen > len(model.embeddings) == 3
    model.learn(128, reset_num_timesteps=False)
    assert model.logger.name_to_value.get("wasserstein/coef_effective", -2.0) == -2.0
    rollout, rewards = model.tracker.rollout, model.rollout_buffer.rewards
    np.testing.assert_array_equal(rewards != 1.0, rollout.terminated)
    assert len(model.embeddings) == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("credit", "nonsense", ValueError),
        ("credit", np.zeros(0), ValueError),
        ("episode_window", 1, ValueError),
        ("episode_window", 10**30, ValueError),
        ("normalize_bonus", "no", TypeError),
        ("wasserstein_coef", float("nan"), ValueError),
        ("wasserstein_coef", "big", TypeError),
        ("wasserstein_coef", np.zeros(0), TypeError),
        ("wasserstein_coef", 10**400, ValueError),
        ("target", np.zeros(0), ValueError),
        ("embedding", "path", ValueError),
        ("dual", "rkhs", ValueError),
        ("dual_kwargs", {"epsilon": 1.0}, ValueError),
        ("segment_length", 5, ValueError),
        ("tracker_options", TrackerOptions(), ValueError),
    ],
)
def test_what_cannot_be_set_raises_with_its_name(name: str, value: Any, error: type[Exception]) -> None:
    model = made()
    with pytest.raises(error, match=name):
        setattr(model, name, value)
    model.learn(128)


def test_a_coefficient_that_is_finite_and_too_large_stops_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"wasserstein_coef=1e\+39 gives a bonus"):
        made(wasserstein_coef=1e39).learn(1024)


def test_options_and_window_are_saved(tmp_path: Any) -> None:
    options = TrackerOptions(new_share=0.5, solve_every=100)
    made(tracker_options=options, episode_window=17).save(tmp_path / "model")
    loaded = WassersteinPPO.load(tmp_path / "model")
    assert (loaded.tracker_options, loaded.episode_window) == (options, 17)
    with pytest.raises(ValueError, match="max_states"):
        TrackerOptions(max_states=0)
    with pytest.raises(TypeError, match="tracker_options"):
        made(tracker_options={"max_states": 5})


def test_a_large_target_is_thinned_once_and_says_so() -> None:
    with pytest.warns(UserWarning, match="target has 5000 points.*max_target") as caught:
        model = made(target=np.random.default_rng(0).normal(size=(5000, 4)), tracker_options=TrackerOptions(max_target=50))
    model.learn(512)
    assert len(caught) == 1
    assert len(model.target.points) == 50


def test_recorded_episodes_as_a_target() -> None:
    episodes = [np.zeros((5, 4)), np.ones((9, 4))]
    for target in (episodes, [Trajectory(episode) for episode in episodes]):
        np.testing.assert_array_equal(made(target=target).target.points, [[0.0] * 4, [1.0] * 4])


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"target": Trajectory(np.zeros((2, 4)))}, ValueError, "target.*list"),
        ({"target": "nowhere.npz"}, FileNotFoundError, "target.*nowhere.npz.*save"),
        ({"wasserstein_coeff": 1.0}, TypeError, "wasserstein_coeff.*did you mean wasserstein_coef="),
        ({"episodes_window": 3}, TypeError, "did you mean episode_window="),
    ],
)
def test_messages_say_what_to_do(kwargs: dict[str, Any], error: type[Exception], words: str, tmp_path: Any) -> None:
    with pytest.raises(error, match=words):
        made(**kwargs)
    made().save(tmp_path / "model")
    with pytest.raises(error, match=words):
        WassersteinPPO.load(tmp_path / "model", **kwargs)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stable_baselines3.common.callbacks.tqdm", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[logging\]"):
        made().learn(128, progress_bar=True)


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
def test_a_model_that_has_learnt_can_be_copied(cls: Any) -> None:
    model = cls("MlpPolicy", "CartPole-v1", target=LEFT, wasserstein_coef=-1.0, n_steps=64, seed=0).learn(256)
    copied = copy.deepcopy(model)
    before = copy.deepcopy(model.policy.state_dict())
    n_episodes = len(model.embeddings)
    copied.learn(256, reset_num_timesteps=False)
    assert len(copied.embeddings) > len(model.embeddings) == n_episodes
    assert all(th.equal(value, before[name]) for name, value in model.policy.state_dict().items())


def test_a_callback_keeps_no_frame_of_sb3() -> None:
    from sb3_wasserstein import DualCallback

    callback = DualCallback("final_state", target=LEFT)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=0).learn(128, callback)
    assert callback.locals == callback.globals == {}

    class Interrupted(BaseCallback):
        def _on_step(self) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.learn(64, [callback, Interrupted()])
    assert callback.__getstate__()["locals"] == {}
    pickle.dumps(callback.tracker.state_dict())


def test_a_dual_on_an_accelerator_is_loaded_onto_the_models_device(tmp_path: Any) -> None:
    made(dual_kwargs={"device": "cuda"}).save(tmp_path / "model")
    loaded = WassersteinPPO.load(tmp_path / "model", env=gym.make("CartPole-v1"), device="cpu")
    assert loaded.dual.device == "cpu"
    assert loaded.learn(256).dual.is_fitted


class Short(gym.Env):
    """Ends by itself after ``length`` steps, without a time limit that its spec would know."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), float(action), False, self.time >= self.length, {}


def test_the_horizon_is_that_of_the_environment_that_is_learnt_in() -> None:
    arguments = {"embedding": StateOccupancy(), "target": [[0.0]], "n_steps": 64, "batch_size": 64, "n_epochs": 1, "seed": 0}
    model = WassersteinPPO("MlpPolicy", gym.wrappers.TimeLimit(Short(50), 20), wasserstein_coef=1.0, **arguments)
    model.learn(128)
    model.set_env(Short(9))
    model.learn(128, reset_num_timesteps=False)
    # Nobody says a limit: it is the longest episode so far.
    assert model.embedding.horizon == 9
    model.tracker.log(model.logger)
    assert model.logger.name_to_value["wasserstein/horizon"] == 9
    model.set_env(gym.wrappers.TimeLimit(Short(50), 30))
    assert model.embedding.horizon in (30, None)
