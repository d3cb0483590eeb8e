"""SB3 adds γ V(s_T) where an episode is truncated: a bonus that V has learnt is to count once all the same."""

import numpy as np
import pytest
import torch as th
from scripted import NothingChanges
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.regularised import credit as shaping

# There is no reward: its spread counts as one.
pytestmark = pytest.mark.filterwarnings("ignore:the returns of the first")

LENGTH = 10


def value_with_a_bonus_of_one(cls, gamma, steps, **kwargs):
    """V after training with h = 1 at the end of every episode."""
    model = cls(
        "MlpPolicy",
        make_vec_env(NothingChanges, 4, seed=0, env_kwargs={"length": LENGTH}),
        target=[[0.0]],
        embedding="final_state",
        credit="terminal",
        wasserstein_coef=1.0,
        normalize_bonus=False,
        gamma=gamma,
        policy_kwargs={"net_arch": []},
        learning_rate=3e-2,
        seed=0,
        **kwargs,
    )
    model.tracker.shaping = lambda points, _: np.ones(len(points))
    model.learn(steps)
    return float(model.policy.predict_values(th.ones(1, 1)).item()), model


def test_the_critic_learns_the_bonus_once() -> None:
    # The mean over the ten steps of γ^(steps left), .65. Bootstrapped, it would be that / (1 − γ · that), 1.57.
    once = np.mean(0.9 ** np.arange(LENGTH))
    value, model = value_with_a_bonus_of_one(
        WassersteinPPO, 0.9, 6_000, n_steps=50, batch_size=100, n_epochs=5, gae_lambda=1.0
    )
    assert value == pytest.approx(once, rel=0.1)
    assert model.bonus_to_go == pytest.approx(once)


def test_without_a_discount_the_critic_does_not_run_away() -> None:
    # Bootstrapped, V grows by one a rollout, of which there are thirty; what it starts with stays.
    value, _ = value_with_a_bonus_of_one(WassersteinPPO, 1.0, 6_000, n_steps=50, batch_size=100, n_epochs=5, gae_lambda=1.0)
    assert value < 3.0


def test_rollouts_shorter_than_the_episodes() -> None:
    once = np.mean(0.9 ** np.arange(LENGTH))
    _, model = value_with_a_bonus_of_one(WassersteinA2C, 0.9, 4_000, n_steps=3, gae_lambda=1.0)
    # In four rollouts of three steps out of ten no episode ends: the estimate swings around.
    assert model.bonus_to_go == pytest.approx(once, rel=0.25)


def test_mean_to_go_by_hand() -> None:
    bonus = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 8.0]])
    dones = np.array([[False, True], [True, False], [False, False]])
    # Left: 1 + .5 · 2, 2, 4 + .5 · 6; right: 0, .5 · (8 + .5 · 6), 8 + .5 · 6.
    assert shaping.mean_to_go(bonus, dones, 0.5, 6.0) == pytest.approx(np.mean([2.0, 2.0, 7.0, 0.0, 5.5, 11.0]))


def test_mean_to_go_by_hand_where_no_episode_ends() -> None:
    bonus = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 8.0]])
    # Left: 1 + .5 · 5.5, 2 + .5 · 7, 4 + .5 · 6; right: .5 · 5.5, .5 · (8 + .5 · 6), 8 + .5 · 6.
    expected = np.mean([3.75, 5.5, 7.0, 2.75, 5.5, 11.0])
    assert shaping.mean_to_go(bonus, np.zeros((3, 2), dtype=bool), 0.5, 6.0) == pytest.approx(expected)


@pytest.mark.parametrize("embedding", ["final_state", StateOccupancy(horizon=LENGTH)])
def test_nothing_is_taken_where_nothing_is_counted_twice(embedding) -> None:
    """Not at a termination, where SB3 adds nothing; not of a state's bonus, which goes on after a time limit like a reward."""
    terminates = isinstance(embedding, str)
    env = make_vec_env(NothingChanges, 2, seed=0, env_kwargs={"length": LENGTH, "terminates": terminates})
    arguments = {"target": [[0.0]], "wasserstein_coef": 1.0, "normalize_bonus": False, "n_steps": 32, "batch_size": 64}
    model = WassersteinPPO("MlpPolicy", env, embedding=embedding, seed=0, **arguments).learn(256)
    assert model.bonus_to_go == 0.0


def test_the_estimate_is_saved(tmp_path) -> None:
    _, model = value_with_a_bonus_of_one(WassersteinPPO, 0.9, 400, n_steps=50, batch_size=100)
    model.save(tmp_path / "model")
    assert WassersteinPPO.load(tmp_path / "model").bonus_to_go == model.bonus_to_go > 0.0
