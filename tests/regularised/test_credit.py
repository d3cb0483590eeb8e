"""From h to advantages: against SB3's own GAE, by hand, and over a rollout's cut."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.embeddings.steps import Ends
from sb3_wasserstein.recording import Episode, Rollout
from sb3_wasserstein.regularised import credit as shaping


def h(points, _=None):
    return points[:, 0] * 10.0


def rollout_of(after, start_values, ends, terminated=None, carried=None, episodes=()):
    after, ends = np.asarray(after, dtype=float)[..., None], np.asarray(ends, dtype=bool)
    terminated = ends if terminated is None else np.asarray(terminated, dtype=bool)
    lengths = Ends(ends, tuple(carried or ())).lengths
    truncated, known = ends & ~terminated, np.ones_like(ends)
    start_values = np.asarray(start_values, dtype=float)[:, None]
    numbers = np.zeros(ends.shape, dtype=np.int64)
    return Rollout(after, start_values, ends, lengths, terminated, truncated, numbers, known, list(episodes))


def test_a_hand_computed_three_step_table() -> None:
    # One environment. φ: 1 | 2, 4 (end), then a new episode from 7 | 8.
    rollout = rollout_of([[2], [4], [8]], [1, 7], [[0], [1], [0]])
    bonus = shaping.telescoping_bonus(rollout, *shaping.prefix_values(rollout, h))
    np.testing.assert_allclose(bonus[:, 0], [10.0, 20.0, 10.0])
    # γ = .5, λ = .5: A_2 = 10; A_1 = 20 (the episode ends); A_0 = 10 + .25 · 20.
    advantages = shaping.bonus_advantages(bonus, np.array([[False], [True], [False]]), 0.5, 0.5)
    np.testing.assert_allclose(advantages[:, 0], [15.0, 20.0, 10.0])


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0)])
@pytest.mark.parametrize("done_rate", [0.0, 0.1, 0.6])
def test_gae_of_the_bonus_is_what_sb3_computes_on_the_reshaped_rewards(gamma, gae_lambda, done_rate) -> None:
    rng = np.random.default_rng(0)
    n_steps, n_envs = 64, 3
    bonus = rng.normal(size=(n_steps, n_envs))
    dones = rng.random((n_steps, n_envs)) < done_rate
    rewards, values = rng.normal(size=(2, n_steps, n_envs)).astype(np.float32)
    last = th.tensor(rng.normal(size=n_envs).astype(np.float32))

    def sb3(rewards):
        buffer = RolloutBuffer(
            n_steps, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), "cpu", gae_lambda=gae_lambda, gamma=gamma, n_envs=n_envs
        )
        buffer.rewards, buffer.values = rewards.astype(np.float32), values
        buffer.episode_starts = np.concatenate([np.ones((1, n_envs)), dones[:-1]]).astype(np.float32)
        buffer.compute_returns_and_advantage(last, dones[-1])
        return buffer

    plain, reshaped = sb3(rewards), sb3(rewards + bonus)
    added = shaping.bonus_advantages(bonus, dones, gamma, gae_lambda)
    np.testing.assert_allclose(plain.advantages + added, reshaped.advantages, atol=1e-5)
    np.testing.assert_allclose(plain.returns + added, reshaped.returns, atol=1e-5)


def test_telescoping_loses_nothing_at_a_rollouts_cut() -> None:
    # One episode over two rollouts: φ = 1 | 2, 5 || 3, 9 (end).
    first = rollout_of([[2], [5]], [1], [[0], [0]])
    second = rollout_of([[3], [9]], [5], [[0], [1]])
    total = sum(shaping.telescoping_bonus(part, *shaping.prefix_values(part, h)).sum() for part in (first, second))
    assert total == pytest.approx(10.0 * (9 - 1))


def test_with_a_discount_each_prefix_counts_with_one_minus_gamma_times_its_power() -> None:
    gamma, phi = 0.9, np.array([1.0, 2.0, 5.0, 4.0])
    rollout = rollout_of(phi[1:, None], phi[:1], [[0], [0], [1]])
    bonus = shaping.telescoping_bonus(rollout, *shaping.prefix_values(rollout, h))[:, 0]
    discounted = (gamma ** np.arange(3)) @ bonus
    prefixes = sum((1 - gamma) * gamma ** (t - 1) * 10 * phi[t] for t in (1, 2)) + gamma**2 * 10 * phi[3] - 10 * phi[0]
    assert discounted == pytest.approx(prefixes)


EPISODES = [
    Episode(env=0, step=1, points=np.array([[1.0]]), episode_return=0.0, length=5),
    Episode(env=1, step=2, points=np.array([[2.0]]), episode_return=0.0, length=3),
    Episode(env=0, step=2, points=np.array([[6.0]]), episode_return=0.0, length=1),
]


def finished():
    ends = np.zeros((4, 2), dtype=bool)
    ends[1, 0] = ends[2, 0] = ends[2, 1] = True
    zeros = np.zeros((4, 2))
    return rollout_of(zeros, [], ends, episodes=EPISODES)


def test_terminal_puts_it_all_on_the_last_step() -> None:
    rollout = finished()
    bonus = shaping.terminal_bonus(rollout, shaping.episode_values(rollout.episodes, h))
    expected = np.zeros((4, 2))
    expected[1, 0], expected[2, 1], expected[2, 0] = 10.0, 20.0, 60.0
    np.testing.assert_allclose(bonus, expected)


def test_episode_credit_reaches_each_step_of_the_episode_that_lies_in_the_rollout() -> None:
    rollout = finished()
    advantages = shaping.episode_advantages(rollout, shaping.episode_values(rollout.episodes, h))
    # h is 10, 20, 60, less the mean of the other two. The first episode began in the rollout before.
    np.testing.assert_allclose(advantages, [[-30, -15], [-30, -15], [45, -15], [0, 0]])


def test_episode_credit_is_unbiased() -> None:
    """Two arms of equal probability, two episodes a rollout: E[(h − baseline) ∇ log π] is the covariance of h and ∇ log π."""
    rng = np.random.default_rng(0)
    h_of, score, estimates = np.array([0.0, 1.0]), np.array([-0.5, 0.5]), []
    episodes = [Episode(env=env, step=0, points=np.zeros((1, 1)), episode_return=0.0, length=1) for env in range(2)]
    rollout = rollout_of(np.zeros((1, 2)), [0.0, 0.0], np.ones((1, 2)), episodes=episodes)
    for arms in rng.integers(2, size=(4000, 2)):
        estimates.append((shaping.episode_advantages(rollout, h_of[arms])[0] * score[arms]).mean())
    assert np.mean(estimates) == pytest.approx(0.25, abs=3 * np.std(estimates) / np.sqrt(len(estimates)))


def test_an_episode_that_ends_alone_is_compared_with_earlier_ones() -> None:
    alone = [Episode(env=0, step=1, points=np.array([[6.0]]), episode_return=0.0, length=2)]
    rollout = rollout_of(np.zeros((2, 1)), [], [[False], [True]], episodes=alone)
    np.testing.assert_allclose(shaping.episode_advantages(rollout, np.array([60.0]), lambda: 45.0), [[15.0], [15.0]])


def test_no_finished_episode_is_a_no_op() -> None:
    rollout = rollout_of(np.zeros((2, 1)), [], np.zeros((2, 1)))
    values = shaping.episode_values(rollout.episodes, h)
    assert not shaping.terminal_bonus(rollout, values).any()
    assert not shaping.episode_advantages(rollout, values).any()


@pytest.mark.parametrize("hold", [True, False])
def test_an_occupancys_bonus_sums_to_the_mean_of_h_over_the_states(hold) -> None:
    # States 1 | 2, 5 (terminated), horizon 6 when held: 5 weighs five times.
    embedding = StateOccupancy(horizon=6) if hold else StateOccupancy(after_termination="ignore")
    rollout = rollout_of([[2], [5]], [1], [[0], [1]])
    bonus = shaping.occupancy_bonus(rollout, *shaping.prefix_values(rollout, h), embedding, mean_length=2.0, gamma=0.5)
    states = [1, 2, 5, 5, 5, 5, 5] if hold else [1, 2, 5]
    assert bonus.sum() == pytest.approx(10.0 * np.mean(states))


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("length", [1, 3, 6])
def test_an_absorbing_end_is_worth_what_staying_there_would_be(gamma, length) -> None:
    """Against an episode that stays in its last state and is cut by the time limit, by its discounted bonus."""
    states = np.array([2.0, 5.0, -3.0, 4.0, 1.0, 6.0])
    stays = np.minimum(np.arange(6), length - 1)
    embedding = StateOccupancy(after_termination="absorb", horizon=6)

    def discounted(visited, terminated):
        ends = np.arange(len(visited)) == len(visited) - 1
        rollout = rollout_of(visited[:, None], [1.0], ends[:, None], terminated=(ends & terminated)[:, None])
        bonus = shaping.occupancy_bonus(rollout, *shaping.prefix_values(rollout, h), embedding, 3.0, gamma)
        return bonus[:, 0] @ gamma ** np.arange(len(visited))

    assert discounted(states[:length], True) == pytest.approx(discounted(states[stays], False), rel=1e-12)


def test_an_absorbing_end_counts_in_the_law_as_a_held_one() -> None:
    absorbed, held = (StateOccupancy(after_termination=end, horizon=6) for end in ("absorb", "hold"))
    for terminated in (True, False):
        np.testing.assert_array_equal(absorbed.times(2, terminated, 5, 0.5), held.times(2, terminated, 5, 0.5))
    assert absorbed.with_time_limit(9).arguments() == absorbed.arguments()


def test_a_horizon_shorter_than_an_episode_holds_its_end_no_longer() -> None:
    embedding = StateOccupancy(horizon=1)
    rollout = rollout_of([[2], [5], [3]], [1], [[0], [0], [1]])
    bonus = shaping.occupancy_bonus(rollout, *shaping.prefix_values(rollout, h), embedding, mean_length=3.0, gamma=0.5)
    # Each state weighs 1 / (1 + 1); the reset's goes to the first step.
    np.testing.assert_allclose(bonus[:, 0], [10.0 * (1 + 2) / 2, 10.0 * 5 / 2, 10.0 * 3 / 2])
    np.testing.assert_array_equal(embedding.times(3, True, 10, 0.5), [0, 1, 2, 3])


def test_an_occupancys_bonus_does_not_count_a_state_twice_at_a_rollouts_cut() -> None:
    embedding = StateOccupancy(horizon=3)
    first = rollout_of([[2]], [1], [[0]])
    second = rollout_of([[4], [7]], [2], [[0], [1]], [[0], [0]], carried=[1])
    total = sum(
        shaping.occupancy_bonus(part, *shaping.prefix_values(part, h), embedding, 3.0, 0.5).sum() for part in (first, second)
    )
    assert total == pytest.approx(10.0 * np.mean([1, 2, 4, 7]))
