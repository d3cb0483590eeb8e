"""K policies that all solve the task, each in its own way (Abdullah et al. 2018, §4.2; docs/populations.md)."""

from __future__ import annotations

import io
import os
import uuid
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_path
from sb3_wasserstein.duals import SinkhornDual, dual_from_config
from sb3_wasserstein.embeddings import Embedding, make_embedding
from sb3_wasserstein.population.arguments import (
    check_callback,
    check_coefficient,
    check_environment,
    check_n_envs,
    check_timeout,
    log_folder,
    pair_dual,
    registered,
)
from sb3_wasserstein.population.checkpoint import Checkpoint, check_folder, read_checkpoint, write_checkpoint
from sb3_wasserstein.population.evaluation import Evaluation, evaluate_members
from sb3_wasserstein.population.exchange import Exchange
from sb3_wasserstein.population.executors import EXECUTORS, Executor, MemberError, make_executor
from sb3_wasserstein.population.member import MemberSpec, member_class
from sb3_wasserstein.population.rounds import Rounds
from sb3_wasserstein.population.rules import Rules
from sb3_wasserstein.population.schedule import Burst, FreshStarts, RepulsionSchedule, check_schedule
from sb3_wasserstein.regularised import WassersteinOnPolicyMixin
from sb3_wasserstein.regularised.registry import known_algorithms


class Population:
    """
    K policies that learn one task side by side and are repelled from each other's behaviour.

    After each rollout, members show the embeddings of their episodes, and nothing else; the pairwise potentials reshape their
    returns: policy k maximises J(θ_k) + λ Σ_l p_kl W_ε(μ_k, μ_l).

    :param algorithm: PPO, A2C, or another of SB3's on-policy algorithms, as a class
    :param policy: as for SB3
    :param env: environment id, or a callable that returns an Env, as for ``make_vec_env``
    :param n_policies: K
    :param wasserstein_coef: λ, in units of (spread of the returns) / (median ground cost); > 0 repels
    :param schedule: when: "burst", early on and again for pairs that have collapsed and begin afresh; "constant"; or a
        function of progress_remaining, a factor of the coefficient
    :param distance_target: repel a pair only while its distance is below this multiple of the way that the policy has come
        from its untrained self
    :param return_floor: in [0, 1]; repel a policy only while the mean return of its last rollout has come at least this share
        of the way from the untrained policies to the best that any of them has had
    :param embedding: what a behaviour is, as for :class:`WassersteinPPO`
    :param repulsion: "mutual": each from all others; "ordered": each from those before it; "sequential": one is trained after
        the other, and repelled from the finished ones
    :param neighbours: "nearest": from the nearest other, by soft-min; "mean": from all others alike
    :param burst: the numbers of the schedule "burst"; None for the defaults
    :param fresh_starts: which members begin again with the schedule "burst": True for the default rule, False for none. Their
        old weights come back where the new ones are worse
    :param executor: where members live: "serial" in this process; "process" in spawned ones (a script then needs
        ``if __name__ == "__main__":``); "ray" on a cluster. The result is the same
    :param member_timeout: seconds that a member in another process may take for a training and the next rollout before its
        process is ended and it fails; None for no limit. Several times what a round takes is safe
    :param n_envs: number of environments of each member
    :param env_kwargs: the environment's arguments
    :param seed: of everything
    :param tensorboard_log: folder; each member has a run, and the population one
    :param algorithm_kwargs: the algorithm's arguments, and those of :class:`WassersteinPPO` (``dual_kwargs``, ``credit``,
        ``episode_window``, ...)
    :raises ValueError: if an argument is unknown or out of range, with its name
    :raises TypeError: if the algorithm is none of SB3's on-policy ones
    :raises MemberError: if a member cannot be made, with its number and its own traceback

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import Population
        >>> population = Population(PPO, "MlpPolicy", "CartPole-v1", n_policies=2, seed=0, n_steps=128, batch_size=64)
        >>> population.learn(256).distances.shape
        (2, 2)
    """

    def __init__(
        self,
        algorithm: type,
        policy: Any,
        env: Any,
        n_policies: int,
        *,
        wasserstein_coef: float = 1.0,
        schedule: RepulsionSchedule = "burst",
        distance_target: float | None = None,
        return_floor: float | None = None,
        embedding: str | Embedding = "path",
        repulsion: str = "mutual",
        neighbours: str = "nearest",
        burst: Burst | None = None,
        fresh_starts: FreshStarts | bool = True,
        executor: str = "serial",
        member_timeout: float | None = None,
        n_envs: int = 1,
        env_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        tensorboard_log: str | os.PathLike[str] | None = None,
        **algorithm_kwargs: Any,
    ) -> None:
        cls = member_class(algorithm)
        check_count("n_policies", n_policies, 2)
        check_n_envs(n_envs)
        check_choice("executor", executor, EXECUTORS)
        timeout = check_timeout(member_timeout, executor)
        if algorithm_kwargs.pop("target", None) is not None:
            raise ValueError("target does not go with a population, whose members are each other's: use WassersteinPPO")
        check_environment(env, env_kwargs)
        rules = Rules(
            check_coefficient(wasserstein_coef),
            schedule,
            repulsion,
            neighbours,
            distance_target,
            return_floor,
            algorithm_kwargs.get("episode_window", 256),
            Burst() if burst is None else burst,
            (FreshStarts() if fresh_starts else None) if isinstance(fresh_starts, bool) else fresh_starts,
        )
        self._prepare(cls, n_policies, rules, pair_dual(algorithm_kwargs), make_embedding(embedding), seed)
        kwargs = {**algorithm_kwargs, "embedding": embedding, "tensorboard_log": log_folder(tensorboard_log)}
        seeds = np.random.SeedSequence(self.seed).generate_state(n_policies)
        spec = registered(env)
        specs = [
            MemberSpec(cls, policy, env, n_envs, env_kwargs, int(seeds[k] >> 1), f"member_{k}", kwargs, spec)
            for k in range(n_policies)
        ]
        self._open(specs, executor, timeout, tensorboard_log)

    def _prepare(
        self,
        cls: type[WassersteinOnPolicyMixin],
        n_policies: int,
        rules: Rules,
        dual: SinkhornDual,
        embedding: Embedding,
        seed: int | None,
    ) -> None:
        self.algorithm = cls
        self.n_policies = int(n_policies)
        self.rules = rules
        self.embedding = embedding
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else check_count("seed", seed, 0)
        self.exchange = Exchange(self.n_policies, rules, dual, embedding.samples_states, self.seed)
        self._identity = uuid.uuid4().hex
        self._models: list[WassersteinOnPolicyMixin] | None = None

    def _open(self, specs: list[MemberSpec], executor: str, timeout: float | None, tensorboard_log: Any) -> None:
        self._members: Executor = make_executor(executor, specs, timeout)
        self._rounds = Rounds(self._members, self.exchange, log_folder(tensorboard_log))

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        progress_bar: bool = False,
        *,
        reset_num_timesteps: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
    ) -> Population:
        """
        Train all members.

        :param total_timesteps: number of environment steps of each policy
        :param callback: as in SB3; each member gets a copy of its own. One that returns False stops its member
        :param progress_bar: one bar for all members (needs tqdm and rich)
        :param reset_num_timesteps: as in SB3: False goes on
        :param checkpoint: folder to save to every so many rounds, and at the end; also where a member fails
        :param checkpoint_every: number of rounds between
        :return: the population
        :raises MemberError: if a member fails, with its number and its own traceback; the others have finished their round,
            and the population can be saved and can learn on. A member whose process has died is made again for that from the
            end of one of its last trainings
        """
        check_count("total_timesteps", total_timesteps, 1)
        check_count("checkpoint_every", checkpoint_every, 1)
        check_flag("progress_bar", progress_bar)
        check_flag("reset_num_timesteps", reset_num_timesteps)
        check_callback(callback)
        if checkpoint is not None:
            # Before hours of training, not at its first checkpoint.
            check_folder(check_path("checkpoint", checkpoint), self._identity)
        self._models = None
        sequential = self.rules.repulsion == "sequential"
        everybody = list(range(self.n_policies))
        save = None if checkpoint is None else lambda: self.save(checkpoint)
        self._rounds.run(
            [[k] for k in everybody] if sequential else [everybody],
            int(total_timesteps),
            callback,
            progress_bar,
            reset_num_timesteps,
            save,
            checkpoint_every,
        )
        return self

    @property
    def models(self) -> list[WassersteinOnPolicyMixin]:
        """K models that each save, load and predict as SB3's own do; copies where members live in other processes."""
        members = getattr(self._members, "members", None)
        if members is not None:
            return [member.model for member in members]
        return [self._loaded(snapshot.blob) for snapshot in self._members.snapshots()]

    @property
    def best(self) -> int:
        """
        The number of the member with the highest mean return in its last rollout.

        :raises ValueError: before an episode has ended
        """
        known = self.exchange.mean_returns
        if not known:
            raise ValueError("no episode has ended yet: best is known after learn()")
        return max(known, key=lambda k: (known[k], -k))

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
        *,
        member: int | None = None,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """
        SB3's, of one member.

        :param observation: as in SB3
        :param state: as in SB3
        :param episode_start: as in SB3
        :param deterministic: as in SB3
        :param member: its number; None for the best
        :return: the actions, and the next state of a recurrent policy
        :raises ValueError: if there is no such member
        """
        number = self.best if member is None else check_count("member", member, 0)
        if number >= self.n_policies:
            raise ValueError(f"member must be below {self.n_policies}, the number of policies; got {member!r}")
        return self._model(number).predict(observation, state, episode_start, deterministic)

    def evaluate(self, n_episodes: int = 30, *, deterministic: bool = False, seed: int | None = None) -> Evaluation:
        """
        Try all members in new environments.

        :param n_episodes: number of episodes of each, 4 at least
        :param deterministic: whether they act without noise
        :param seed: of the environments, the actions and the comparisons; None for the population's own
        :return: returns, distances, and whether they are more than chance
        :raises ValueError: if ``n_episodes`` is less than 4
        """
        check_count("n_episodes", n_episodes, 4)
        check_flag("deterministic", deterministic)
        spec = self._members.specs[0]

        def make_env() -> VecEnv:
            return make_vec_env(spec.env, spec.n_envs, env_kwargs=spec.env_kwargs)

        seed = self.seed % 2**31 if seed is None else check_count("seed", seed, 0)
        return evaluate_members(self.models, make_env, self.embedding, int(n_episodes), deterministic, seed)

    def __repr__(self) -> str:
        spec, rules = self._members.specs[0], self.rules
        env = spec.env if isinstance(spec.env, str) else getattr(spec.env, "__name__", repr(spec.env))
        schedule = rules.schedule if isinstance(rules.schedule, str) else "a function"
        return (
            f"Population({self.n_policies} × {self.algorithm.__name__} on {env}, wasserstein_coef={rules.coef:g}, "
            f"schedule={schedule}, embedding={self.embedding!r})"
        )

    @property
    def distances(self) -> NDArray[np.float64]:
        """(K, K) Sinkhorn divergences between members at the last exchange, in the cost's unit; NaN before the first."""
        return self.exchange.distances

    def save(self, folder: str | os.PathLike[str]) -> None:
        """
        Write a checkpoint that :meth:`load` goes on from. It replaces the folder's last one in one step; other files in the
        folder stay.

        :param folder: made where it is missing
        :raises ValueError: if the folder holds another population
        :raises OSError: if it cannot be written; what was there before stays
        """
        path = check_path("folder", folder)
        check_folder(path, self._identity)
        snapshots = self._members.snapshots()
        states, arrays = self.exchange.state()
        spec = self._members.specs[0]
        description = {
            "population": self._identity,
            "n_policies": self.n_policies,
            "algorithm": self.algorithm.__name__,
            "n_envs": spec.n_envs,
            "env_kwargs": sorted(spec.env_kwargs or {}),
            "seeds": [spec.seed for spec in self._members.specs],
            "seed": self.seed,
            "embedding": self.embedding.config(),
            "dual": self.exchange.pairwise.dual.config(),
            "rules": self.rules.config(),
            "exchange": states,
        }
        write_checkpoint(path, Checkpoint(description, arrays, snapshots))

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        env: Any,
        *,
        env_kwargs: dict[str, Any] | None = None,
        algorithm: type | None = None,
        schedule: RepulsionSchedule | None = None,
        embedding: Embedding | None = None,
        executor: str = "serial",
        member_timeout: float | None = None,
        tensorboard_log: str | os.PathLike[str] | None = None,
    ) -> Population:
        """
        A population as it was saved; ``learn(..., reset_num_timesteps=False)`` goes on. Its environments begin with a reset.

        :param folder: as given to :meth:`save`
        :param env: as for the constructor: environments are not saved
        :param env_kwargs: the environment's arguments
        :param algorithm: the members' class, where this package does not list it
        :param schedule: where it was a function: functions are not saved
        :param embedding: where it was made of a function
        :param executor: "serial", "process" or "ray"
        :param member_timeout: as for the constructor
        :param tensorboard_log: folder
        :return: the population
        :raises FileNotFoundError: if there is no checkpoint
        :raises ValueError: if it is damaged, belongs to another environment, or lacks what has to be given
        """
        check_choice("executor", executor, EXECUTORS)
        if schedule is not None:
            check_schedule(schedule)
        if embedding is not None:
            embedding = make_embedding(embedding)
        check_environment(env, env_kwargs)
        description, arrays, snapshots = read_checkpoint(check_path("folder", folder))
        timeout = check_timeout(member_timeout, executor)
        population = cls.__new__(cls)
        rules = dict(description["rules"])
        rules["schedule"] = schedule or rules.get("schedule")
        if rules["schedule"] is None:
            raise ValueError("the schedule was a function, and functions are not saved: pass schedule= to load()")
        name, seeds, n_envs = description["algorithm"], description["seeds"], description["n_envs"]
        identity, states = description["population"], description["exchange"]
        named = known_algorithms()
        try:
            known_rules = Rules(**rules)
        except TypeError as error:
            raise ValueError(f"folder {str(folder)!r} is damaged: the rules in population.json: {error}") from error
        if algorithm is None and name not in named:
            raise ValueError(f"the members are {name}, which is not known here: pass algorithm= to load()")
        recipe = make_embedding(description["embedding"]) if embedding is None else embedding
        dual = dual_from_config(description["dual"])
        if not isinstance(dual, SinkhornDual):
            raise ValueError(f"folder {str(folder)!r} is damaged: its dual is {description['dual']!r:.80}")
        member = member_class(named[name] if algorithm is None else algorithm)
        population._prepare(member, len(snapshots), known_rules, dual, recipe, description["seed"])
        population._identity = identity
        population.exchange.load_state(states, arrays)
        kwargs: dict[str, Any] = {"tensorboard_log": log_folder(tensorboard_log)}
        if embedding is not None:
            kwargs["embedding"] = embedding
        specs = []
        for k, snapshot in enumerate(snapshots):
            made = MemberSpec(member, None, env, n_envs, env_kwargs, seeds[k], f"member_{k}", kwargs, registered(env))
            specs.append(replace(made, **snapshot._asdict()))
        lacking = description.get("env_kwargs") if env_kwargs is None else None
        if lacking:
            warnings.warn(
                f"the population was made with env_kwargs of {lacking}, which are not saved: pass env_kwargs= to load()",
                stacklevel=2,
            )
        try:
            population._open(specs, executor, timeout, tensorboard_log)
        except (MemberError, TypeError, ValueError) as error:
            if not lacking:
                raise
            raise ValueError(
                f"env does not make the population's environment without env_kwargs, which are not saved: it was made with "
                f"{lacking}. Pass env_kwargs= to load() ({error})"
            ) from error
        return population

    def _model(self, member: int) -> WassersteinOnPolicyMixin:
        """One of :attr:`models`; copies from other processes are kept until the members train on."""
        if self._models is None:
            self._models = self.models
        return self._models[member]

    def close(self) -> None:
        """End the members' processes and close their environments."""
        self._members.close()

    def __enter__(self) -> Population:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _loaded(self, blob: bytes) -> WassersteinOnPolicyMixin:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*member of a population.*")
            return self.algorithm.load(io.BytesIO(blob))
