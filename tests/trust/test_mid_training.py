"""What goes wrong in the middle of a training is named: a user's schedule, embedding or function, episodes that never end."""

import gymnasium as gym
import numpy as np
import pytest
from scripted import ScriptedEnv
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import TrajectoryEmbeddingWrapper, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import Embedding, FunctionEmbedding


def test_a_schedule_that_turns_to_nan_stops_with_its_name() -> None:
    def coefficient(progress_remaining):
        return -1.0 if progress_remaining > 0.5 else float("nan")

    kwargs = {"target": np.zeros((1, 4)), "wasserstein_coef": coefficient, "n_steps": 32, "batch_size": 32}
    model = WassersteinPPO("MlpPolicy", "CartPole-v1", seed=0, **kwargs)
    with pytest.raises(ValueError, match="wasserstein_coef"):
        model.learn(256)


def test_an_image_needs_features() -> None:
    with pytest.raises(ValueError, match="features="):
        WassersteinPPO("CnnPolicy", ScriptedEnv("image"), target=[[0.0]], n_steps=16, batch_size=16)
    # Without a target nothing is recorded, and an existing script goes on.
    WassersteinPPO("CnnPolicy", ScriptedEnv("image"), n_steps=16, batch_size=16)


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


def test_an_environment_that_is_wrapped_twice_says_so():
    twice = TrajectoryEmbeddingWrapper(TrajectoryEmbeddingWrapper(gym.make("CartPole-v1"), "path"), "path")
    with pytest.raises(ValueError, match=r"wasserstein.*taken"):
        twice.reset()
