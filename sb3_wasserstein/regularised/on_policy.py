"""The mixin that adds the bonus to an on-policy algorithm's rollout."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein.recording import Rollout
from sb3_wasserstein.regularised import credit as crediting
from sb3_wasserstein.regularised.mixin import WassersteinMixin


class WassersteinOnPolicyMixin(WassersteinMixin, OnPolicyAlgorithm):
    """
    Wasserstein regularisation for SB3's on-policy algorithms (Abdullah et al. 2018, eq. 4: max J(θ) + λ W(μ_θ, ν)). Put it
    before the algorithm: ``class WassersteinPPO(WassersteinOnPolicyMixin, PPO)``.

    With coefficient 0 every bit is as the parent class has it; without a target nothing is recorded.

    Arguments are the algorithm's own, and those of :class:`WassersteinMixin` by keyword.

    :raises ValueError: if an argument is unknown or out of range, with its name

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein.regularised import WassersteinOnPolicyMixin
        >>> class Ours(WassersteinOnPolicyMixin, PPO):
        ...     pass
        >>> model = Ours("MlpPolicy", "CartPole-v1", target=[[0.0] * 4], wasserstein_coef=1.0, n_steps=128, batch_size=64)
        >>> model.learn(128).embeddings.shape[1]
        4
    """

    #: mean of the discounted bonus still to come at a step, in the unit of the buffer's rewards: what V has learnt of it
    bonus_to_go: float = 0.0
    #: running root mean square of the discounted return of the standardised bonus; 0 before the first rollout
    bonus_return: float = 0.0
    #: running mean of the potential at terminal states, in deviations from its mean; None before the first termination
    terminal_bonus: float | None = None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, *args: Any, **kwargs: Any
    ) -> bool:
        """SB3's, and then the bonus on the buffer's rewards, advantages and returns; its arguments are the parent's."""
        try:
            complete = super().collect_rollouts(env, callback, rollout_buffer, *args, **kwargs)
        except ValueError as error:
            self.tracker.explain(error)
            raise
        # The tracker has been told of the rollout's end by its callback.
        if complete and self.tracker.target is not None:
            self._add_bonus(rollout_buffer)
        return complete

    def __deepcopy__(self, memo: dict[int, Any]) -> WassersteinOnPolicyMixin:
        if self._last_obs is not None:
            # The distribution that SB3's policy keeps of its last training step hangs in torch's graph, and cannot be copied.
            self.predict(self._last_obs, deterministic=True)
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def _bind_wasserstein(self) -> None:
        super()._bind_wasserstein()
        self._credit()

    def _credit(self) -> str:
        """:return: the name of what credits steps"""
        has_prefixes = self.tracker.has_prefixes
        if self.credit == "telescoping" and not has_prefixes:
            raise ValueError(
                f"credit='telescoping' needs the embedding of every prefix of an episode, which {self.embedding} does not "
                "give here: use credit='terminal' or 'episode' (or a wrapper with every_step=True)"
            )
        return self.credit or ("telescoping" if has_prefixes else "terminal")

    def _add_bonus(self, buffer: RolloutBuffer) -> None:
        """
        Put λ h, credited to steps, on SB3's rewards, advantages and returns, in place.

        SB3 has added γ V(s_T) to the reward where an episode was truncated. V has learnt the bonus, but none comes after the
        episode's end: what V holds of it, on average, is taken off again.

        :param buffer: of the rollout that has just ended
        """
        tracker, rollout, coef = self.tracker, self.tracker.rollout, self._coefficient()
        assert rollout is not None
        dones = rollout.terminated | rollout.truncated
        bonus, effective, known_of_v = np.zeros(dones.shape), 0.0, self.bonus_to_go
        if coef == 0.0 or not tracker.is_ready:
            self.logger.record("wasserstein/coef", coef)
            self.bonus_to_go = 0.0
        else:
            effective, credit = self._effective_coefficient(coef), self._credit()
            bonus, values = self._bonus(rollout, credit)
            if self.normalize_bonus == "return":
                bonus = self._in_units_of_return(bonus, dones)
            bonus = crediting.scaled(bonus, coef, effective)
            self._log_bonus(coef, effective, values)
            self.logger.record("wasserstein/bonus_mean", float(bonus.mean()))
            self.logger.record("wasserstein/bonus_std", float(bonus.std()))
            if credit == "episode":
                buffer.advantages += bonus
                return
            if not tracker.is_stepwise and (known_of_v != 0.0 or rollout.truncated.any()):
                self.bonus_to_go = crediting.mean_to_go(bonus, dones, self.gamma, known_of_v)
        bonus -= self.gamma * known_of_v * rollout.truncated
        if bonus.any():
            added = crediting.bonus_advantages(bonus, dones, self.gamma, self.gae_lambda)
            crediting.check_finite(added, coef, effective)
            buffer.rewards += bonus
            buffer.advantages += added
            buffer.returns += added

    def _in_units_of_return(self, bonus: NDArray[np.float64], dones: NDArray[np.bool_]) -> NDArray[np.float64]:
        """:return: (T, n) the bonus, :meth:`_centred` where each step has its own, over the spread of its discounted return"""
        centred = self._centred(bonus) if self.tracker.is_stepwise else bonus
        spread = float(np.sqrt((centred**2).mean()))
        if spread == 0.0:
            return centred
        # Standardised first: the potential's size may change from one rollout to the next, how it adds up does so slowly.
        returns = crediting.bonus_advantages(centred / spread, dones, self.gamma, 1.0)
        now = float(np.sqrt((returns**2).mean()))
        self.bonus_return = 0.9 * self.bonus_return + 0.1 * now if self.bonus_return else now
        return centred / (spread * self.bonus_return)

    def _centred(self, bonus: NDArray[np.float64]) -> NDArray[np.float64]:
        """
        The bonus from its zero on: the mean of what terminal states get, since nothing comes after them. An end is then worth
        as much as to stay in such a state for ever (Kostrikov 2019, "Discriminator-Actor-Critic"), without a sum in one step.
        """
        rollout, mean, spread = self.tracker.rollout, float(bonus.mean()), float(bonus.std())
        assert rollout is not None
        if spread == 0.0 or self.tracker.embedding.holds:
            return bonus - mean
        if rollout.terminated.any():
            now = (float(bonus[rollout.terminated].mean()) - mean) / spread
            self.terminal_bonus = now if self.terminal_bonus is None else 0.9 * self.terminal_bonus + 0.1 * now
        return bonus - (mean + spread * (self.terminal_bonus or 0.0))

    @property
    def _mean_length(self) -> float:
        """Of an episode; before the first has ended the rollout is all that is known."""
        tracker = self.tracker
        assert tracker.rollout is not None
        return float((tracker.window.lengths if len(tracker.window) else tracker.rollout.lengths[-1]).mean())

    def _bonus(self, rollout: Rollout, credit: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """:return: (T, n) what each step gains, in units of h, and (k,) h of each finished episode"""
        tracker = self.tracker
        if credit == "telescoping" and not tracker.embedding.samples_states:
            after, starts = crediting.prefix_values(rollout, tracker.shaping)
            # What an episode has become is unknown where its beginning was not recorded.
            bonus = crediting.telescoping_bonus(rollout, after, starts) * rollout.known
            return bonus, after[rollout.ends & rollout.known]
        values = crediting.episode_values(rollout.episodes, tracker.shaping)
        if credit == "episode":
            return crediting.episode_advantages(rollout, values, lambda: tracker.baseline(len(values))), values
        if credit == "terminal":
            return crediting.terminal_bonus(rollout, values), values
        after, starts = crediting.prefix_values(rollout, tracker.shaping)
        bonus = crediting.occupancy_bonus(rollout, after, starts, tracker.embedding, self._mean_length, self.gamma)
        return bonus * rollout.known, values
