"""The mixin that adds the bonus to an on-policy algorithm's rollout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein.regularised import credit as shaping
from sb3_wasserstein.regularised.bonus import BonusReport, add_rollout_bonus
from sb3_wasserstein.regularised.callback import DualCallback
from sb3_wasserstein.regularised.mixin import WassersteinMixin


class WassersteinOnPolicyMixin(WassersteinMixin, OnPolicyAlgorithm):
    """
    Wasserstein regularisation for SB3's on-policy algorithms (S1 eq. 4: max J(θ) + λ W(μ_θ, ν)). Put it before the
    algorithm: ``class WassersteinPPO(WassersteinOnPolicyMixin, PPO)``.

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

    def _setup_model(self) -> None:
        super()._setup_model()
        self._setup_wasserstein()

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, *args: Any, **kwargs: Any
    ) -> bool:
        """SB3's, and then the bonus on the buffer's advantages and returns; its arguments are the parent's."""
        behaviour = self.dual_callback
        if behaviour is None:
            return super().collect_rollouts(env, callback, rollout_buffer, *args, **kwargs)
        behaviour.locals = callback.locals
        try:
            complete = super().collect_rollouts(env, callback, rollout_buffer, *args, **kwargs)
        except ValueError as error:
            behaviour.explain(error)
            raise
        if complete:
            waited = behaviour.waits
            measured_only = not callable(self.wasserstein_coef) and self.wasserstein_coef == 0 and behaviour.target is not None
            behaviour.end_rollout(rollout_buffer.buffer_size * env.num_envs if measured_only else None)
            # A coefficient that has just been switched on: earlier rollouts are taken in together with this one.
            if measured_only or not waited:
                self._add_bonus(rollout_buffer, behaviour)
        else:
            # A callback has stopped training: SB3 leaves out what follows a step.
            behaviour.record(callback.locals)
        if not complete or self.num_timesteps >= self._total_timesteps:
            behaviour.on_training_end()
        return complete

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        """
        SB3's, called once a step: what the step was stands in the callback's variables.

        Next, SB3 adds γ V(s_T) to the reward where an episode is truncated. V has learnt the bonus, but none comes after the
        episode's end: what V holds of it, on average, is taken off beforehand.
        """
        super()._update_info_buffer(infos, dones)
        if self.dual_callback is None:
            return
        self.dual_callback.record(self.dual_callback.locals)
        if self.bonus_to_go != 0.0 and dones is not None:
            for env in np.flatnonzero(dones):
                if infos[env].get("TimeLimit.truncated", False):
                    self.dual_callback.locals["rewards"][env] -= self.gamma * self.bonus_to_go

    def _add_bonus(self, buffer: RolloutBuffer, behaviour: DualCallback) -> None:
        coef = self._coefficient()
        self._bonus_report.coef = coef
        if coef == 0.0 or not behaviour.is_ready:
            self.bonus_to_go = 0.0
            return
        assert behaviour.rollout is not None
        effective = self._effective_coefficient(behaviour, coef)
        rollout = behaviour.rollout
        credit = self.credit or ("telescoping" if behaviour.has_prefixes else "terminal")
        dones = rollout.ends if self.segment_length is None else self._dones(buffer)
        decay = (self.gamma, self.gae_lambda)
        bonus, values = add_rollout_bonus(buffer, behaviour, credit, effective, dones, decay)
        if credit != "episode":
            # A state's bonus (an occupancy's, a segment's) goes on after a time limit, like a reward.
            goes_on = behaviour.embedding.samples_states or self.segment_length is not None
            if not goes_on and (self.bonus_to_go != 0.0 or rollout.has_truncated):
                self.bonus_to_go = shaping.mean_to_go(bonus, dones, self.gamma, self.bonus_to_go)
        report = self._bonus_report
        report.coef_effective, report.bonus = effective, bonus
        if rollout.episodes:
            report.episode_bonus = effective * self._reward_divisor(behaviour) * values
            report.episode_returns = [episode.episode_return for episode in rollout.episodes]

    def dump_logs(self, iteration: int = 0) -> None:
        """SB3's, and ours."""
        report, self._bonus_report = self._bonus_report, BonusReport()
        report.write(self.logger)
        if self.dual_callback is not None:
            self.dual_callback.log()
        super().dump_logs(iteration)

    def _dones(self, buffer: RolloutBuffer) -> NDArray[np.bool_]:
        """(T, n) whether an episode ended with the step, as SB3's own GAE sees it."""
        dones = np.empty(buffer.episode_starts.shape, dtype=bool)
        dones[:-1] = buffer.episode_starts[1:]
        dones[-1] = self._last_episode_starts
        return dones
