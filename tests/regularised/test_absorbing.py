"""A terminal state that absorbs is worth what staying there is worth to the algorithm: with its own discount."""

import numpy as np
import pytest
from scripted import NothingChanges
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import WassersteinPPO, WassersteinSAC
from sb3_wasserstein.embeddings import Embedding, FinalState, StateOccupancy

# There is no reward: its spread counts as one.
pytestmark = pytest.mark.filterwarnings("ignore:the returns of the first")

LENGTH, HORIZON, GAMMA = 4, 10, 0.8
#: 1 + γ + … + γ^(HORIZON − LENGTH)
STAYING = sum(GAMMA**step for step in range(HORIZON - LENGTH + 1))


def model_of(cls, terminates, **kwargs):
    env = make_vec_env(NothingChanges, 1, seed=0, env_kwargs={"length": LENGTH, "terminates": terminates, "discrete": False})
    embedding = StateOccupancy(after_termination="absorb", horizon=HORIZON)
    arguments = {"target": [[0.0]], "wasserstein_coef": 1.0, "embedding": embedding, "gamma": GAMMA, "seed": 0, **kwargs}
    return cls("MlpPolicy", env, **arguments)


def test_in_a_rollout() -> None:
    """With h = 1 everywhere, so that the rewards are the weights; the first of an episode counts for the reset too."""
    model = model_of(WassersteinPPO, True, n_steps=32, batch_size=32, normalize_bonus=False)
    model.tracker.shaping = lambda points, _: np.ones(len(points))
    rewards = model.learn(128).rollout_buffer.rewards[:, 0].reshape(-1, LENGTH) * (HORIZON + 1)
    np.testing.assert_allclose(rewards, np.tile([2.0, 1.0, 1.0, STAYING], (8, 1)), rtol=1e-5)


@pytest.mark.parametrize("terminates", [True, False])
def test_in_a_replay_buffer(terminates) -> None:
    model = model_of(WassersteinSAC, terminates, learning_starts=200, buffer_size=200).learn(120)
    factors = model.replay_buffer.factors[0, :120, 0].reshape(-1, LENGTH) * (HORIZON + 1)
    expected = [1.0, 1.0, 1.0, STAYING if terminates else 1.0]
    np.testing.assert_allclose(factors, np.tile(expected, (30, 1)), rtol=1e-6)


class Places(Embedding):
    """A user's own, from the documented interface alone."""

    samples_states = True
    horizon = LENGTH

    def bind(self, observation_space, action_space, n_envs=1):
        return FinalState().bind(observation_space, action_space, n_envs)


def test_a_users_own_occupancy_is_credited_step_by_step():
    rewards = []
    for embedding in (Places(), StateOccupancy(after_termination="ignore", horizon=LENGTH)):
        model = model_of(WassersteinPPO, True, n_steps=32, batch_size=32, normalize_bonus=False, embedding=embedding)
        model.tracker.shaping = lambda points, _: np.ones(len(points))
        rewards.append(model.learn(128).rollout_buffer.rewards[:, 0])
        assert len(model.embeddings) > len(model.tracker.window)
    np.testing.assert_array_equal(*rewards)
    np.testing.assert_allclose(rewards[0].reshape(-1, LENGTH) * (LENGTH + 1), np.tile([2.0, 1.0, 1.0, 1.0], (8, 1)), rtol=1e-5)
