"""The whole way: what stands in the buffer after a rollout is what SB3 would compute from the reshaped rewards."""

import copy
from typing import Any

import numpy as np
import pytest
from scripted import ScriptedEnv
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import VisitHistogram


def spied(cls, credit, lengths, n_steps, gamma=0.97, gae_lambda=0.9, embedding="mean_state", target=((1.0, 0.0, -1.0),)):
    env = make_vec_env(lambda: ScriptedEnv(lengths=lengths), 3)
    kwargs = {"batch_size": n_steps * 3} if cls is WassersteinPPO else {}
    model = cls(
        "MlpPolicy",
        env,
        embedding=embedding,
        target=target,
        wasserstein_coef=2.0,
        credit=credit,
        n_steps=n_steps,
        gamma=gamma,
        gae_lambda=gae_lambda,
        seed=0,
        **kwargs,
    )
    rollouts: list[Any] = []
    arguments: dict[str, Any] = {}
    compute = model.rollout_buffer.compute_returns_and_advantage

    def remember(last_values, dones) -> None:
        arguments.update(last_values=last_values, dones=dones.copy())
        compute(last_values, dones)
        arguments.update(rewards=model.rollout_buffer.rewards.copy(), advantages=model.rollout_buffer.advantages.copy())
        arguments.update(to_go=model.bonus_to_go)

    model.rollout_buffer.compute_returns_and_advantage = remember
    train = model.train

    def keep() -> None:
        rollouts.append((copy.copy(model.rollout_buffer), dict(arguments), model.tracker.rollout))
        train()

    model.train = keep
    model.learn(6 * n_steps * 3)
    return model, rollouts


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
@pytest.mark.parametrize("credit", ["telescoping", "terminal"])
@pytest.mark.parametrize(("lengths", "n_steps"), [((3, 7, 5), 8), ((2,), 9), ((40,), 16), ((1,), 4)])
def test_advantages_and_returns_are_those_of_the_reshaped_rewards(cls, credit, lengths, n_steps) -> None:
    _, rollouts = spied(cls, credit, lengths, n_steps)
    shaped = 0
    for buffer, before, _ in rollouts:
        advantages, returns = buffer.advantages.copy(), buffer.returns.copy()
        shaped += bool(np.any(buffer.rewards != before["rewards"]))
        type(buffer).compute_returns_and_advantage(buffer, before["last_values"], before["dones"])
        np.testing.assert_allclose(advantages, buffer.advantages, atol=1e-5 * max(1.0, np.abs(advantages).max()))
        np.testing.assert_allclose(returns, buffer.returns, atol=1e-5 * max(1.0, np.abs(returns).max()))
    # From the first finished episodes on; an unfinished one telescopes as well, but has no terminal step.
    assert shaped >= (4 if lengths != (40,) else 1)


@pytest.mark.parametrize("embedding", ["mean_state", VisitHistogram([-2.0] * 3, [2.0] * 3, 3, smoothing=0.5)], ids=str)
def test_the_bonus_of_each_whole_episode_telescopes(embedding) -> None:
    """Rewards in the buffer, less those before: h at the end less h at the start, times λ, whatever the rollout's cuts."""
    target = ((1.0, 0.0, -1.0),) if embedding == "mean_state" else np.eye(27)[:1]
    settings = {"gamma": 1.0, "gae_lambda": 1.0, "embedding": embedding, "target": target}
    model, rollouts = spied(WassersteinPPO, "telescoping", (3, 7, 5), 30, **settings)
    # The last rollout's potential is still there.
    buffer, before, rollout = rollouts[-1]
    # What V has learnt of the bonus is taken off where SB3 bootstraps: tests/regularised/test_truncation.py.
    bonus = buffer.rewards - before["rewards"] + before["to_go"] * rollout.truncated
    h = model.tracker.shaping
    scales = model.tracker.scales
    coef = 2.0 * scales.episode_return / scales.ground_cost
    checked = 0
    for episode in rollout.episodes:
        first = episode.step + 1 - episode.length
        if first < 0:
            continue
        index = [tuple(place) for place in np.argwhere(rollout.starts)].index((first, episode.env))
        end, start = (h(points, np.array([episode.number])) for points in (episode.points, rollout.start_values[index][None]))
        expected = coef * (end - start)[0]
        assert bonus[first : episode.step + 1, episode.env].sum() == pytest.approx(expected, rel=1e-3, abs=1e-4)
        checked += 1
    assert checked >= 6


def test_episode_credit_leaves_rewards_and_returns() -> None:
    _, rollouts = spied(WassersteinPPO, "episode", (3, 7, 5), 30)
    buffer, before, rollout = rollouts[-1]
    np.testing.assert_array_equal(buffer.rewards, before["rewards"])
    np.testing.assert_allclose(buffer.returns, before["advantages"] + buffer.values, atol=1e-6)
    added = buffer.advantages - before["advantages"]
    for episode in rollout.episodes:
        inside = added[max(0, episode.step + 1 - episode.length) : episode.step + 1, episode.env]
        assert np.ptp(inside) < 1e-4


def test_an_episode_does_not_count_for_its_own_bonus() -> None:
    """Shifting one episode's own point in the law changes the bonus of the other episodes, and not its own."""
    model, rollouts = spied(WassersteinPPO, "telescoping", (3, 7, 5), 30)
    _, _, rollout = rollouts[-1]
    episode = rollout.episodes[-1]
    window, dual = model.tracker.window, model.dual
    numbers = window.draws(len(window))
    assert episode.number in numbers
    assert len(set(numbers.tolist())) == len(window)
    at = window.embeddings[numbers == episode.number] + 1e-9
    own, others = (dual.shaping_of(at, np.array([number])) for number in (episode.number, -1))
    assert np.abs(own - others) > 1e-3 * model.tracker.scales.ground_cost
    before = model.tracker.shaping(at, np.array([episode.number]))
    np.testing.assert_array_equal(before, own)
