"""ImitationPPO: what it learns from states alone, and that it is a plain SB3 algorithm."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import ImitationPPO, WassersteinPPO
from sb3_wasserstein.embeddings import Scaling, StateOccupancy, Trajectory, TransitionOccupancy
from sb3_wasserstein.imitation import CloningOptions, Demonstrations, DemonstrationScaling, InverseModel, InverseModelOptions
from sb3_wasserstein.regularised import TrackerOptions

SMALL = {"n_steps": 128, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu", "cloning": CloningOptions(steps=3)}
SMALL |= {"inverse_model": InverseModelOptions(steps=3, hidden=(8,)), "policy_kwargs": {"net_arch": [8]}}


class Line(gym.Env[Any, Any]):
    """A point on a line that an action moves; the reward is 1 at each step."""

    def __init__(self, discrete: bool = False, as_dict: bool = False) -> None:
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.place = spaces.Box(-9.0, 9.0, (1,), np.float32)
        self.observation_space = spaces.Dict({"place": self.place, "mode": spaces.Discrete(2)}) if as_dict else self.place
        self.discrete, self.as_dict = discrete, as_dict

    def _observe(self) -> Any:
        place = np.array([self.x], np.float32)
        return {"place": place, "mode": 0} if self.as_dict else place

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.normal(0.0, 0.05)), 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.x += 0.1 * (float(action) - 1.0 if self.discrete else float(np.clip(action, -1, 1)[0]))
        self.t += 1
        return self._observe(), 1.0, False, self.t >= 16, {}


def to_the_right(n: int = 3, as_dict: bool = False) -> list[Any]:
    rng = np.random.default_rng(0)
    walks = [(np.arange(17) * 0.1 + rng.normal(0, 0.05))[:, None].astype(np.float32) for _ in range(n)]
    return [Trajectory({"place": walk, "mode": np.zeros(17, int)}) if as_dict else walk for walk in walks]


class Ends(BaseCallback):
    """Where episodes end."""

    def __init__(self, key: str | None = None) -> None:
        super().__init__()
        self.key = key
        self.ends: list[float] = []

    def _on_step(self) -> bool:
        for done, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
            if done:
                last = info["terminal_observation"]
                self.ends.append(float((last if self.key is None else last[self.key])[0]))
        return True


@pytest.mark.parametrize(("discrete", "as_dict"), [(False, False), (True, False), (True, True)])
def test_learns_from_states_alone(discrete: bool, as_dict: bool) -> None:
    env = make_vec_env(lambda: Line(discrete, as_dict), n_envs=4, seed=0)
    policy = "MultiInputPolicy" if as_dict else "MlpPolicy"
    model = ImitationPPO(policy, env, to_the_right(as_dict=as_dict), n_steps=128, n_epochs=5, seed=0, device="cpu")
    seen = Ends("place" if as_dict else None)
    model.learn(4096, seen)
    first, last = np.mean(seen.ends[:8]), np.mean(seen.ends[-16:])
    assert abs(first) < 0.8
    # The demonstrations end at 1.6.
    assert last == pytest.approx(1.6, abs=0.4)


def test_without_the_inverse_model_the_potential_alone_draws() -> None:
    env = make_vec_env(Line, n_envs=4, seed=0)
    arguments = {"n_steps": 128, "seed": 1, "device": "cpu", "inverse_dynamics": False}
    model, seen = ImitationPPO("MlpPolicy", env, to_the_right(), **arguments), Ends()
    model.learn(8192, seen)
    assert model.cloner is None
    assert np.mean(seen.ends[-16:]) > 0.4 > np.mean(seen.ends[:8])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("discrete", "as_dict"), [(False, False), (True, True)])
def test_saves_and_predicts_the_same(tmp_path: Any, normalize: bool, discrete: bool, as_dict: bool) -> None:
    env = make_vec_env(lambda: Line(discrete, as_dict), n_envs=2, seed=0)
    if normalize:
        env = VecNormalize(env, norm_obs_keys=["place"] if as_dict else None)
    policy = "MultiInputPolicy" if as_dict else "MlpPolicy"
    model = ImitationPPO(policy, env, to_the_right(as_dict=as_dict), **SMALL).learn(512)
    has_scaling = any(isinstance(part, DemonstrationScaling) for part in model.policy.modules())
    assert has_scaling is not normalize
    model.save(tmp_path / "model.zip")
    for loaded in (ImitationPPO.load(tmp_path / "model.zip"), ImitationPPO.load(tmp_path / "model.zip", env=env)):
        observations = env.reset()
        assert np.array_equal(
            model.predict(observations, deterministic=True)[0], loaded.predict(observations, deterministic=True)[0]
        )
    loaded.learn(256, reset_num_timesteps=False)


def test_goes_on_bit_for_bit(tmp_path: Any) -> None:
    def made(model: ImitationPPO | None = None) -> ImitationPPO:
        env = make_vec_env(Line, n_envs=2, seed=3)
        return ImitationPPO("MlpPolicy", env, to_the_right(), **SMALL) if model is None else ImitationPPO.load(path, env=env)

    path = tmp_path / "model.zip"
    model = made().learn(512)
    model.save(path)
    loaded = made(model)
    weights = []
    for going_on in (model, loaded):
        going_on.set_env(make_vec_env(Line, n_envs=2, seed=5))
        going_on.set_random_seed(7)
        going_on.learn(2048, reset_num_timesteps=True)
        weights.append([part.detach().clone() for part in going_on.policy.parameters()])
    assert all(th.equal(one, other) for one, other in zip(*weights, strict=True))
    assert loaded.cloner is not None
    assert model.cloner is not None
    assert all(th.equal(*pair) for pair in zip(model.cloner.model.parameters(), loaded.cloner.model.parameters(), strict=True))
    assert loaded.own_distance == model.own_distance


def test_a_finished_training_saves_no_transitions() -> None:
    model = ImitationPPO("MlpPolicy", Line(), to_the_right(), **SMALL).learn(512)
    assert model.cloner is not None
    assert model.cloner.model.n_transitions == 0


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_the_environments_own_reward_is_weighted(weight: float) -> None:
    plain = WassersteinPPO("MlpPolicy", Line(), n_steps=64, batch_size=64, seed=0, device="cpu", gae_lambda=0.95).learn(64)
    arguments = {**SMALL, "n_steps": 64, "policy_kwargs": None, "wasserstein_coef": 0.0, "inverse_dynamics": False}
    model = ImitationPPO("MlpPolicy", Line(), to_the_right(), reward_weight=weight, **arguments)
    model.learn(64)
    # An episode of 16 steps is truncated: SB3 adds γ V(s_T) to its last reward, whatever the weight.
    inside = np.arange(64) % 16 != 15
    assert np.array_equal(plain.rollout_buffer.rewards.ravel()[inside], np.ones(60))
    assert np.array_equal(model.rollout_buffer.rewards.ravel()[inside], np.full(60, np.float32(weight)))
    assert (model.rollout_buffer.rewards.ravel()[~inside] != weight).all()


def test_what_is_logged() -> None:
    found: dict[str, Any] = {}

    class Keep(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            found.update(self.model.logger.name_to_value)

    model = ImitationPPO("MlpPolicy", Line(), to_the_right(), **SMALL)
    model.learn(512, Keep(), log_interval=100)
    assert {"imitation/distance", "imitation/progress", "imitation/inverse_error", "imitation/clone_loss"} <= found.keys()


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (np.zeros((5, 2)), r"demonstrations\[1\].*shape \(1,\)"),
        (np.full((5, 1), np.nan), r"demonstrations\[1\].*finite"),
        (np.zeros((1, 1)), r"demonstrations\[1\].*no step"),
        ({"place": np.zeros((5, 1))}, r"demonstrations\[1\].*dict"),
    ],
)
def test_a_bad_demonstration_is_named(broken: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ImitationPPO("MlpPolicy", Line(), [np.zeros((5, 1)), broken if isinstance(broken, np.ndarray) else Trajectory(broken)])


def test_bad_arguments_are_named() -> None:
    walks = to_the_right()
    with pytest.raises(ValueError, match="demonstrations=None"):
        ImitationPPO("MlpPolicy", Line())
    with pytest.raises(FileNotFoundError, match=r"demonstrations='none\.npz'"):
        ImitationPPO("MlpPolicy", Line(), "none.npz")
    with pytest.raises(TypeError, match="reward_weight"):
        ImitationPPO("MlpPolicy", Line(), walks, reward_weight="all")
    with pytest.raises(ValueError, match="StateOccupancy"):
        ImitationPPO("MlpPolicy", Line(), walks, embedding="path")
    with pytest.raises(ValueError, match="inverse_dynamics=False"):
        InverseModel(1, spaces.MultiBinary(2))
    with pytest.raises(ValueError, match="near_share"):
        CloningOptions(near_share=2)
    with pytest.raises(ValueError, match="memory"):
        InverseModelOptions(memory=0)


def test_whether_demonstrations_terminated() -> None:
    box = spaces.Box(-1, 1, (1,))
    short, long = np.zeros((4, 1)), np.zeros((9, 1))
    assert Demonstrations([short, long], box, 8).terminated == [True, False]
    assert Demonstrations([Trajectory(short, terminated=False), long], box, 8).terminated == [False, False]
    assert Demonstrations([short, long], box, None).terminated == [True, False]
    assert Demonstrations([short], box, None).terminated == [False]
    # Mean length 5.5, twice that is above the limit: the last state of the short one stands for 1 + (8 - 3) steps.
    weights = Demonstrations([short, long], box, 8).weights(2.0)
    assert np.allclose(weights * 16, [1, 1, 6, *[1] * 8])


def test_from_a_file(tmp_path: Any) -> None:
    walks = to_the_right()
    arrays = {f"observations_{k}": walk for k, walk in enumerate(walks)}
    np.savez(tmp_path / "walks.npz", **arrays, terminated_0=np.array(True))
    model = ImitationPPO("MlpPolicy", Line(), tmp_path / "walks.npz", **SMALL)
    assert model.target.points.shape == (48, 1)


def test_the_inverse_model_recovers_linear_dynamics() -> None:
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(4000, 3)), rng.uniform(-2, 2, size=(4000, 2))
    following = states + actions @ np.array([[0.5, 0.0, 0.2], [0.0, 0.3, 0.1]])
    model = InverseModel(3, spaces.Box(-2.0, 2.0, (2,)), seed=0)
    model.set_scale(states, following)
    model.remember(states[:3000], following[:3000], actions[:3000])
    for _ in range(4):
        model.fit()
    error = model.actions(states[3000:], following[3000:]).numpy() * 2.0 - actions[3000:]
    assert np.abs(error).mean() < 0.1
    chosen = rng.integers(0, 3, 4000)
    following = states + (chosen[:, None] - 1.0) * 0.3
    model = InverseModel(3, spaces.Discrete(3), seed=0)
    model.set_scale(states, following)
    model.remember(states[:3000], following[:3000], chosen[:3000])
    model.fit()
    assert (model.actions(states[3000:], following[3000:]).numpy() == chosen[3000:]).mean() > 0.97


def test_the_memory_is_bounded() -> None:
    model = InverseModel(1, spaces.Box(-1.0, 1.0, (1,)), InverseModelOptions(memory=250), seed=0)
    for _ in range(5):
        model.remember(np.zeros((100, 1)), np.ones((100, 1)), np.zeros((100, 1)))
    assert model.n_transitions == 200


def test_the_scaling_of_policy_and_law_is_one() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(3.0, 2.0, size=(100, 2))
    scaling, extractor = Scaling.of(sample), DemonstrationScaling(spaces.Box(-99, 99, (2,)))
    extractor.set_scaling(scaling)
    seen = rng.normal(3.0, 9.0, size=(50, 2))
    standardized = scaling.standardized(seen)
    assert np.allclose(extractor(th.as_tensor(seen, dtype=th.float32)).numpy(), standardized, atol=1e-5)
    assert np.allclose(scaling.expanded(scaling.compressed(seen)), standardized)
    assert Scaling.from_config(scaling.config()) == scaling
    constant = Scaling.of(np.ones((5, 1)))
    assert constant.standardized(np.array([[4.0]])) == 3.0


def test_transitions_as_samples() -> None:
    recipe = TransitionOccupancy(after_termination="ignore", scaling=Scaling.of(np.random.default_rng(0).normal(size=(9, 1))))
    assert TransitionOccupancy.from_config(recipe.config()).config() == recipe.config()
    model = ImitationPPO("MlpPolicy", Line(), to_the_right(), embedding=recipe, **SMALL).learn(256)
    rollout = model.tracker.rollout
    assert rollout.after.shape == (128, 1, 2)
    points = rollout.after[:, 0]
    going_on = ~rollout.starts[:, 0]
    assert np.allclose(points[going_on, 1], (points[1:, 0] - points[:-1, 0])[going_on[1:]])


class EndsToTheLeft(Line):
    """A line that an episode leaves by a termination at −0.2."""

    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.x < -0.2, truncated, info


def test_an_end_is_worth_as_much_as_to_stay_in_terminal_states() -> None:
    model = ImitationPPO("MlpPolicy", EndsToTheLeft(), to_the_right(), **SMALL).learn(128)
    rollout, buffer = model.tracker.rollout, model.rollout_buffer
    assert rollout is not None
    assert rollout.terminated.any()
    bonus = buffer.rewards.reshape(rollout.terminated.shape)
    assert bonus[rollout.terminated].mean() == pytest.approx(0.0, abs=1e-6)
    # All other states are nearer to the demonstrations, so that to live on pays.
    assert bonus[~(rollout.terminated | rollout.truncated)].mean() > 0.01
    assert isinstance(model.terminal_bonus, float)


def test_an_end_unlike_the_demonstrations_is_worth_as_much_as_to_stay_there(tmp_path: Any) -> None:
    shown = [Trajectory(walk[:9], terminated=True) for walk in to_the_right()]
    model = ImitationPPO("MlpPolicy", EndsToTheLeft(), shown, **SMALL)
    assert model.held_to == 16
    model.learn(128)
    rollout, tracker = model.tracker.rollout, model.tracker
    assert rollout is not None
    assert rollout.terminated.any()
    bonus = model.rollout_buffer.rewards.reshape(rollout.terminated.shape)
    ends = np.array([[walk.observations[-1, 0]] for walk in shown])
    assert isinstance(tracker.recipe, StateOccupancy)
    assert np.allclose(model.terminal_states, tracker.recipe.scaling.compressed(ends))
    h = tracker.shaping(rollout.after.reshape(128, 1)).reshape(128, 1)
    stay = np.where(rollout.terminated, 1 + np.maximum(16 - rollout.lengths, 0), 1)
    expected = (h - tracker.shaping(np.array(model.terminal_states)).mean()) * (1 - 0.99**stay) / (1 - 0.99)
    # The first step of an episode has the state that it starts from besides, a truncated one SB3's value.
    ratio = (bonus / expected)[(rollout.lengths > 1) & ~rollout.truncated & (np.abs(expected) > 1e-3)]
    assert ratio.mean() < 0
    assert np.allclose(ratio, ratio.mean(), rtol=0.02)
    model.save(tmp_path / "m")
    again = ImitationPPO.load(tmp_path / "m", EndsToTheLeft())
    assert (again.terminal_states, again.held_to) == (model.terminal_states, 16)


def test_the_lower_parts_with_the_reward_on() -> None:
    arguments = {"embedding": StateOccupancy(after_termination="ignore"), "target": to_the_right(), "wasserstein_coef": -2.0}
    arguments |= {"tracker_options": TrackerOptions(law="rollout"), "n_steps": 256, "seed": 0, "device": "cpu"}
    with pytest.raises(ValueError, match="normalize_bonus='return'"):
        WassersteinPPO("MlpPolicy", Line(), **arguments)
    model = WassersteinPPO("MlpPolicy", Line(), normalize_bonus="return", **arguments).learn(256)
    assert model.tracker.dual.is_fitted
    bonus = model.rollout_buffer.rewards.ravel() - 1.0
    inside = np.arange(256) % 16 != 15
    # Its discounted return is of size |λ|.
    returns = np.array([(bonus[k : k + 15] * 0.99 ** np.arange(15)).sum() for k in range(0, 256, 16)])
    assert 0.3 < np.abs(returns).mean() < 6.0
    assert abs(bonus[inside].mean()) < 1.0
    arguments |= {"embedding": "mean_state", "target": [[0.0]]}
    with pytest.raises(ValueError, match="samples are states"):
        WassersteinPPO("MlpPolicy", Line(), normalize_bonus=False, **arguments)
