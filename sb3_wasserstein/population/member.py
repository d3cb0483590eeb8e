"""One policy of a population: an SB3 model, driven one rollout at a time."""

from __future__ import annotations

import copy
import inspect
import io
import warnings
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import set_random_seed

from sb3_wasserstein._atomic_io import read_tensors
from sb3_wasserstein.cloud import Draws, Floats
from sb3_wasserstein.population.exchange import Report, Turn
from sb3_wasserstein.population.generators import Generators, OwnGenerators
from sb3_wasserstein.population.potential import PairPotential
from sb3_wasserstein.regularised import BehaviourTracker, WassersteinOnPolicyMixin
from sb3_wasserstein.regularised.registry import regularised
from sb3_wasserstein.regularised.window import EpisodeWindow, Scales

#: episodes of earlier rollouts that a cloud is filled up with where a rollout has few
LEAST_CLOUD = 64
MIN_EPISODES = 2
#: arguments of an algorithm that a saved model does not bring along
LASTING = ("tensorboard_log", "verbose")


@dataclass
class MemberSpec:
    """
    All that a member is made from, wherever it lives.

    :param algorithm: the class of its model
    :param policy: as for SB3
    :param env: environment id, or a callable that returns an Env, as for ``make_vec_env``
    :param n_envs: number of environments
    :param env_kwargs: the environment's arguments
    :param seed: of its model and environments
    :param name: of its TensorBoard run
    :param kwargs: the algorithm's other arguments
    :param spec: the registered environment, for a process that has not imported what registers it
    :param blob: a saved model to start from
    :param behaviour: its window, as ``torch.save`` writes it
    :param generators: states of the random generators to start from
    """

    algorithm: type[WassersteinOnPolicyMixin]
    policy: Any
    env: Any
    n_envs: int
    env_kwargs: dict[str, Any] | None
    seed: int
    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    spec: EnvSpec | None = None
    blob: bytes | None = None
    behaviour: bytes | None = None
    generators: dict[str, Any] | None = None


class Snapshot(NamedTuple):
    """
    :param blob: the model as SB3 saves it
    :param behaviour: its window, as ``torch.save`` writes it: tensors and plain Python
    :param generators: the states of its random generators
    """

    blob: bytes
    behaviour: bytes
    generators: dict[str, Any]


class MemberTracker(BehaviourTracker):
    """Records a member's embeddings; what shapes its rollouts comes from the population."""

    records = True
    potential: PairPotential | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is something to be repelled from."""
        return self.potential is not None

    def _shaping(self, points: Floats, numbers: Draws | None) -> Floats:
        assert self.potential is not None
        return self.potential(points, numbers)

    def config(self) -> dict[str, Any]:
        """:return: a tracker's, marked as a member's: saved alone, its model has nothing to be repelled from"""
        return {**super().config(), "is_member": True}


class Member:
    """
    :param spec: what it is made from
    """

    def __init__(self, spec: MemberSpec) -> None:
        self.spec = spec
        #: policy and optimizer from before it began afresh
        self._kept: dict[str, Any] | None = None
        self._generators = OwnGenerators()
        with self._generators.active():
            if spec.spec is not None and isinstance(spec.env, str) and spec.env not in gym.registry:
                gym.registry[spec.env] = spec.spec
            self.model = self._made()
        if spec.generators is not None:
            self._generators.state = Generators.from_arrays(spec.generators)
        self._callback: BaseCallback | None = None
        self._total = 0
        self._round = 0
        self._progress = 0.0

    def _made(self) -> WassersteinOnPolicyMixin:
        spec = self.spec
        env = make_vec_env(spec.env, spec.n_envs, seed=spec.seed, env_kwargs=spec.env_kwargs)
        if spec.blob is None:
            model = spec.algorithm(spec.policy, env, seed=spec.seed, **spec.kwargs)
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*member of a population.*")
                model = spec.algorithm.load(io.BytesIO(spec.blob), env, **spec.kwargs)
        made = model.tracker
        behaviour = MemberTracker(
            made.recipe, None, made.dual, None, made.window.size, segment_length=made.segment_length, options=made.options
        )
        model.tracker = behaviour
        model._bind_wasserstein()
        if spec.behaviour is not None:
            saved = read_tensors(spec.behaviour)
            try:
                behaviour.load_state_dict(saved["behaviour"])
                self._kept = _checked(saved["kept"], model.policy)
            except (AttributeError, KeyError, TypeError) as error:
                raise ValueError(f"the state of a member is damaged: {error!r}") from error
        return model

    @property
    def behaviour(self) -> MemberTracker:
        """What its episodes look like."""
        behaviour = self.model.tracker
        assert isinstance(behaviour, MemberTracker)
        return behaviour

    @property
    def is_occupancy(self) -> bool:
        """Whether its cloud is of states."""
        return self.behaviour.embedding.samples_states

    def begin(self, total_timesteps: int, callback: MaybeCallback, reset_num_timesteps: bool) -> int:
        """SB3's ``learn`` as far as its loop. :return: the number of steps to reach, earlier ones included"""
        with self._generators.active():
            model = self.model
            self._total, self._callback = model._setup_learn(
                total_timesteps, copy.deepcopy(callback), reset_num_timesteps, self.spec.name, False
            )
            self._round = 0
            self._callback.on_training_start({"total_timesteps": self._total, "self": model}, globals())
            return self._total

    def begin_again(self, total: int, callback: MaybeCallback) -> None:
        """:param total: the number of steps to reach, as :meth:`begin` returned it"""
        self.begin(total - self.model.num_timesteps, callback, False)

    def collect(self) -> Report:
        """A rollout, without the bonus. :return: what the others may see of it"""
        with self._generators.active():
            model, behaviour = self.model, self.behaviour
            assert self._callback is not None
            assert model.env is not None
            behaviour.potential = None
            complete = model.collect_rollouts(model.env, self._callback, model.rollout_buffer, model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, self._total)
            episodes = [] if behaviour.rollout is None or not complete else behaviour.rollout.episodes
            returns = np.array([episode.episode_return for episode in episodes])
            cloud, draws = self._cloud(len(episodes))
            return Report(cloud, returns, model.num_timesteps, complete, draws)

    def train(self, turn: Turn) -> None:
        """The bonus, SB3's ``train``, and the logs."""
        with self._generators.active():
            model, behaviour = self.model, self.behaviour
            self._round += 1
            if turn.keeps:
                self._kept = copy.deepcopy(self._weights())
            if turn.restart is not None:
                self._begin_afresh(turn.restart)
            if turn.gives_back and self._kept is not None:
                self._take_back(self._kept)
            behaviour.potential = turn.potential
            behaviour.scales = Scales(turn.episode_return, turn.ground_cost, frozen=True)
            model.wasserstein_coef = turn.coef
            if behaviour.rollout is not None:
                model._add_bonus(model.rollout_buffer)
            if self._round % log_interval(type(model)) == 0:
                model.dump_logs(self._round)
            # What another policy collected, this one must not learn from.
            if turn.restart is None and not turn.gives_back:
                model.train()

    def end(self) -> None:
        """SB3's ``learn`` after its loop."""
        with self._generators.active():
            assert self._callback is not None
            self._callback.on_training_end()

    def snapshot(self) -> Snapshot:
        """:return: what it can be made again from"""
        model, behaviour = io.BytesIO(), io.BytesIO()
        self.model.save(model)
        th.save({"behaviour": self.behaviour.state_dict(), "kept": self._kept}, behaviour)
        return Snapshot(model.getvalue(), behaviour.getvalue(), self._generators.state.arrays())

    def _cloud(self, n_new: int) -> tuple[Floats, Draws]:
        window = self.behaviour.window
        if len(window) < MIN_EPISODES:
            return np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
        n = window.n_within(self.behaviour.options.max_states) if self.is_occupancy else max(n_new, LEAST_CLOUD)
        return window.last(n), window.draws(n)

    def _weights(self) -> dict[str, Any]:
        policy = self.model.policy
        return {"policy": policy.state_dict(), "optimizer": policy.optimizer.state_dict()}

    def _take_back(self, weights: dict[str, Any]) -> None:
        policy = self.model.policy
        policy.load_state_dict(weights["policy"])
        policy.optimizer.load_state_dict(weights["optimizer"])
        self._kept = None
        self._forget()

    def _begin_afresh(self, seed: int) -> None:
        model = self.model
        set_random_seed(seed, using_cuda=model.device.type == "cuda")
        # MaskablePPO's policies know no gSDE: it is asked for where it is wanted.
        kwargs: dict[str, Any] = {**({"use_sde": True} if model.use_sde else {}), **model.policy_kwargs}
        made = model.policy_class(model.observation_space, model.action_space, model.lr_schedule, **kwargs)
        model.policy = cast(ActorCriticPolicy, made.to(model.device))
        self._forget()

    def _forget(self) -> None:
        """Another policy's episodes say nothing of this one, whose critic has learnt no bonus."""
        self.behaviour.window = EpisodeWindow(self.behaviour.window.size)
        self.model.bonus_to_go = 0.0


def _checked(kept: Any, policy: ActorCriticPolicy) -> dict[str, Any] | None:
    """
    :param kept: weights from a file, or None
    :param policy: that they are of
    :return: the same
    :raises ValueError: if they are of another policy
    """
    if kept is None:
        return None
    shapes = {name: tensor.shape for name, tensor in policy.state_dict().items()}
    if {name: tensor.shape for name, tensor in kept["policy"].items()} != shapes or not isinstance(kept["optimizer"], dict):
        raise ValueError("the state of a member is damaged: the weights that it keeps are of another policy")
    return {"policy": kept["policy"], "optimizer": kept["optimizer"]}


def log_interval(algorithm: type[OnPolicyAlgorithm]) -> int:
    """
    :param algorithm: SB3's, or one that passes ``learn``'s arguments on
    :return: the number of rollouts between its logs
    """
    parameters = (
        inspect.signature(base.__dict__["learn"]).parameters for base in algorithm.__mro__ if "learn" in base.__dict__
    )
    return next(int(known["log_interval"].default) for known in parameters if "log_interval" in known)


def member_class(algorithm: Any) -> type[WassersteinOnPolicyMixin]:
    """
    :param algorithm: one of SB3's on-policy algorithms, or one of ours
    :return: the class with Wasserstein regularisation
    :raises TypeError: if it is neither
    """
    if isinstance(algorithm, type) and issubclass(algorithm, WassersteinOnPolicyMixin):
        return algorithm
    if isinstance(algorithm, type) and issubclass(algorithm, OnPolicyAlgorithm):
        made = (WassersteinOnPolicyMixin, algorithm)
        return regularised(algorithm) or type(f"Wasserstein{algorithm.__name__}", made, {})
    raise TypeError(
        f"algorithm must be an on-policy algorithm of SB3 (PPO, A2C, or a subclass of OnPolicyAlgorithm); got {algorithm!r}"
    )
