"""A rollout's bonus in units of h, on SB3's buffer, and what the log says of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger

from sb3_wasserstein._numba import compiled_if_imported
from sb3_wasserstein._threads import SMALL, one_blas_thread
from sb3_wasserstein.recording import Rollout
from sb3_wasserstein.regularised import credit as shaping
from sb3_wasserstein.regularised.callback import DualCallback


def add_rollout_bonus(
    buffer: RolloutBuffer,
    behaviour: DualCallback,
    credit: str,
    coef: float,
    dones: NDArray[np.bool_],
    decay: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Put λ h, credited in one of three ways, on SB3's rewards, advantages and returns, in place.

    :param buffer: a full one
    :param behaviour: after the rollout
    :param credit: "telescoping", "terminal" or "episode"
    :param coef: λ in the unit of the buffer's rewards
    :param dones: (T, n) whether the episode ended with the step
    :param decay: γ, and GAE's λ
    :return: (T, n) the bonus of each step (for "episode" of each advantage), and (k,) h of each finished episode
    """
    rollout = behaviour.rollout
    assert rollout is not None
    is_small = rollout.after is not None and rollout.after.size < SMALL
    with nullcontext() if is_small else one_blas_thread():
        if credit == "telescoping" and not behaviour.embedding.samples_states:
            after, starts = shaping.prefix_values(rollout, behaviour.shaping)
            bonus = _add_telescoping(buffer, rollout, after, starts, coef, dones, decay)
            return bonus, after[rollout.ends] if rollout.episodes else np.zeros(0)
        values = shaping.episode_values(rollout.episodes, behaviour.shaping)
        if credit == "episode":
            bonus = shaping.episode_advantages(rollout, values) * coef
            buffer.advantages += bonus
            return bonus, values
        if credit == "terminal":
            bonus = shaping.terminal_bonus(rollout, values)
        else:
            after, starts = shaping.prefix_values(rollout, behaviour.shaping)
            mean_length = behaviour.window.mean_length
            bonus = shaping.occupancy_bonus(rollout, after, starts, behaviour.embedding, mean_length, decay[0])
        bonus *= coef
        add_bonus(buffer, bonus, dones, *decay)
        return bonus, values


def add_bonus(
    buffer: RolloutBuffer, bonus: NDArray[np.float64], dones: NDArray[np.bool_], gamma: float, gae_lambda: float
) -> None:
    """
    Put a bonus on SB3's rewards, advantages and returns, in place.

    :param buffer: a full one
    :param bonus: (T, n)
    :param dones: (T, n) whether the episode ended with the step
    :param gamma: discount factor
    :param gae_lambda: GAE's λ
    """
    compiled = compiled_if_imported("regularised.compiled")
    if compiled is not None:
        compiled.add_bonus(bonus, dones, gamma * gae_lambda, buffer.rewards, buffer.advantages, buffer.returns)
        return
    added = shaping.bonus_advantages(bonus, dones, gamma, gae_lambda)
    buffer.rewards += bonus
    buffer.advantages += added
    buffer.returns += added


def _add_telescoping(
    buffer: RolloutBuffer,
    rollout: Rollout,
    after: NDArray[np.float64],
    starts: NDArray[np.float64],
    coef: float,
    dones: NDArray[np.bool_],
    decay: tuple[float, float],
) -> NDArray[np.float64]:
    """The telescoping bonus and :func:`add_bonus`, where numba is in one call."""
    compiled = compiled_if_imported("regularised.compiled")
    if compiled is None:
        bonus = shaping.telescoping_bonus(rollout, after, starts) * coef
        add_bonus(buffer, bonus, dones, *decay)
        return bonus
    gamma, gae_lambda = decay
    return compiled.add_telescoping(  # type: ignore[no-any-return]
        after, starts, rollout.ends, coef, dones, gamma * gae_lambda, buffer.rewards, buffer.advantages, buffer.returns
    )


@dataclass
class BonusReport:
    """
    What the next line of the log says of the last rollouts; worked out when it is written, and not at every rollout: A2C
    writes only one in a hundred.

    :param coef: λ as it was asked for
    :param coef_effective: λ in the unit of the buffer's rewards
    :param bonus: (T, n) of the last rollout, in that unit
    :param episode_bonus: (k,) λ h of its finished episodes, in the environment's own unit
    :param episode_returns: (k,) their returns
    """

    coef: float | None = None
    coef_effective: float | None = None
    bonus: NDArray[np.float64] | None = None
    episode_bonus: NDArray[np.float64] | None = None
    episode_returns: list[float] | None = None

    def write(self, logger: Logger) -> None:
        """:param logger: gets what is known, under ``wasserstein/``"""
        for name in ("coef", "coef_effective"):
            if getattr(self, name) is not None:
                logger.record(f"wasserstein/{name}", getattr(self, name))
        if self.bonus is not None:
            logger.record("wasserstein/bonus_mean", float(self.bonus.mean()))
            logger.record("wasserstein/bonus_std", float(self.bonus.std()))
        if self.episode_bonus is not None and self.episode_returns is not None and np.any(self.episode_returns):
            ratio = np.abs(self.episode_bonus).mean() / np.abs(self.episode_returns).mean()
            logger.record("wasserstein/bonus_to_return", float(ratio))
