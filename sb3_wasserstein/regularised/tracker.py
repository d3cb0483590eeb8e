"""What is known of a behaviour while it is learnt: the window of its episodes, the target, and the dual between the two."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein._threads import one_blas_thread
from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_number
from sb3_wasserstein.cloud import Cloud, as_cloud, saved
from sb3_wasserstein.duals import Dual, make_dual
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.embeddings import Embedding, make_embedding
from sb3_wasserstein.recording import Episode, Recorder, Rollout
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.regularised.significance import noise_and_p_value
from sb3_wasserstein.regularised.window import EpisodeWindow, Scales
from sb3_wasserstein.targets import Target, as_target


@dataclass(frozen=True)
class TrackerOptions:
    """
    When the dual is solved, and on how many points.

    :param new_share: share of the window, in [0, 1], that must be new before the dual is solved at a rollout's end
    :param solve_every: number of environment steps after which the dual is solved even where less is new. The default is
        PPO's rollout: those of A2C are too short for a solution each
    :param max_states: upper bound of the points, on either side, of a law whose samples are states
    :param max_target: upper bound of the target's points: a larger target is thinned once, with a warning
    :param standardize: whether each feature is divided by its standard deviation, which is measured while the window first
        fills, so that features of different units count alike; the distance is then in standard deviations. None does so
        where the samples of the law are states
    :param test_every: number of environment steps after which ``wasserstein/noise`` and ``wasserstein/p_value`` are logged
        again; 0 for never. The default costs PPO on CartPole less than 1 % of its time
    :param n_resamples: number of half-samples that the noise, and of permutations that the p-value comes from
    :param patience: number of environment steps after which a warning says that too few episodes have finished
    :param law: what μ is: "window", the last episodes; or, for a law whose samples are states, "rollout": all states of the
        current rollout. A rollout is as new as the policy, where the window may be many rollouts old; the dual is then solved
        at the end of each, the units of the features are those of the two clouds at that time, and there is no frozen unit of
        λ (``normalize_bonus=True``)
    :raises ValueError: if an option is out of range; the message names it

    Example:
        >>> from sb3_wasserstein.regularised import TrackerOptions
        >>> TrackerOptions(solve_every=4096).solve_every
        4096
    """

    new_share: float = 0.25
    solve_every: int = 2048
    max_states: int = 1024
    max_target: int = 2048
    test_every: int = 20_480
    n_resamples: int = 99
    patience: int = 10_000
    standardize: bool | None = None
    law: str = "window"

    def __post_init__(self) -> None:
        if not 0 <= check_number("new_share", self.new_share) <= 1:
            raise ValueError(f"new_share must lie in [0, 1]; got {self.new_share!r}")
        for name in ("solve_every", "max_states", "max_target", "n_resamples", "patience"):
            check_count(name, getattr(self, name))
        if self.standardize is not None:
            check_flag("standardize", self.standardize)
        check_choice("law", self.law, ("window", "rollout"))
        check_count("test_every", self.test_every, 0)


class BehaviourTracker:
    """
    Follows the episodes of a training environment: the last ``episode_window`` of them are the law μ, and the dual is solved
    between μ and the target ν at a rollout's end.

    :param embedding: a name or an Embedding; where the environment is wrapped, the wrapper's is used
    :param target: the law ν as :func:`as_target` takes it, or None to record only
    :param dual: a name or a Dual
    :param dual_kwargs: the constructor's arguments of a dual given by name
    :param episode_window: number of episodes that μ is estimated from
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param options: when and on how many points the dual is solved; None for the defaults
    :raises ValueError: if an argument is unknown or out of range, with its name

    Example:
        >>> from sb3_wasserstein import WassersteinPPO
        >>> model = WassersteinPPO("MlpPolicy", "CartPole-v1", target=[[0.0] * 4], n_steps=128, batch_size=64, seed=0)
        >>> tracker = model.learn(256).tracker
        >>> len(tracker.window) > 2, tracker.is_ready, tracker.shaping(tracker.target.points).shape
        (True, True, (1,))
    """

    def __init__(
        self,
        embedding: str | Embedding | dict[str, Any] = "mean_state",
        target: Any = None,
        dual: str | Dual = "sinkhorn",
        dual_kwargs: dict[str, Any] | None = None,
        episode_window: int = 256,
        segment_length: int | None = None,
        options: TrackerOptions | None = None,
    ) -> None:
        if not isinstance(options, (TrackerOptions, type(None))):
            raise TypeError(f"tracker_options must be TrackerOptions(...) or None; got {options!r}")
        self.options = options or TrackerOptions()
        self.window = EpisodeWindow(episode_window)
        self.segment_length = None if segment_length is None else check_count("segment_length", segment_length)
        #: the user's recipe; an environment completes it to :attr:`embedding`, by its time limit for example
        self.recipe = self.embedding = make_embedding(embedding)
        self.dual = make_dual(dual, dual_kwargs)
        self.scales = Scales()
        #: dimension of the embedding space, None before there is an environment
        self.dim: int | None = None
        #: the rollout that has just ended
        self.rollout: Rollout | None = None
        self._n_unsolved = 0
        self._now = self._solved_at = self._tested_at = 0
        self._warned = False
        #: whether the dual was solved for another target
        self._is_outdated = False
        is_restartable = isinstance(self.dual, StochasticDual) and not self.dual.is_fitted
        self._unfitted_dual = self.dual.state_dict() if is_restartable else None
        #: number of steps of the longest episode in this environment
        self._longest = 0
        self._next_number = 0
        self._reader: EpisodeReader | None = None
        self._recorder: Recorder | None = None
        #: SB3's last observation when training ended, None while it goes on and after it was interrupted
        self._left_at: Any = None
        self._target: Target | None = None
        if target is not None:
            self.target = target

    @property
    def target(self) -> Target | None:
        """The law ν. One that is set is solved for at once, from the window: the next rollout is shaped by it."""
        return self._target

    @target.setter
    def target(self, target: Any) -> None:
        found = as_target(target, self.embedding)
        self._check_dimension(found)
        thinned = found.thinned(self.options.max_target)
        if thinned is not found:
            warnings.warn(
                f"target has {len(found.points)} points: every so manieth of them is used, {len(thinned.points)} in all "
                "(TrackerOptions(max_target=...) allows for more)",
                stacklevel=2,
            )
        before, self._target = self._target, thinned
        self._is_outdated = before is None or not thinned.is_same_as(before)
        self.settle()

    def settle(self) -> None:
        """Solve for the target from the window, where the dual was solved for another one."""
        # A law of the rollout is solved for anew before it is used.
        if not (self._is_outdated and self.dual.is_fitted) or self._is_of_rollout:
            return
        # A stochastic dual has walked towards the old target: it begins again.
        if self._unfitted_dual is not None:
            self.dual.load_state_dict(self._unfitted_dual)
        self._n_unsolved, self._is_outdated = len(self.window), False
        self._solve()

    def _check_dimension(self, target: Target | None) -> None:
        dim = self.dim or (self.window.embeddings.shape[1] if len(self.window) else None)
        if target is not None and dim not in (None, target.dim):
            raise ValueError(
                f"target has dimension {target.dim}, but the embedding {self.embedding} has {dim} here: "
                "make the target with this embedding (Target.from_policy, Target.from_trajectories)"
            )

    @property
    def _is_of_rollout(self) -> bool:
        """Whether μ is the law of the current rollout's states."""
        return self.options.law == "rollout"

    @property
    def records(self) -> bool:
        """Whether there is something to record for."""
        return self._target is not None

    @property
    def is_ready(self) -> bool:
        """Whether there is a potential to shape with."""
        return self._target is not None and self.dual.is_fitted

    @property
    def has_prefixes(self) -> bool:
        """Whether the embedding of an episode so far is known at every step."""
        return self._recorder is not None and self._recorder.has_prefixes

    @property
    def is_stepwise(self) -> bool:
        """Whether a step's bonus goes on after a time limit like a reward: that of a state, or of a segment."""
        return self.embedding.samples_states or self.segment_length is not None

    def shaping(self, points: NDArray[np.float64], numbers: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """
        h (docs/how_it_works.md), what an episode gains, at points of the embedding space.

        :param points: (k, dim)
        :param numbers: (k,) of the episodes that the points come from; None finds the points that are in the window
        :return: (k,)
        """
        with one_blas_thread():
            return self._shaping(points, numbers)

    def _shaping(self, points: NDArray[np.float64], numbers: NDArray[np.int64] | None) -> NDArray[np.float64]:
        return np.asarray(self.dual.shaping(points) if numbers is None else self.dual.shaping_of(points, numbers))

    def bind(self, env: VecEnv) -> None:
        """
        Fit the recorder to an environment; done by itself when training starts.

        :param env: the vectorised environment
        :raises ValueError: if the embedding cannot read its observations, or if the target has another dimension
        """
        reader = EpisodeReader(env)
        wrapped = reader.wrapped()
        recipe = make_embedding(wrapped["config"]) if wrapped is not None and wrapped["is_plain"] else self.recipe
        recorder = reader.recorder(recipe, self.segment_length, self.window.n_seen, 0, self._next_number)
        if wrapped is None:
            self.dim = recorder.embedding.bind(reader.observation_space, reader.action_space).dim
        else:
            self.dim = int(wrapped["dim"])
        if self._is_of_rollout and not (recorder.embedding.samples_states and recorder.has_prefixes):
            raise ValueError(
                f"TrackerOptions(law='rollout') needs an embedding whose samples are states, such as StateOccupancy(); got "
                f"{recorder.embedding}"
            )
        self._reader, self._recorder, self.embedding, self._left_at = reader, recorder, recorder.embedding, None
        self._longest = 0
        self._check_dimension(self._target)

    def begin(self, model: BaseAlgorithm, was_reset: bool) -> None:
        """
        Training begins, or goes on.

        Without a reset the running episodes go on where the recorder has followed every step up to here. It has not where
        training was interrupted by an exception, or has gone on without it: these episodes are unknown until they end.

        :param model: that learns
        :param was_reset: whether its environment has just been reset
        """
        env, observations = model.get_env(), model._last_obs
        assert env is not None and observations is not None
        if self._recorder is not None:
            # What was recorded before an interruption belongs to no later rollout.
            left = self._recorder.flush()
            if len(left.ends):
                self._take_in(left.episodes)
                self._next_number = self._recorder.next_number
        if self._reader is None or self._reader.env is not env:
            self.bind(env)
        assert self._reader is not None
        if was_reset or self._left_at is None or self._left_at is not observations:
            known = np.ones(env.num_envs, dtype=bool) if was_reset else _just_begun(model, env.num_envs)
            seen = (self.window.n_seen, self._longest, self._next_number)
            self._recorder = self._reader.recorder(self.embedding, self.segment_length, *seen)
            self._recorder.start(self._reader.observations(observations), self._reader.reset_infos, known)
        self._left_at = None
        self._now = model.num_timesteps
        # SB3 may count its steps from zero again.
        self._solved_at, self._tested_at = min(self._solved_at, self._now), min(self._tested_at, self._now)

    def begin_rollout(self) -> None:
        """Steps will follow: the environment's terminal observations are kept until the rollout ends."""
        assert self._reader is not None
        self._reader.watch()

    def record(self, step: Mapping[str, Any]) -> None:
        """
        Record one step of every environment.

        :param step: SB3's variables of the step, as callbacks see them
        """
        assert self._reader is not None and self._recorder is not None
        actions = step["clipped_actions"] if "clipped_actions" in step else step["actions"]
        self._reader.record(self._recorder, step["new_obs"], actions, step["rewards"], step["dones"], step["infos"])

    def end_rollout(self, num_timesteps: int) -> None:
        """
        Take in what has been recorded, and solve for the dual where enough of it is new.

        :param num_timesteps: SB3's count of environment steps
        """
        assert self._reader is not None and self._recorder is not None
        self._reader.release()
        self.rollout = self._recorder.flush()
        self._next_number = self._recorder.next_number
        self.embedding = self._recorder.embedding
        self._take_in(self.rollout.episodes)
        self._now = num_timesteps
        if self._is_due():
            self._solve()
        if num_timesteps >= self.options.patience:
            self._warn_too_few()

    def end_training(self, observations: Any) -> None:
        """
        Take in what a callback that stopped training left behind.

        :param observations: SB3's last ones, by which :meth:`begin` knows whether training went on elsewhere
        """
        assert self._reader is not None and self._recorder is not None
        self._reader.release()
        self._take_in(self._recorder.flush().episodes)
        self._next_number = self._recorder.next_number
        self._left_at = observations
        if self._is_due():
            self._solve()
        self._warn_too_few()

    def explain(self, error: ValueError) -> None:
        """
        A policy that is shown NaN raises torch's error, which names no environment.

        :param error: that came while a rollout was collected
        :raises ValueError: if the environments have returned NaN or infinity before
        """
        fault = None if self._recorder is None else self._recorder.fault()
        if fault is not None:
            self._recorder = None
            raise ValueError(f"{fault}, and the policy failed on it") from error

    def baseline(self, n_newest: int) -> float:
        """:return: the mean of h over the window's episodes but the newest ``n_newest``"""
        n_others = len(self.window) - n_newest
        if n_others <= 0:
            return 0.0
        n, n_new = len(self.window.embeddings), len(self.window.last(n_newest))
        return float(
            self.shaping(self.window.embeddings[: n - n_new], self.window.draws(len(self.window))[: n - n_new]).mean()
        )

    def _take_in(self, episodes: list[Episode]) -> None:
        self.window.extend(episodes)
        self._longest = max([self._longest, *(episode.length for episode in episodes)])
        self._n_unsolved = min(self._n_unsolved + len(episodes), len(self.window))

    def _is_due(self) -> bool:
        if self._is_of_rollout:
            return self._target is not None and self._now != self._solved_at
        if self._target is None or len(self.window) < 2 or self._n_unsolved == 0:
            return False
        if not self.dual.is_fitted or isinstance(self.dual, StochasticDual):
            return True
        # Episodes of many states: a window's worth of them would be older than the policy.
        states = self.embedding.samples_states
        n_episodes = self.window.n_within(self.options.max_states) if states else len(self.window)
        share = self._n_unsolved / n_episodes
        return share >= self.options.new_share or self._now - self._solved_at >= self.options.solve_every

    def _solve(self) -> None:
        assert self._target is not None
        if self._is_of_rollout:
            self._solve_rollout(self._target)
            return
        is_stochastic = isinstance(self.dual, StochasticDual)
        max_states = self.options.max_states
        if self.embedding.samples_states:
            n_episodes = self.window.n_within(max_states)
        else:
            # A stochastic dual is shown each episode once (Abdullah et al. 2018, Alg. 1, 3, 4).
            n_episodes = self._n_unsolved if is_stochastic else len(self.window)
        mu = Cloud.sample(self.window.last(n_episodes), draws=self.window.draws(n_episodes))
        self._target.draw(len(mu))
        nu = self._target.cloud
        if self.embedding.samples_states:
            nu = nu.thinned(max_states)
        is_standardized = self.embedding.samples_states if self.options.standardize is None else self.options.standardize
        # A stochastic dual keeps points that it was shown: their unit cannot change.
        if is_standardized and (self.dual.units is None or not (self.scales.frozen or is_stochastic)):
            self.dual.units = _spread(mu.points, nu.points)
        with one_blas_thread():
            if not self.scales.frozen:
                units = 1.0 if self.dual.units is None else self.dual.units
                self.scales.measure(self.window.returns, mu.points / units, nu.points / units, self.dual.ground_cost)
                self.scales.frozen = self.window.n_seen >= self.window.size
                if self.scales.frozen:
                    self._warn_constant()
            self.dual.update_laws(mu, nu)
            self.dual.check_fitted()
        self._n_unsolved, self._solved_at = 0, self._now

    def _solve_rollout(self, target: Target) -> None:
        assert self.rollout is not None and self.rollout.after is not None
        after, limit = self.rollout.after, self.options.max_states
        # Each stretch of an episode is a draw of the law.
        draws = np.cumsum(self.rollout.starts, axis=0) * after.shape[1] + np.arange(after.shape[1])
        # Other points at each solve: a low-discrepancy offset, which no random generator and no interruption changes.
        offset = self._now * (math.sqrt(5.0) - 1.0) / 2.0 % 1.0
        mu = Cloud.sample(as_cloud(after.reshape(-1, after.shape[-1]), "the rollout's states"), draws=draws.ravel())
        target.draw(limit)
        mu, nu = mu.thinned(limit, offset), target.cloud.thinned(limit, offset)
        # A stochastic dual keeps points that it was shown: their unit cannot change.
        if self.options.standardize is not False and not (self.dual.is_fitted and isinstance(self.dual, StochasticDual)):
            self.dual.units = _spread(mu.points, nu.points)
            self.dual.reset_scale()
        with one_blas_thread():
            self.dual.update_laws(mu, nu)
            self.dual.check_fitted()
        self._n_unsolved, self._solved_at = 0, self._now

    def log(self, logger: Logger) -> None:
        """:param logger: gets what is known, under ``wasserstein/``"""
        logger.record("wasserstein/window_episodes", len(self.window))
        if self.embedding.samples_states and self.embedding.horizon is not None:
            logger.record("wasserstein/horizon", self.embedding.horizon)
        if self.dual.is_fitted:
            logger.record("wasserstein/distance", self.dual.distance)
            logger.record("wasserstein/dual_residual", self.dual.residual)
            logger.record("wasserstein/dual_iterations", self.dual.iterations)
        if self.is_ready and 0 < self.options.test_every <= self._now - self._tested_at:
            self._tested_at = self._now
            for name, value in self._tested().items():
                logger.record(f"wasserstein/{name}", value)

    def _tested(self) -> dict[str, float]:
        """Noise and p-value of the distance, from a generator that nothing else draws from."""
        states = self.embedding.samples_states
        units = 1.0 if self.dual.units is None else self.dual.units
        episodes = self.window.episodes(self.window.n_within(self.options.max_states) if states else len(self.window))
        target = None if states or self._target is None else self._target.cloud.scaled(units)
        return noise_and_p_value(
            [points / units for points in episodes], target, self.dual, self.options.n_resamples, self._now
        )

    def noise(self) -> float:
        """:return: how far apart two halves of the window are at most, at level 0.95, in the unit of the distance"""
        return self._tested().get("noise", 0.0)

    def newest_return(self) -> float:
        """:return: the mean return of the newest quarter of the window's episodes"""
        return float(self.window.returns[-max(2, self.window.size // 4) :].mean())

    def _warn_too_few(self) -> None:
        if self._target is not None and not self.dual.is_fitted and not self._warned and not self._is_of_rollout:
            self._warned = True
            warnings.warn(
                f"{len(self.window)} episodes have finished, 2 are needed for a distance: learning goes on unshaped until "
                "then. Train for longer, or set segment_length= where episodes do not end",
                stacklevel=2,
            )

    def _warn_constant(self) -> None:
        points = self.window.embeddings
        constant = np.flatnonzero(np.ptp(points, axis=0) == 0)
        # Frequencies of visits: one that was never visited is a zero, and no mistake.
        are_frequencies = points.min() >= 0 and np.allclose(points.sum(axis=1), 1.0)
        if len(constant) and not are_frequencies:
            warnings.warn(
                f"entries {constant.tolist()} of the embedding {self.embedding} had one value throughout the first "
                f"{len(self.window)} episodes: no behaviour differs there. Check what the environment shows, or leave these "
                "features out (features=)",
                stacklevel=2,
            )

    def config(self) -> dict[str, Any]:
        """:return: JSON-plain description that a saved model's tracker is made from"""
        return {
            "embedding": self.recipe.config(),
            "dual": self.dual.config(),
            "has_target": self._target is not None,
            "episode_window": self.window.size,
            "segment_length": self.segment_length,
            "options": asdict(self.options),
        }

    def state_dict(self) -> dict[str, Any]:
        """:return: window, target, scales: tensors and plain Python. The dual keeps its own"""
        target, saved_target = self._target, None
        if target is not None and not target.has_sampler:
            arrays = {name: getattr(target.cloud, name) for name in ("points", "weights", "draws")}
            saved_target = {name: None if array is None else th.from_numpy(array.copy()) for name, array in arrays.items()}
        return {
            "embedding": json.dumps(self.recipe.config()),
            "target": saved_target,
            "has_target": target is not None,
            "window": self.window.state_dict(),
            "scales": self.scales.state_dict(),
            "next_number": self._next_number,
            "n_unsolved": self._n_unsolved,
            "solved_at": self._solved_at,
        }

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """
        :param state: from :meth:`state_dict`
        :param strict: whether the state must come from the same embedding
        :raises ValueError: if it does not, if it is damaged, or if the target is neither saved nor given; the tracker is then
            as it was
        """
        before = dict(self.__dict__)
        try:
            self._load(state, strict)
        except BaseException as error:
            self.__dict__.update(before)
            if isinstance(error, (AttributeError, IndexError, KeyError, RuntimeError, TypeError)):
                raise ValueError(f"the state of the behaviour is damaged: {error!r}") from error
            raise

    def _load(self, state: dict[str, Any], strict: bool) -> None:
        if strict and state["embedding"] != json.dumps(self.recipe.config()):
            raise ValueError(f"the state was saved with the embedding {state['embedding']}; this one is {self.recipe}")
        window = EpisodeWindow(self.window.size)
        window.load_state_dict(state["window"])
        if self.dim is not None and len(window) and window.embeddings.shape[1] != self.dim:
            raise ValueError(f"the window's points have dimension {window.embeddings.shape[1]}, the embedding has {self.dim}")
        self.window = window
        self._longest = int(window.lengths.max(initial=0))
        theirs = None
        if state["target"] is not None:
            points, weights = saved(state["target"], "points", None, None), saved(state["target"], "weights", None)
            Cloud.of(points, weights, "target")
            has_draws = state["target"].get("draws") is not None
            draws = saved(state["target"], "draws", len(points), dtype=th.int64) if has_draws else None
            # As they were: normalising again would change the last bit.
            theirs = Target.from_cloud(Cloud(points, weights, draws))
        if self._target is None and theirs is None and state["has_target"]:
            raise ValueError("the target was a sampler, and functions are not saved: pass target= to load()")
        self._target = self._target or theirs
        self._check_dimension(self._target)
        self.scales = Scales(**state["scales"])
        self.scales.check()
        self._next_number = int(state["next_number"])
        self._n_unsolved = int(state["n_unsolved"])
        self._now = self._solved_at = self._tested_at = int(state["solved_at"])
        self._is_outdated = self._target is not None and (theirs is None or not self._target.is_same_as(theirs))


def _spread(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(dim,) standard deviation of each feature over both clouds, 1 where it is constant."""
    spread = np.concatenate([points, others]).std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _just_begun(model: BaseAlgorithm, n_envs: int) -> NDArray[np.bool_]:
    """(n_envs,) where the last step that SB3 has taken in ended an episode, so that its last observation begins one."""
    if not isinstance(model, OnPolicyAlgorithm):
        return np.zeros(n_envs, dtype=bool)
    buffer = model.rollout_buffer
    # In the middle of a rollout the environment is a step ahead of SB3's last observation.
    is_between_rollouts = (buffer.full or buffer.pos == 0) and model.num_timesteps % (model.n_steps * n_envs) == 0
    return np.array(model._last_episode_starts, dtype=bool) & is_between_rollouts
