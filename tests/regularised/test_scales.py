"""The coefficient has no unit: rewards and embeddings may be measured in any."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.wrappers import TransformReward
from logs import KeepingLogger
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_wasserstein import WassersteinPPO
from sb3_wasserstein.embeddings import FinalState, StateOccupancy
from sb3_wasserstein.recording import Episode
from sb3_wasserstein.regularised.window import EpisodeWindow


def frozen(reward_scale, embedding_scale, normalize=False, credit=None, occupancy=False):
    """Ten rollouts of one policy that never learns, with V = 0; the advantages as PPO's train would normalise them."""

    def features(observation):
        return embedding_scale * np.asarray(observation[:3], dtype=np.float64)

    def make():
        return TransformReward(gym.make("Pendulum-v1", max_episode_steps=25), lambda reward: reward_scale * reward)

    env: Any = DummyVecEnv([make] * 4)
    if normalize:
        env = VecNormalize(env, norm_obs=False)
    model = WassersteinPPO(
        "MlpPolicy",
        env,
        embedding=StateOccupancy(features) if occupancy else FinalState(features),
        target=embedding_scale * np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 1.0]]),
        wasserstein_coef=-1.0,
        credit=credit,
        n_steps=64,
        batch_size=256,
        n_epochs=1,
        episode_window=48,
        learning_rate=0.0,
        seed=1,
    )
    with th.no_grad():
        model.policy.value_net.weight.zero_()
    advantages = []
    train = model.train

    def spy() -> None:
        flat = model.rollout_buffer.advantages.ravel()
        advantages.append((flat - flat.mean()) / flat.std())
        train()

    model.train = spy
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(10 * 4 * 64)
    ratios = [row["wasserstein/bonus_to_return"] for row in logger.rows]
    assert all(row["wasserstein/bonus_std"] > 0 for row in logger.rows)
    assert model.tracker.scales.frozen
    return np.array(advantages), np.array(ratios)


CASES = [(None, False, False), ("terminal", False, False), ("episode", False, False), (None, True, False), (None, False, True)]


@pytest.mark.parametrize(("credit", "normalize", "occupancy"), CASES)
def test_bonus_over_return_does_not_depend_on_the_units(credit, normalize, occupancy) -> None:
    reference, ratios = frozen(1.0, 1.0, normalize, credit, occupancy)
    assert np.all(ratios > 0)
    # VecNormalize adds an epsilon to the variance and clips: with tiny rewards its own unit is another.
    scales = (
        [(1.0, 0.01), (1.0, 100.0)] if normalize else [(0.01, 1.0), (100.0, 1.0), (1.0, 0.01), (1.0, 100.0), (100.0, 0.01)]
    )
    for reward_scale, embedding_scale in scales:
        advantages, others = frozen(reward_scale, embedding_scale, normalize, credit, occupancy)
        np.testing.assert_allclose(advantages, reference, atol=1e-4 * np.abs(reference).max())
        np.testing.assert_allclose(others, ratios, rtol=1e-4)


def bonus_over_reward(normalize):
    """Ratio of the bonus's to the reward's spread in the buffer, V = 0."""
    env = make_vec_env(
        "Pendulum-v1", 4, seed=0, wrapper_class=gym.wrappers.TimeLimit, wrapper_kwargs={"max_episode_steps": 25}
    )
    if normalize:
        env = VecNormalize(env, norm_obs=False, clip_reward=1e9)
    target = [[1.0, 0.0, 0.0]]
    model = WassersteinPPO(
        "MlpPolicy", env, embedding="final_state", target=target, wasserstein_coef=-1.0, n_steps=512, learning_rate=0.0, seed=1
    )
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(2 * 4 * 512)
    seen = logger.rows[-1]
    return seen["wasserstein/bonus_to_return"], seen["wasserstein/coef_effective"]


def test_under_vec_normalize_the_bonus_is_in_the_unit_of_the_buffers_rewards() -> None:
    plain, plain_coef = bonus_over_reward(normalize=False)
    normalized, normalized_coef = bonus_over_reward(normalize=True)
    assert normalized == pytest.approx(plain, rel=1e-6)
    assert abs(normalized_coef) < 0.1 * abs(plain_coef)


def test_rewards_that_are_switched_off_count_as_a_spread_of_one_with_one_warning() -> None:
    env = TransformReward(gym.make("Pendulum-v1", max_episode_steps=25), lambda reward: 0.0)
    model = WassersteinPPO(
        "MlpPolicy", env, embedding="final_state", target=[[1.0, 0.0, 0.0]], wasserstein_coef=-1.0, n_steps=128, seed=1
    )
    with pytest.warns(UserWarning, match="wasserstein_coef, counts as 1") as caught:
        model.learn(1536)
    assert len([w for w in caught if "counts as 1" in str(w.message)]) == 1
    assert model.tracker.scales.episode_return == 1.0


def test_vec_normalize_divides_nothing_where_the_reward_is_switched_off() -> None:
    env = make_vec_env(lambda: TransformReward(gym.make("CartPole-v1"), lambda _: 0.0), 2, seed=0)
    kwargs = {"embedding": "final_state", "target": np.zeros((1, 4)), "n_steps": 128, "normalize_bonus": False, "seed": 0}
    model = WassersteinPPO("MlpPolicy", VecNormalize(env), wasserstein_coef=-1.0, batch_size=64, **kwargs)
    logger = KeepingLogger()
    model.set_logger(logger)
    with pytest.warns(UserWarning, match="do not differ"):
        model.learn(1024)
    assert logger.rows[-1]["wasserstein/coef_effective"] == -1.0


def test_the_papers_lambda_is_taken_as_it_is() -> None:
    model = WassersteinPPO(
        "MlpPolicy", "CartPole-v1", target=np.ones((1, 4)), wasserstein_coef=-3.0, normalize_bonus=False, n_steps=128, seed=0
    )
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(256)
    assert logger.rows[-1]["wasserstein/coef_effective"] == -3.0


def test_states_are_those_of_the_newest_episodes() -> None:
    window = EpisodeWindow(100)
    window.extend(Episode(0, 0, np.full((30, 2), float(k)), 0.0, 30) for k in range(50))
    # Of 30 states each: three fit into 100, two are taken in any case, and there are 50.
    assert [window.n_within(max_points) for max_points in (100, 10, 10_000)] == [3, 2, 50]
    assert sorted(set(window.last(3)[:, 0])) == [47.0, 48.0, 49.0]


def test_an_occupancys_dual_keeps_up_with_the_policy() -> None:
    """About 25 episodes a rollout: few for the window, more than the cloud of states holds."""
    env = make_vec_env("CartPole-v1", 2, seed=0)
    kwargs = {"n_steps": 256, "batch_size": 256, "n_epochs": 1, "dual_kwargs": {"epsilon": 0.5}, "seed": 0}
    target = {"embedding": "state_occupancy", "target": np.zeros((1, 4)), "wasserstein_coef": -1e-9}
    model = WassersteinPPO("MlpPolicy", env, **target, **kwargs)
    solved = []
    update = model.dual.update_laws
    model.dual.update_laws = lambda *clouds: (solved.append(model.num_timesteps), update(*clouds))
    model.learn(8 * 512)
    assert solved == [512 * rollout for rollout in range(1, 9)]
