"""The mixin that adds the bonus to the transitions that an off-policy algorithm samples."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutReturn
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein.recording import Rollout
from sb3_wasserstein.regularised import credit as crediting
from sb3_wasserstein.regularised.mixin import Setting, WassersteinMixin
from sb3_wasserstein.regularised.replay import BehaviourDictReplayBuffer, BehaviourReplayBuffer, BehaviourReplayMixin
from sb3_wasserstein.regularised.tracker import BehaviourTracker


def check_credit(credit: Any) -> str | None:
    """
    :param credit: what came
    :return: the credit's name
    :raises ValueError: if it does not go with a replay buffer
    """
    if crediting.check_credit(credit) not in (None, "telescoping"):
        raise ValueError(f"credit={credit!r} does not go with a replay buffer: leave it out, or use 'telescoping'")
    return credit  # type: ignore[no-any-return]


class WassersteinOffPolicyMixin(WassersteinMixin, OffPolicyAlgorithm):
    """
    Wasserstein regularisation for SB3's off-policy algorithms. Put it before the algorithm:
    ``class WassersteinSAC(WassersteinOffPolicyMixin, SAC)``. Arguments are those of :class:`WassersteinMixin`.

    The bonus of a stored transition ages with the dual: the buffer keeps where the episode was in the embedding space before
    and after the step, and the bonus is worked out with the present dual whenever a transition is sampled. Credit is
    telescoping, or step by step where states are samples; it needs an embedding that has prefixes. A transition that this
    model has not recorded, from another model's replay buffer for example, gains nothing.

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

    credit = Setting(check_credit)

    def _setup_model(self) -> None:
        super()._setup_model()
        if self._has_target and self.env is not None:
            self._describes(self.replay_buffer)

    def _setup_wasserstein(self) -> None:
        super()._setup_wasserstein()
        if not self._has_target:
            return
        # SB3's own are what a plain algorithm's file names.
        if self.replay_buffer_class in (None, ReplayBuffer, DictReplayBuffer):
            if self.n_steps > 1:
                raise ValueError(
                    f"n_steps={self.n_steps!r} does not go with a target: a bonus is worked out for single transitions; "
                    "use n_steps=1"
                )
            is_dict = isinstance(self.observation_space, spaces.Dict)
            self.replay_buffer_class = BehaviourDictReplayBuffer if is_dict else BehaviourReplayBuffer
        elif not issubclass(self.replay_buffer_class, BehaviourReplayMixin):
            raise ValueError(
                f"replay_buffer_class={self.replay_buffer_class!r} does not go with a target: leave it out, or derive yours "
                "from BehaviourReplayMixin"
            )

    def _bind_wasserstein(self) -> None:
        if self.normalize_bonus == "return" or self.tracker.options.law == "rollout":
            raise ValueError(
                "normalize_bonus='return' and TrackerOptions(law='rollout') need rollouts of one policy, which off-policy "
                "algorithms do not have: leave them at their defaults"
            )
        super()._bind_wasserstein()
        if not self.tracker.has_prefixes:
            raise ValueError(
                f"embedding={self.embedding!r} does not say what an episode is like before its end, and a transition's bonus "
                "needs that: use an embedding with prefixes (or a wrapper with every_step=True)"
            )
        if self.replay_buffer is not None:
            self._describes(self.replay_buffer)

    def _describes(self, buffer: Any) -> None:
        """Make room for the embedding's points in a replay buffer that has none yet."""
        if not isinstance(buffer, BehaviourReplayMixin):
            raise ValueError(
                "target cannot be set on an off-policy model that was made without one, whose replay buffer is SB3's own: "
                "save it, and pass target= to load()"
            )
        assert self.tracker.dim is not None
        buffer.make_room(self.tracker.dim, json.dumps(self.tracker.recipe.config()))

    def load_replay_buffer(self, path: Any, truncate_last_traj: bool = True) -> None:
        """SB3's; transitions of a plain buffer, or of another embedding's, are taken, and gain nothing."""
        super().load_replay_buffer(path, truncate_last_traj)
        if self._has_target:
            found, own = self.replay_buffer, self.replay_buffer_class
            if not isinstance(found, BehaviourReplayMixin):
                assert found is not None and own is not None and issubclass(own, BehaviourReplayMixin)
                self.replay_buffer = own.adopted(found)
            if self.env is not None:
                self._describes(self.replay_buffer)

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, *args: Any, **kwargs: Any) -> RolloutReturn:
        """SB3's, and then what the new transitions were; its arguments are the parent's."""
        tracker, buffer = self.tracker, self.replay_buffer
        if tracker.target is None:
            return super().collect_rollouts(env, callback, *args, **kwargs)
        assert isinstance(buffer, BehaviourReplayMixin)
        begin = buffer.pos
        try:
            result = super().collect_rollouts(env, callback, *args, **kwargs)
        except ValueError as error:
            tracker.explain(error)
            raise
        n_stored = result.episode_timesteps // env.num_envs
        if not result.continue_training:
            # A callback has stopped training: the last step was made, and not stored.
            tracker.end_rollout(self.num_timesteps)
            n_stored -= 1
        assert tracker.rollout is not None
        if n_stored:
            points, factors = described(tracker.rollout, tracker, self.gamma)
            positions = (begin + np.arange(n_stored)) % buffer.buffer_size
            numbers = tracker.rollout.numbers[:n_stored]
            buffer.describe(positions, points[:, :n_stored], factors[:, :n_stored], numbers)
        self._give_bonus(tracker, buffer)
        return result

    def _give_bonus(self, tracker: BehaviourTracker, buffer: BehaviourReplayMixin) -> None:
        coef = self._coefficient()
        if coef == 0.0 or not tracker.is_ready:
            self.logger.record("wasserstein/coef", coef)
            buffer.bonus = None
            return
        effective = self._effective_coefficient(coef)

        def bonus(points: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
            return crediting.scaled(tracker.shaping(points, numbers), coef, effective)

        buffer.bonus = bonus
        assert tracker.rollout is not None
        self._log_bonus(coef, effective, crediting.episode_values(tracker.rollout.episodes, tracker.shaping))


def described(rollout: Rollout, tracker: BehaviourTracker, gamma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    :param rollout: with prefixes
    :param tracker: that recorded it
    :param gamma: the discount factor
    :return: (2, T, n, dim) the points that each transition gains h of, and (2, T, n) their factors
    """
    assert rollout.after is not None
    before = np.empty_like(rollout.after)
    before[1:] = rollout.after[:-1]
    before[rollout.starts] = rollout.start_values
    points = np.stack([rollout.after, before])
    ones = np.ones(rollout.ends.shape)
    if not tracker.embedding.samples_states:
        return points, np.stack([ones, -ones]) * rollout.known
    mean_length = float(tracker.window.lengths.mean()) if len(tracker.window) else 1.0
    n_starts = len(rollout.start_values)
    after, first = (
        crediting.occupancy_bonus(rollout, values, starts, tracker.embedding, mean_length, gamma)
        for values, starts in ((ones, np.zeros(n_starts)), (0.0 * ones, np.ones(n_starts)))
    )
    return points, np.stack([after, first]) * rollout.known
