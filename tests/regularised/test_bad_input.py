"""Each mistake gives one clear exception, early, that names the argument."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from scripted import ScriptedEnv
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import DualCallback, Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import Embedding, FunctionEmbedding, VisitHistogram

OK = {"target": np.zeros((1, 4)), "wasserstein_coef": -1.0}


def make(**kwargs):
    return WassersteinPPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, **kwargs)


CASES = {
    "no target": ({"wasserstein_coef": 1.0}, ValueError, "target"),
    "a schedule and no target": ({"wasserstein_coef": lambda p: p}, ValueError, "target"),
    "target of another dimension": ({"target": np.zeros((1, 3))}, ValueError, "target has dimension 3"),
    "empty target": ({"target": np.zeros((0, 4))}, ValueError, "target"),
    "flat target": ({"target": np.zeros(4)}, ValueError, "target"),
    "NaN target": ({"target": np.full((1, 4), np.nan)}, ValueError, "target"),
    "text as target": ({"target": [["a", "b"]]}, ValueError, "target"),
    "missing file": ({"target": "nowhere.npz"}, FileNotFoundError, "nowhere"),
    "schedule of NaN": ({**OK, "wasserstein_coef": lambda p: float("nan")}, ValueError, "wasserstein_coef"),
    "infinite coefficient": ({**OK, "wasserstein_coef": float("inf")}, ValueError, "wasserstein_coef"),
    "text as coefficient": ({**OK, "wasserstein_coef": "1"}, TypeError, "wasserstein_coef"),
    "zero epsilon": ({**OK, "dual_kwargs": {"epsilon": 0.0}}, ValueError, "epsilon"),
    "negative epsilon": ({**OK, "dual_kwargs": {"epsilon": -1.0}}, ValueError, "epsilon"),
    "unknown embedding": ({**OK, "embedding": "median_state"}, ValueError, "embedding"),
    "number as embedding": ({**OK, "embedding": 3}, TypeError, "embedding"),
    "unknown dual": ({**OK, "dual": "simplex"}, ValueError, "dual"),
    "unknown dual argument": ({**OK, "dual_kwargs": {"eps": 1.0}}, ValueError, "dual_kwargs"),
    "unknown cost": ({**OK, "dual_kwargs": {"cost": "manhattan"}}, ValueError, "cost"),
    "unknown credit": ({**OK, "credit": "everywhere"}, ValueError, "credit"),
    "telescoping without prefixes": (
        {"embedding": FunctionEmbedding(lambda t: [0.0], 1), "target": [[0.0]], "credit": "telescoping"},
        ValueError,
        "credit",
    ),
    "window of one": ({**OK, "episode_window": 1}, ValueError, "episode_window"),
    "window of a half": ({**OK, "episode_window": 2.5}, ValueError, "episode_window"),
    "segment of nothing": ({**OK, "segment_length": 0}, ValueError, "segment_length"),
}


@pytest.mark.parametrize("case", CASES)
def test_at_construction(case) -> None:
    kwargs, error, name = CASES[case]
    with pytest.raises(error, match=name):
        make(**kwargs)


@pytest.mark.parametrize(
    "kwargs", [{"embedding": "nothing"}, {"dual": "nothing"}, {"dual_kwargs": {"epsilon": -1}}, {"credit": "nothing"}]
)
def test_names_are_checked_even_where_nothing_is_recorded(kwargs) -> None:
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        make(**kwargs)


@pytest.mark.parametrize("weights", [[-1.0], [np.nan], [np.inf], [0.0], [1.0, 2.0], "x"])
def test_weights(weights) -> None:
    with pytest.raises(ValueError, match="weights"):
        Target(np.zeros((1, 2)), weights)


def test_a_schedule_that_turns_to_nan_stops_with_its_name() -> None:
    model = make(**{**OK, "wasserstein_coef": lambda p: -1.0 if p > 0.5 else float("nan")}, seed=0)
    with pytest.raises(ValueError, match="wasserstein_coef"):
        model.learn(256)


class Image(gym.Env):
    observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, True, {}


def test_an_image_needs_features() -> None:
    with pytest.raises(ValueError, match="features="):
        WassersteinPPO("CnnPolicy", Image(), target=[[0.0]], n_steps=16, batch_size=16)
    # Without a target nothing is recorded, and an existing script goes on.
    WassersteinPPO("CnnPolicy", Image(), n_steps=16, batch_size=16)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"shape": (3, 3)}, "shape"),
        ({"low": [0.0], "high": [0.0]}, "low"),
        ({"low": [0.0]}, "low"),
        ({"low": [0.0], "high": [np.inf]}, "low"),
        ({"bins": 0}, "bins"),
        ({"smoothing": -1.0}, "smoothing"),
        ({"shape": (2, 2), "bins": 3}, "shape"),
        ({"bins": 300, "low": [0.0, 0.0, 0.0, 0.0], "high": [1.0, 1.0, 1.0, 1.0]}, "bins"),
        ({}, "low"),
    ],
)
def test_visit_histograms(kwargs, name) -> None:
    with pytest.raises(ValueError, match=name):
        make(embedding=VisitHistogram(**kwargs), target=[[0.0]])


class Misbehaving(Embedding):
    """Goes wrong from its fifth update on."""

    def __init__(self, how="nan") -> None:
        self.how = how

    def bind(self, observation_space, action_space, n_envs=1):
        how = self.how

        class Bound:
            """Only what is asked of a bound embedding; no base class."""

            dim, has_prefixes, updates = 2, True, 0

            def reset(self, observations, mask) -> None:
                pass

            def update(self, observations, actions, rewards, mask) -> None:
                self.updates += 1
                if how == "raise" and self.updates >= 5:
                    raise RuntimeError("out of ideas")

            def value(self):
                late = self.updates >= 5
                values = np.zeros((n_envs, self.dim + (how == "length" and late)))
                if how == "nan" and late:
                    values[1] = np.nan
                return values

        return Bound()


@pytest.mark.parametrize(("how", "message"), [("nan", "nan"), ("length", "shape"), ("raise", "out of ideas")])
@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
def test_a_custom_embedding_that_misbehaves_is_named_with_environment_and_episode(cls, how, message) -> None:
    env = make_vec_env(lambda: ScriptedEnv(lengths=(3,)), 2)
    kwargs = {"batch_size": 32} if cls is WassersteinPPO else {}
    model = cls("MlpPolicy", env, embedding=Misbehaving(how), target=np.zeros((1, 2)), n_steps=16, seed=0, **kwargs)
    with pytest.raises(ValueError, match=message) as caught:
        model.learn(64)
    assert "env 1, episode 2" in str(caught.value)
    assert "Misbehaving" in str(caught.value)


@pytest.mark.parametrize("returned", [[np.nan], [0.0, 1.0], "text"])
def test_a_function_that_returns_nonsense_is_named_with_environment_and_episode(returned) -> None:
    embedding = FunctionEmbedding(lambda t: returned if len(t) == 7 else [0.0], 1)
    env = make_vec_env(lambda: ScriptedEnv(lengths=(3, 7)), 2)
    model = WassersteinPPO("MlpPolicy", env, embedding=embedding, target=[[0.0]], n_steps=16, batch_size=32)
    with pytest.raises(ValueError, match="env 0, episode 2"):
        model.learn(64)


def test_too_few_finished_episodes_warn_once_and_learning_goes_on_unshaped() -> None:
    env = make_vec_env(lambda: ScriptedEnv(lengths=(1000,)), 2)
    model = WassersteinPPO("MlpPolicy", env, target=np.zeros((1, 3)), wasserstein_coef=1.0, n_steps=16, batch_size=32)
    with pytest.warns(UserWarning, match="0 episodes have finished") as caught:
        model.learn(64)
    assert len(caught) == 1
    assert model.num_timesteps == 64
    assert len(model.embeddings) == 0


def test_episodes_that_never_end_are_counted_by_segments() -> None:
    env = make_vec_env(lambda: ScriptedEnv(lengths=(1000,)), 2)
    model = WassersteinPPO(
        "MlpPolicy", env, target=np.zeros((1, 3)), wasserstein_coef=1.0, n_steps=16, batch_size=32, segment_length=5
    )
    model.learn(64)
    assert len(model.embeddings) == 2 * (32 // 5)


def test_callback_arguments() -> None:
    with pytest.raises(ValueError, match="episode_window"):
        DualCallback("mean_state", episode_window=0)
    with pytest.raises(ValueError, match="embedding"):
        DualCallback("nothing")


def test_a_space_that_no_embedding_can_flatten() -> None:
    from sb3_wasserstein.embeddings import MeanState

    with pytest.raises(ValueError, match=r"cannot be flattened.*features="):
        MeanState().bind(spaces.Text(5), None)
