"""PPO that imitates demonstrations from their observations alone."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein._validation import check_count, check_flag, check_number, check_positive
from sb3_wasserstein.duals import dual_from_config
from sb3_wasserstein.embeddings import Embedding, Scaling, StateOccupancy, make_embedding
from sb3_wasserstein.embeddings.features import Features
from sb3_wasserstein.embeddings.observations import each, take
from sb3_wasserstein.embeddings.steps import Ends, Steps
from sb3_wasserstein.imitation.cloning import Cloner, CloningOptions
from sb3_wasserstein.imitation.demonstrations import Demonstrations
from sb3_wasserstein.imitation.inverse_model import InverseModel, InverseModelOptions
from sb3_wasserstein.imitation.scaling import DemonstrationScaling
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.recording.trajectories import as_trajectories
from sb3_wasserstein.regularised import TrackerOptions, WassersteinPPO
from sb3_wasserstein.regularised import credit as crediting
from sb3_wasserstein.targets import Target


class RewardKeeper(BaseCallback):
    """Keeps a rollout's rewards as the environment returned them: SB3's buffer has them with values at time limits."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[NDArray[np.float64]] = []

    def _on_rollout_start(self) -> None:
        self._kept = []

    def _on_step(self) -> bool:
        self._kept.append(np.array(self.locals["rewards"], dtype=np.float64))
        return True

    def _on_training_end(self) -> None:
        self.locals, self.globals = {}, {}

    def __getstate__(self) -> dict[str, Any]:
        # SB3's frames can be neither copied nor pickled.
        return {**self.__dict__, "locals": {}, "globals": {}}

    def rewards(self) -> NDArray[np.float64]:
        """:return: (T, n_envs) those of the last rollout"""
        return np.array(self._kept)


class ImitationPPO(WassersteinPPO):
    """
    PPO that learns from observations alone: the bonus draws the law of the current rollout's states to that of the
    demonstrations (Abdullah et al. 2018, eq. 4 with λ < 0), and in the first part of the training an inverse model says which
    actions lead along the demonstrations, which are cloned after each of PPO's updates. The environment's own reward is not
    used unless ``reward_weight`` says so.

    The states are standardised by the demonstrations, for the policy (where no VecNormalize does it) and for the distance.
    Arguments that do not stand here are those of :class:`WassersteinPPO`, without ``target``.

    :param policy: as in SB3
    :param env: as in SB3
    :param demonstrations: a list of episodes (arrays of T + 1 observations, Trajectory objects, Minari's or imitation's
        episodes), a Minari dataset, or the path of an npz file with ``observations_0``, ``observations_1``, …; None in
        ``load``
    :param reward_weight: factor of the environment's own reward, beside a bonus whose discounted return is about 1 in size
    :param inverse_dynamics: whether to clone the actions that an inverse model guesses (Box and Discrete action spaces)
    :param horizon: number of steps, in mean lengths of the demonstrations and at most the time limit, for which the last state
        of a demonstration that terminated counts
    :param log_std_end: log standard deviation of the actions at the end of the training, to which it falls in a straight line
        from ``policy_kwargs["log_std_init"]`` (−1); None lets PPO learn it
    :param cloning: numbers of the cloning; None for the defaults
    :param inverse_model: numbers of the inverse model; None for the defaults
    :param learning_rate: as in SB3; the default falls to a tenth
    :param n_steps: number of steps of a rollout in each environment; None for 2048 in all of them together
    :param batch_size: as in SB3
    :param embedding: what is compared; None for the states, scaled by the demonstrations
    :param wasserstein_coef: λ, in the unit of ``normalize_bonus``
    :param normalize_bonus: the unit of λ
    :param dual_kwargs: the dual's constructor arguments
    :param tracker_options: when and on how many points the dual is solved; None for the current rollout's law on 768 points
    :param policy_kwargs: as in SB3, on top of two hidden layers of 128 units and :class:`DemonstrationScaling`
    :param kwargs: WassersteinPPO's own arguments
    :raises ValueError: if an argument is out of range, or a demonstration does not fit the environment; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein import ImitationPPO
        >>> upright = [np.random.default_rng(k).normal(0, 0.02, size=(201, 4)) for k in range(2)]
        >>> model = ImitationPPO("MlpPolicy", "CartPole-v1", upright, n_steps=128, batch_size=64, n_epochs=2, seed=0)
        >>> model.learn(256).num_timesteps
        256
    """

    _states = ("dual", "tracker", "cloner")
    _not_taken = ("target",)

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        demonstrations: Any = None,
        *,
        reward_weight: float = 0.0,
        inverse_dynamics: bool = True,
        horizon: float = 2.0,
        log_std_end: float | None = -2.5,
        cloning: CloningOptions | None = None,
        inverse_model: InverseModelOptions | None = None,
        learning_rate: float | Schedule | None = None,
        n_steps: int | None = None,
        batch_size: int = 256,
        embedding: str | Embedding | None = None,
        wasserstein_coef: float | Schedule = -1.0,
        normalize_bonus: bool | str = "return",
        dual_kwargs: dict[str, Any] | None = None,
        tracker_options: TrackerOptions | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        #: distances of the first rollout and between halves of the demonstrations, None before: what ``progress`` is made from
        self.first_distance: float | None = None
        self.own_distance: float | None = None
        #: points of the states in which demonstrations terminated, and the number of steps that they are held to
        self.terminal_states: list[list[float]] = []
        self.held_to = 0
        self._demonstrations: Any = None
        if not kwargs.get("_init_setup_model", True):
            # SB3's load() puts the saved arguments in their places afterwards.
            super().__init__(policy, env, **kwargs)
            return
        if kwargs.get("target") is not None:
            raise ValueError("target does not go with ImitationPPO, whose target is the law of the demonstrations' states")
        if demonstrations is None:
            raise ValueError("demonstrations=None: give a list of recorded episodes, or the path of an npz file of them")
        if env is None:
            raise ValueError("env=None: ImitationPPO checks its demonstrations against an environment")
        self._demonstrations = as_trajectories(demonstrations, "demonstrations")
        self.reward_weight = check_number("reward_weight", reward_weight)
        self.inverse_dynamics = check_flag("inverse_dynamics", inverse_dynamics)
        self.demonstrated_horizon = check_positive("horizon", horizon)
        self.log_std_end = None if log_std_end is None else check_number("log_std_end", log_std_end)
        #: JSON-plain: SB3 saves them as they are
        self.cloning_config = asdict(_options("cloning", CloningOptions, cloning))
        self.inverse_model_config = asdict(_options("inverse_model", InverseModelOptions, inverse_model))
        self._embedding_given = None if embedding is None else make_embedding(embedding)
        if n_steps is None:
            n_steps = _steps_of_rollout(
                env.num_envs if isinstance(env, VecEnv) else 1, check_count("batch_size", batch_size, 2)
            )
        is_given = isinstance(dual_kwargs, dict) or dual_kwargs is None
        dual = kwargs.get("dual", "sinkhorn")
        if isinstance(dual, str) and dual == "sinkhorn" and is_given:
            # The plain potential keeps pulling near the match; a rough solution of each rollout's problem is enough.
            dual_kwargs = {"debias": False, "tol": 1e-2, **(dual_kwargs or {})}
        hidden = [128, 128]
        super().__init__(
            policy,
            env,
            learning_rate=LinearSchedule(5e-4, 5e-5, 0.9) if learning_rate is None else learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            wasserstein_coef=wasserstein_coef,
            normalize_bonus=normalize_bonus,
            dual_kwargs=dual_kwargs,
            tracker_options=tracker_options,
            policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}, "log_std_init": -1.0, **(policy_kwargs or {})},
            **kwargs,
        )

    def _setup_model(self) -> None:
        given, embedding = self.__dict__.pop("_demonstrations", None), self.__dict__.pop("_embedding_given", None)
        demonstrations = scaling = None
        if given is not None:
            assert self.env is not None
            reader = EpisodeReader(self.env)
            demonstrations = Demonstrations(given, reader.observation_space, reader.max_episode_steps)
            if embedding is None or "features_extractor_class" not in self.policy_kwargs:
                scaling = Scaling.of(Features(reader.observation_space)(demonstrations.after()))
            self._set_target(demonstrations, embedding or StateOccupancy(after_termination="ignore", scaling=scaling))
            if self._vec_normalize_env is None or not self._vec_normalize_env.norm_obs:
                self.policy_kwargs.setdefault("features_extractor_class", DemonstrationScaling)
        super()._setup_model()
        for extractor in self.policy.modules():
            if scaling is not None and isinstance(extractor, DemonstrationScaling):
                extractor.set_scaling(scaling)
        self.cloner: Cloner | None = None
        if self.inverse_dynamics:
            self._setup_cloner(demonstrations)

    def _set_target(self, demonstrations: Demonstrations, embedding: Embedding) -> None:
        """Give the mixin the law of the demonstrations' states, and what it is compared with."""
        if not isinstance(embedding, StateOccupancy):
            raise ValueError(f"embedding must be a StateOccupancy or a TransitionOccupancy; got {embedding}")
        bound = embedding.bind(self._original_space(), self.action_space, 1)
        always, points = np.ones(1, dtype=bool), []
        for episode in demonstrations.episodes:
            points.append(_embedded(bound, episode, always))
        target = Target(np.concatenate(points), demonstrations.weights(self.demonstrated_horizon))
        self.terminal_states = [
            part[-1].tolist() for part, ended in zip(points, demonstrations.terminated, strict=True) if ended
        ]
        self.held_to = demonstrations.held_to(self.demonstrated_horizon)
        self.__dict__.update(embedding=embedding, target=target)
        if self.__dict__.get("tracker_options") is None:
            limit = max(TrackerOptions.max_target, len(target.points))
            self.__dict__["tracker_options"] = TrackerOptions(law="rollout", max_states=768, max_target=limit)
        self._halves = demonstrations.halves()

    def _original_space(self) -> spaces.Space[Any]:
        """The observation space that demonstrations are recorded in."""
        return self.observation_space if self.env is None else EpisodeReader(self.env).observation_space

    def _setup_cloner(self, demonstrations: Demonstrations | None) -> None:
        recipe = self.tracker.recipe
        assert isinstance(recipe, StateOccupancy)
        read, dim = recipe.scaled_features(self._original_space())
        options = InverseModelOptions(**self.inverse_model_config)
        model = InverseModel(dim, self.action_space, options, self.seed).to(self.device)
        self.cloner = Cloner(self.policy, model, CloningOptions(**self.cloning_config))
        if demonstrations is not None:
            before, after = demonstrations.before(), demonstrations.after()
            scale = recipe.scaling
            states, following = (part if scale is None else scale.expanded(part) for part in (read(before), read(after)))
            self.cloner.set_demonstrations(before, states, following)

    def _init_callback(self, callback: Any, progress_bar: bool = False) -> BaseCallback:
        """SB3's; the rewards are kept, to be weighted when the rollout has ended."""
        self._rewards = RewardKeeper()
        users = callback if isinstance(callback, list) else [] if callback is None else [callback]
        converted = [user if isinstance(user, BaseCallback) else ConvertCallback(user) for user in users]
        return super()._init_callback([self._rewards, *converted], progress_bar)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, *args: Any, **kwargs: Any
    ) -> bool:
        """WassersteinPPO's, with the spread of the actions that the training's progress asks for."""
        log_std = getattr(self.policy, "log_std", None)
        if log_std is not None and self.log_std_end is not None and not self.use_sde:
            start = self.policy.log_std_init
            log_std.requires_grad_(False).fill_(start + (self.log_std_end - start) * (1 - self._current_progress_remaining))
        complete = super().collect_rollouts(env, callback, rollout_buffer, *args, **kwargs)
        if complete:
            self._weigh_rewards(rollout_buffer)
            self._log_progress()
        return complete

    def _centred(self, bonus: NDArray[np.float64]) -> NDArray[np.float64]:
        """
        WassersteinPPO's where demonstrations go on to the time limit. Where they terminate, to end as they do is worth
        nothing, and another end as much as it would be to stay there for the rest of their horizon.
        """
        tracker, rollout = self.tracker, self.tracker.rollout
        assert rollout is not None
        if not self.terminal_states or tracker.embedding.holds:
            return super()._centred(bonus)
        zero = float(tracker.shaping(np.array(self.terminal_states), None).mean()) / (self._mean_length + 1.0)
        steps = 1.0 + np.where(rollout.terminated, np.maximum(self.held_to - rollout.lengths, 0), 0)
        weights = steps if self.gamma == 1.0 else (1.0 - self.gamma**steps) / (1.0 - self.gamma)
        return np.asarray((bonus - zero) * weights)

    def _weigh_rewards(self, buffer: RolloutBuffer) -> None:
        """Give the environment's rewards their weight; the values that SB3 has added at time limits stay."""
        rollout = self.tracker.rollout
        if self.reward_weight == 1.0 or rollout is None:
            return
        change = (self.reward_weight - 1.0) * self._rewards.rewards()
        added = crediting.bonus_advantages(change, rollout.terminated | rollout.truncated, self.gamma, self.gae_lambda)
        buffer.rewards += change
        buffer.advantages += added
        buffer.returns += added

    @property
    def _clones(self) -> bool:
        """Whether the training is in the part in which demonstrations are cloned."""
        return self.cloner is not None and self._current_progress_remaining > 1 - self.cloner.options.until

    def _transitions(self, buffer: RolloutBuffer) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """:return: (k, d) the features before and after each step of the rollout, and (k, ...) the actions"""
        rollout, recipe = self.tracker.rollout, self.tracker.recipe
        assert rollout is not None and rollout.after is not None and isinstance(recipe, StateOccupancy)
        before = np.empty_like(rollout.after)
        before[1:] = rollout.after[:-1]
        before[rollout.starts] = rollout.start_values
        states, following = (recipe.states_of(part).reshape(rollout.ends.size, -1) for part in (before, rollout.after))
        return states, following, buffer.actions.reshape(rollout.ends.size, -1)

    def train(self) -> None:
        """PPO's; then the inverse model is trained and the demonstrations are cloned."""
        # PPO's own training changes the buffer's shape.
        transitions = self._transitions(self.rollout_buffer) if self._clones else None
        super().train()
        if self.cloner is None:
            return
        if transitions is None:
            self.cloner.model.forget()
            return
        self.cloner.model.remember(*transitions)
        tracker = self.tracker
        assert tracker.rollout is not None and tracker.rollout.after is not None and tracker.target is not None
        self.logger.record("imitation/inverse_error", self.cloner.model.fit())
        points = tracker.rollout.after.reshape(tracker.rollout.ends.size, -1)
        unit = 1.0 if tracker.dual.units is None else tracker.dual.units
        near = self.cloner.nearest(points / unit, tracker.target.points / unit)
        seen = self.cloner.observations
        if self._vec_normalize_env is not None:
            seen = self._vec_normalize_env.normalize_obs(seen)
        tensors, _ = self.policy.obs_to_tensor(seen)
        self.policy.set_training_mode(True)
        self.logger.record("imitation/clone_loss", self.cloner.step(tensors, near))

    def _log_progress(self) -> None:
        """Log the distance, and which share of it, less what is noise, has been closed."""
        tracker = self.tracker
        if not tracker.is_ready:
            return
        distance = tracker.dual.distance
        self.logger.record("imitation/distance", distance)
        if self.first_distance is None or self.own_distance is None:
            self.first_distance, self.own_distance = distance, self._distance_of_halves()
        span = self.first_distance - self.own_distance
        if span > 0:
            self.logger.record("imitation/progress", 1.0 - (distance - self.own_distance) / span)

    def _distance_of_halves(self) -> float:
        """The distance between two halves of the demonstrations: what a perfect imitation has."""
        target, limit = self.tracker.target, self.tracker.options.max_states
        assert target is not None
        in_first = np.asarray(self.__dict__.get("_halves", np.arange(len(target.points)) % 2 == 0))
        if in_first.all() or not in_first.any():
            return 0.0
        spread = target.points.std(axis=0)
        unit = np.where(spread > 0, spread, 1.0)
        first, second = (
            Target(target.points[part] / unit, target.weights[part]).thinned(limit) for part in (in_first, ~in_first)
        )
        dual = dual_from_config(self.tracker.dual.config())
        dual.update(first.points, second.points, first.weights, second.weights)
        return dual.distance

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "cloner", "_halves", "_demonstrations", "_rewards"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [name for name in state_dicts if name != "cloner" or self.cloner is not None], variables


def _options(name: str, kind: type[Any], value: Any) -> Any:
    if not isinstance(value, (kind, type(None))):
        raise TypeError(f"{name} must be {kind.__name__}(...) or None; got {value!r}")
    return kind() if value is None else value


def _steps_of_rollout(n_envs: int, batch_size: int) -> int:
    """Steps in each environment that make about 2048 together, and whole batches."""
    unit = batch_size // math.gcd(batch_size, n_envs)
    return unit * max(1, round(2048 / (n_envs * unit)))


def _embedded(bound: Any, episode: Any, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T, dim) the points of the states that an episode's steps lead to."""
    bound.reset(take(episode.observations, slice(0, 1)), mask)
    observations = each(lambda rows: rows[1:, None], episode.observations)
    none = take(observations, (0, slice(0, 0)))
    scan = bound.scan(Steps(observations, none, Ends(np.zeros((len(episode), 1), dtype=bool))))
    points: NDArray[np.float64] = scan.after[:, 0]
    return points
