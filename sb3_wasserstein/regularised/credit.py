"""
From h to a rollout (Abdullah et al. 2018, "The gradient": the return of an episode becomes R(τ) + λ h(φ(τ))): pure functions.

T is the number of the rollout's steps, n the number of environments. All bonuses here are in units of h; λ comes later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.recording import Episode, Rollout

CREDITS = ("telescoping", "terminal", "episode")
#: h at (k, dim) points that come from the episodes of these (k,) numbers
Shaping = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


def check_credit(credit: Any) -> str | None:
    """
    :param credit: what came
    :return: the credit's name, or None for the embedding's own
    :raises ValueError: if the name is unknown
    """
    if credit is not None and not (isinstance(credit, str) and credit in CREDITS):
        raise ValueError(f"credit={credit!r} is not known; use one of {list(CREDITS)}, or None")
    return credit


def prefix_values(rollout: Rollout, shaping: Shaping) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    :param rollout: with prefixes
    :param shaping: h at points of episodes
    :return: (T, n) h of each prefix (of each state, where states are samples) and (k,) h at the rollout's ``starts``
    """
    assert rollout.after is not None
    after = rollout.after.reshape(-1, rollout.after.shape[-1])
    numbers = np.concatenate([rollout.numbers[rollout.starts], rollout.numbers.ravel()])
    values = shaping(np.concatenate([rollout.start_values, after]), numbers)
    n_starts = len(rollout.start_values)
    return values[n_starts:].reshape(rollout.ends.shape), values[:n_starts]


def telescoping_bonus(rollout: Rollout, after: NDArray[np.float64], starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    r_t += h(φ(τ_{0:t+1})) − h(φ(τ_{0:t})): credit lands where the behaviour changed, and nothing is lost at a rollout's cut.

    The sum over an episode is h(φ(τ)) − h(φ(τ_{0:0})). With γ < 1 the discounted sum weights the prefixes by (1 − γ) γ^t.

    :param rollout: with prefixes
    :param after: (T, n) h of each prefix, as from :func:`prefix_values`
    :param starts: (k,) h at the rollout's ``starts``
    :return: (T, n)
    """
    before = np.empty_like(after)
    before[1:] = after[:-1]
    before[rollout.starts] = starts
    return after - before


def occupancy_bonus(
    rollout: Rollout,
    after: NDArray[np.float64],
    starts: NDArray[np.float64],
    embedding: Embedding,
    mean_length: float,
    gamma: float,
) -> NDArray[np.float64]:
    """
    Each state's h with its weight in the occupancy measure, when the state is entered; the reset's goes to the first step.

    With a horizon H each of the H + 1 states weighs 1 / (H + 1), and a terminal state that is held weighs for all the steps
    that are left. The sum over an episode is the mean of h over its states. An absorbing one weighs for them discounted: the
    discounted sum is that of an agent who stays there to the horizon (Kostrikov 2019, "Discriminator-Actor-Critic").

    :param rollout: of states
    :param after: (T, n) h of each state, as from :func:`prefix_values`
    :param starts: (k,) h at the rollout's ``starts``
    :param embedding: whose samples are states; its ``after_termination`` and ``horizon`` say what follows a termination
    :param mean_length: mean number of steps of an episode, which stands for H where there is no horizon
    :param gamma: the discount factor, on which only an absorbing state's weight depends
    :return: (T, n)
    """
    bonus = after.copy()
    held_to = embedding.horizon if embedding.holds else None
    horizon = mean_length if held_to is None else held_to
    if held_to is not None:
        weight = 1.0 + np.where(rollout.terminated, np.maximum(horizon - rollout.lengths, 0), 0)
        if embedding.after_termination == "absorb" and gamma < 1.0:
            weight = (1.0 - gamma**weight) / (1.0 - gamma)
        bonus *= weight
    first = rollout.lengths[rollout.starts] == 1
    steps, envs = (index[first] for index in np.nonzero(rollout.starts))
    bonus[steps, envs] += starts[first]
    scaled: NDArray[np.float64] = bonus / (horizon + 1.0)
    return scaled


def episode_values(episodes: list[Episode], shaping: Shaping) -> NDArray[np.float64]:
    """
    :param episodes: k finished episodes
    :param shaping: h at points of episodes
    :return: (k,) h(φ(τ)) of each; where states are samples the mean of h over its states
    """
    if not episodes:
        return np.zeros(0)
    sizes = [len(episode.points) for episode in episodes]
    numbers = np.repeat([episode.number for episode in episodes], sizes)
    values = shaping(np.concatenate([episode.points for episode in episodes]), numbers)
    return np.array([part.mean() for part in np.split(values, np.cumsum(sizes)[:-1])])


def terminal_bonus(rollout: Rollout, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    The whole of h(φ(τ)) at the episode's last step. The episode's return is exact, but early steps see it diluted by γ^T.

    :param rollout: with k finished episodes
    :param values: (k,) h(φ(τ)) of each
    :return: (T, n)
    """
    bonus = np.zeros(rollout.ends.shape)
    for episode, value in zip(rollout.episodes, values, strict=True):
        bonus[episode.step, episode.env] = value
    return bonus


def episode_advantages(
    rollout: Rollout, values: NDArray[np.float64], baseline: Callable[[], float] = lambda: 0.0
) -> NDArray[np.float64]:
    """
    h(φ(τ)) − mean h on the advantage of each step of the episode that lies in this rollout: the REINFORCE estimator.

    The mean is that of the rollout's other episodes, so that the estimate is unbiased; an episode that has no others is
    compared with earlier ones.

    :param rollout: with k finished episodes; steps of unfinished ones get nothing
    :param values: (k,) h(φ(τ)) of each
    :param baseline: returns the mean of h over earlier episodes, for k = 1
    :return: (T, n)
    """
    advantages = np.zeros(rollout.ends.shape)
    k = len(values)
    if k:
        values = (values - values.mean()) * k / (k - 1) if k > 1 else values - baseline()
    for episode, value in zip(rollout.episodes, values, strict=True):
        advantages[max(0, episode.step + 1 - episode.length) : episode.step + 1, episode.env] = value
    return advantages


def bonus_advantages(
    bonus: NDArray[np.float64], dones: NDArray[np.bool_], gamma: float, gae_lambda: float
) -> NDArray[np.float64]:
    """
    GAE(λ) of the bonus alone, with V = 0. GAE is linear in the rewards, so this is what the bonus adds to SB3's advantages.

    :param bonus: (T, n)
    :param dones: (T, n) whether the episode ended with the step
    :param gamma: discount factor
    :param gae_lambda: GAE's λ
    :return: (T, n)
    """
    decay = gamma * gae_lambda * ~dones
    advantages = np.empty_like(bonus)
    running = np.zeros(bonus.shape[1])
    for step in range(len(bonus) - 1, -1, -1):
        running = bonus[step] + decay[step] * running
        advantages[step] = running
    return advantages


def mean_to_go(bonus: NDArray[np.float64], dones: NDArray[np.bool_], gamma: float, at_the_cut: float) -> float:
    """
    Mean over a rollout's steps of the discounted bonus from there to the episode's end.

    :param bonus: (T, n)
    :param dones: (T, n) whether the episode ended with the step
    :param gamma: discount factor
    :param at_the_cut: what stands for the rest of the episodes that go on after the rollout: the last rollout's mean
    :return: the mean, in the unit of ``bonus``
    """
    known = bonus.copy()
    known[-1] += gamma * at_the_cut * ~dones[-1]
    return float(bonus_advantages(known, dones, gamma, 1.0).mean())


def check_finite(gained: NDArray[np.float64], coef: float, effective: float) -> None:
    """
    :param gained: what the bonus adds to rewards, advantages or targets of Q
    :param coef: λ as it was asked for
    :param effective: λ in the unit of the rewards
    :raises ValueError: if a critic's loss, which squares it in float32, would not be finite; the message names λ
    """
    largest = float(np.abs(gained).max(initial=0.0))
    # NaN fails every comparison.
    if not largest < math.sqrt(np.finfo(np.float32).max):
        raise ValueError(
            f"wasserstein_coef={coef!r} gives a bonus of up to {largest:g} (λ in the unit of the rewards: {effective:g}), "
            "whose square is not finite in float32: use a smaller coefficient"
        )


def scaled(values: NDArray[np.float64], coef: float, effective: float) -> NDArray[np.float64]:
    """:return: the values times ``effective``; the rest is :func:`check_finite`'s"""
    with np.errstate(over="ignore", invalid="ignore"):
        gained = values * effective
    check_finite(gained, coef, effective)
    return gained
