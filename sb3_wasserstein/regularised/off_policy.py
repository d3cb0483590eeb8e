"""The mixin that adds the bonus to the transitions that an off-policy algorithm samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutReturn
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein._threads import one_blas_thread
from sb3_wasserstein.recording import Rollout
from sb3_wasserstein.regularised import credit as shaping
from sb3_wasserstein.regularised.bonus import BonusReport
from sb3_wasserstein.regularised.callback import DualCallback
from sb3_wasserstein.regularised.mixin import WassersteinMixin
from sb3_wasserstein.regularised.replay import BehaviourDictReplayBuffer, BehaviourReplayBuffer, BehaviourReplayMixin


class WassersteinOffPolicyMixin(WassersteinMixin, OffPolicyAlgorithm):
    """
    Wasserstein regularisation for SB3's off-policy algorithms. Put it before the algorithm:
    ``class WassersteinSAC(WassersteinOffPolicyMixin, SAC)``. Arguments are those of :class:`WassersteinMixin`.

    The bonus of a stored transition ages with the dual: the buffer keeps where the episode was in the embedding space before
    and after the step, and the bonus is worked out with the present dual whenever a transition is sampled. Credit is
    telescoping, or step by step for an occupancy; it needs an embedding that has prefixes.

    :raises ValueError: if the embedding has no prefixes, or with a replay buffer of one's own (HER's relabelled goals would
        need an embedding of their own) or n-step returns

    Example:
        >>> from stable_baselines3 import DDPG
        >>> from sb3_wasserstein.regularised import WassersteinOffPolicyMixin
        >>> class Ours(WassersteinOffPolicyMixin, DDPG):
        ...     pass
        >>> model = Ours("MlpPolicy", "Pendulum-v1", target=[[1.0, 0.0, 0.0]], wasserstein_coef=-1.0, learning_starts=450)
        >>> model.learn(500).embeddings.shape
        (2, 3)
    """

    def _setup_model(self) -> None:
        has_behaviour = self.target is not None or bool((self.wasserstein_config or {}).get("has_target"))
        if has_behaviour and self.replay_buffer_class is None:
            if self.n_steps > 1:
                raise ValueError(
                    f"n_steps={self.n_steps!r} does not go with a target: a bonus is worked out for single transitions; "
                    "use n_steps=1"
                )
            is_dict = isinstance(self.observation_space, spaces.Dict)
            self.replay_buffer_class = BehaviourDictReplayBuffer if is_dict else BehaviourReplayBuffer
        if has_behaviour and not issubclass(self.replay_buffer_class or object, BehaviourReplayMixin):
            raise ValueError(
                f"replay_buffer_class={self.replay_buffer_class!r} does not go with a target: leave it out, or derive yours "
                "from BehaviourReplayMixin"
            )
        if self.credit not in (None, "telescoping") and has_behaviour:
            raise ValueError(f"credit={self.credit!r} does not go with a replay buffer: leave it out, or use 'telescoping'")
        super()._setup_model()
        self._setup_wasserstein()

    def _bind_wasserstein(self, env: VecEnv) -> None:
        super()._bind_wasserstein(env)
        assert self.dual_callback is not None
        if not self.dual_callback.has_prefixes:
            raise ValueError(
                f"embedding={self.embedding!r} does not say what an episode is like before its end, and a transition's bonus "
                "needs that: use an embedding with prefixes (or a wrapper with every_step=True)"
            )

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, *args: Any, **kwargs: Any) -> RolloutReturn:
        """SB3's, and then what the new transitions were; its arguments are the parent's."""
        behaviour, buffer = self.dual_callback, self.replay_buffer
        if behaviour is None:
            return super().collect_rollouts(env, callback, *args, **kwargs)
        assert isinstance(buffer, BehaviourReplayMixin)
        behaviour.locals = callback.locals
        begin = buffer.pos
        try:
            result = super().collect_rollouts(env, callback, *args, **kwargs)
        except ValueError as error:
            behaviour.explain(error)
            raise
        if not result.continue_training:
            # A callback has stopped training: the last step was made, and not stored.
            behaviour.record(callback.locals)
        n_stored = result.episode_timesteps // env.num_envs - (0 if result.continue_training else 1)
        behaviour.end_rollout()
        if behaviour.rollout is not None and n_stored:
            points, factors = described(behaviour.rollout, behaviour, self.gamma)
            positions = (begin + np.arange(n_stored)) % buffer.buffer_size
            buffer.describe(positions, points[:, :n_stored], factors[:, :n_stored])
        self._give_bonus(behaviour, buffer)
        if not result.continue_training or self.num_timesteps >= self._total_timesteps:
            behaviour.on_training_end()
        return result

    def _give_bonus(self, behaviour: DualCallback, buffer: BehaviourReplayMixin) -> None:
        coef = self._coefficient()
        self._bonus_report.coef = coef
        if coef == 0.0 or not behaviour.is_ready:
            buffer.bonus = None
            return
        effective = self._effective_coefficient(behaviour, coef)

        def bonus(points: NDArray[np.float64]) -> NDArray[np.float64]:
            with one_blas_thread():
                return effective * behaviour.shaping(points)

        buffer.bonus = bonus
        report = self._bonus_report
        report.coef_effective = effective
        if behaviour.rollout is not None and behaviour.rollout.episodes:
            values = shaping.episode_values(behaviour.rollout.episodes, behaviour.shaping)
            report.episode_bonus = effective * self._reward_divisor(behaviour) * values
            report.episode_returns = [episode.episode_return for episode in behaviour.rollout.episodes]

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        """SB3's, called once a step: what the step was stands in the callback's variables."""
        super()._update_info_buffer(infos, dones)
        if self.dual_callback is not None:
            self.dual_callback.record(self.dual_callback.locals)

    def dump_logs(self) -> None:
        """SB3's, and ours."""
        report, self._bonus_report = self._bonus_report, BonusReport()
        report.write(self.logger)
        if self.dual_callback is not None:
            self.dual_callback.log()
        super().dump_logs()


def described(rollout: Rollout, behaviour: DualCallback, gamma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    :param rollout: with prefixes
    :param behaviour: that recorded it
    :param gamma: the discount factor
    :return: (2, T, n, dim) the points that each transition gains h of, and (2, T, n) their factors
    """
    assert rollout.after is not None
    before = np.empty_like(rollout.after)
    before[1:] = rollout.after[:-1]
    before[rollout.starts] = rollout.start_values
    points = np.stack([rollout.after, before])
    ones = np.ones(rollout.ends.shape)
    if not behaviour.embedding.samples_states:
        return points, np.stack([ones, -ones])
    mean_length = behaviour.window.mean_length if len(behaviour.window) else 1.0
    after, first = (
        shaping.occupancy_bonus(rollout, values, starts, behaviour.embedding, mean_length, gamma)
        for values, starts in ((ones, np.zeros(len(rollout.start_values))), (0.0 * ones, np.ones(len(rollout.start_values))))
    )
    return points, np.stack([after, first])
