"""The callback that records embeddings and keeps the dual."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from sb3_wasserstein._threads import one_blas_thread
from sb3_wasserstein._validation import check_count
from sb3_wasserstein.cloud import saved
from sb3_wasserstein.duals import Dual, make_dual
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.embeddings import Embedding, make_embedding
from sb3_wasserstein.means import RunningMeans
from sb3_wasserstein.recording import Recorder, Rollout
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.regularised.window import MAX_CLOUD, EpisodeWindow, Scales, thinned
from sb3_wasserstein.targets import Target, as_target

#: a law and a spread need two episodes
MIN_EPISODES = 2
#: environment steps between two solutions, PPO's default rollout: A2C's are too short for one each
SOLVE_EVERY = 2048
#: steps after which a window that is still too small is worth a warning before training ends
PATIENCE = 10_000


class DualCallback(BaseCallback):
    """
    Records the embeddings of finished episodes, estimates μ from the last ``episode_window`` of them, and solves for the
    dual between μ and the target at a rollout's end. With SB3's own algorithms it measures and logs, and changes nothing.

    :param embedding: a name or an Embedding; where the environment is wrapped, the wrapper's is used
    :param target: the law ν: a Target, an (n, dim) array, a path, or None to record only
    :param dual: a name or a Dual
    :param dual_kwargs: the constructor's arguments of a dual given by name
    :param episode_window: number of episodes that μ is estimated from
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param verbose: as in SB3
    :raises ValueError: if an argument is unknown or out of range, with its name

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import DualCallback
        >>> callback = DualCallback("final_state", target=[[0.0, 0.0, 0.0, 0.0]])
        >>> _ = PPO("MlpPolicy", "CartPole-v1", n_steps=128, batch_size=64, seed=0).learn(256, callback)
        >>> len(callback.window) > 2 and callback.dual.distance > 0
        True
    """

    def __init__(
        self,
        embedding: str | Embedding | dict[str, Any],
        target: Any = None,
        dual: str | Dual = "sinkhorn",
        dual_kwargs: dict[str, Any] | None = None,
        episode_window: int = 256,
        *,
        segment_length: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check_count("episode_window", episode_window, MIN_EPISODES)
        if segment_length is not None:
            check_count("segment_length", segment_length, 1)
        self.embedding = make_embedding(embedding)
        self.target: Target | None = None if target is None else as_target(target)
        self.dual = make_dual(dual, dual_kwargs)
        self.window = EpisodeWindow(int(episode_window))
        self.scales = Scales()
        self.segment_length = segment_length
        #: units of an occupancy's features, (dim,); None until measured, and for embeddings of whole episodes
        self.feature_scale: NDArray[np.float64] | None = None
        #: the rollout that has just ended
        self.rollout: Rollout | None = None
        self._fresh = 0
        self._solved_at = 0
        #: whether earlier rollouts wait to be taken in
        self.waits = False
        self._warned = False
        self._reader: EpisodeReader | None = None
        self._recorder: Recorder | None = None
        self._last_seen: Any = None

    def bind(self, reader: EpisodeReader) -> None:
        """
        Fit the recorder to an environment; done by itself when training starts.

        :param reader: of the environment
        :raises ValueError: if the embedding cannot read its observations, or if the target has another dimension
        """
        summary = reader.wrapped()
        if summary is not None and summary["is_plain"]:
            self.embedding = make_embedding(summary["config"])
        self.embedding = self.embedding.with_time_limit(reader.max_episode_steps)
        self._recorder = reader.recorder(self.embedding, self.segment_length)
        self._reader = reader
        self.dim = summary["dim"] if summary else self.embedding.bind(reader.observation_space, reader.action_space).dim
        self.check_target()

    def check_target(self) -> None:
        """
        :raises ValueError: if the target's dimension is not the embedding's
        """
        if self.target is not None and self.target.dim != self.dim:
            raise ValueError(
                f"target has dimension {self.target.dim}, but the embedding {self.embedding} has {self.dim} here: "
                "make the target with this embedding (Target.from_policy, Target.from_trajectories)"
            )

    @property
    def has_prefixes(self) -> bool:
        """Whether the embedding of an episode so far is known at every step."""
        return self._recorder is not None and self._recorder.has_prefixes

    @property
    def is_ready(self) -> bool:
        """Whether there is a potential to shape with."""
        return self.target is not None and self.dual.is_fitted

    def shaping(self, points: NDArray[np.float64], means: RunningMeans | None = None) -> NDArray[np.float64]:
        """
        h (docs/how_it_works.md), what an episode gains, at points of the embedding space.

        :param points: (k, dim)
        :param means: what the points are means of, where that is known
        :return: (k,)
        """
        if means is not None:
            return self.dual.shaping_at(points, means)
        return self.dual.shaping_at(points if self.feature_scale is None else points / self.feature_scale)

    def _on_training_start(self) -> None:
        env = self.training_env
        if self._reader is None or self._reader.env is not env:
            self.bind(EpisodeReader(env))
        if self.model._last_obs is not self._last_seen:
            self._start()
        # Steps may be counted anew.
        self._solved_at = min(self._solved_at, self.model.num_timesteps)

    def _start(self) -> None:
        assert self._reader is not None and self._recorder is not None
        assert self.model._last_obs is not None
        longest = max(self.window._lengths, default=0)
        self._recorder = self._reader.recorder(self.embedding, self.segment_length, self.window.seen, longest)
        self._recorder.start(self._reader.observations(self.model._last_obs), self._reader.reset_infos)
        self._last_seen = self.model._last_obs

    def record(self, step: Mapping[str, Any]) -> None:
        """
        Record one step of every environment.

        :param step: SB3's variables of the step, as callbacks see them
        """
        assert self._reader is not None and self._recorder is not None
        actions = step["clipped_actions"] if "clipped_actions" in step else step["actions"]
        self._reader.record(self._recorder, step["new_obs"], actions, step["rewards"], step["dones"], step["infos"])

    def explain(self, error: ValueError) -> None:
        """
        A policy that is shown NaN raises torch's error, which names no environment.

        :param error: that came while a rollout was collected
        :raises ValueError: if the environments have returned NaN or infinity before
        """
        fault = None if self._recorder is None else self._recorder.fault()
        if fault is not None:
            raise ValueError(f"{fault}, and the policy failed on it") from error

    def _on_step(self) -> bool:
        self.record(self.locals)
        return True

    def _on_rollout_end(self) -> None:
        self.end_rollout()
        self.log()

    def end_rollout(self, measured_only: int | None = None) -> None:
        """
        Take in what has been recorded, and solve for the dual where enough of it is new.

        :param measured_only: number of environment steps of the rollout, where nobody needs its embeddings: what A2C's short
            rollouts recorded then waits until the count of steps passes a multiple of ``SOLVE_EVERY``
        """
        assert self._recorder is not None
        now = self.model.num_timesteps
        if measured_only is not None and now // SOLVE_EVERY == (now - measured_only) // SOLVE_EVERY:
            self.waits = True
            return
        self.waits = False
        self.rollout = self._recorder.flush()
        self.embedding = self._recorder.embedding
        self._last_seen = self.locals.get("new_obs")
        self.window.extend(self.rollout.episodes)
        self._fresh += len(self.rollout.episodes)
        if self.target is not None:
            self._solve()
            if not self.dual.is_fitted and self.model.num_timesteps >= PATIENCE:
                self._warn_too_few()

    def _on_training_end(self) -> None:
        assert self._recorder is not None
        # What a callback that stopped training left behind; a complete rollout leaves nothing.
        left = self._recorder.flush()
        self._last_seen = self.locals.get("new_obs")
        self.window.extend(left.episodes)
        self._fresh += len(left.episodes)
        if self.target is not None:
            # Where rollouts wait, the dual is solved at their common end, wherever training is cut.
            if not self.waits or not self.dual.is_fitted:
                self._solve()
            if not self.dual.is_fitted:
                self._warn_too_few()

    def _solve(self) -> None:
        """Solve for the dual where enough has changed since the last time."""
        stochastic = isinstance(self.dual, StochasticDual)
        if len(self.window) < MIN_EPISODES or self._fresh == 0:
            return
        occupancy = self.embedding.samples_states
        # Episodes of many states: a window's worth of them would be older than the policy.
        n_episodes = self.window.newest(MAX_CLOUD, MIN_EPISODES) if occupancy else len(self.window)
        changed = stochastic or not self.dual.is_fitted or 4 * self._fresh >= n_episodes
        if not changed and self.model.num_timesteps - self._solved_at < SOLVE_EVERY:
            return
        self._solved_at = self.model.num_timesteps
        with one_blas_thread():
            self._update_dual(occupancy, stochastic)
        self._fresh = 0

    def _update_dual(self, occupancy: bool, stochastic: bool) -> None:
        assert self.target is not None
        # A stochastic dual sees each episode once (S1 Alg. 1, 3, 4); Sinkhorn solves for the law of the window.
        cloud = self.window.last(self._fresh) if stochastic else self.window.embeddings
        if occupancy:
            cloud = self.window.recent(MAX_CLOUD, MIN_EPISODES)
        points, weights = self.target.draw(len(cloud))
        if occupancy:
            points, weights = thinned(points, weights)
            # A stochastic dual keeps what it has seen: its points cannot be measured anew.
            if self.feature_scale is None or not (self.scales.frozen or stochastic):
                spread = np.concatenate([cloud, points]).std(axis=0)
                self.feature_scale = np.where(spread > 0, spread, 1.0)
            cloud, points = cloud / self.feature_scale, points / self.feature_scale
        if not self.scales.frozen:
            self.scales.measure(self.window.returns, cloud, points, self.dual.ground_cost)
            self.scales.frozen = self.window.seen >= self.window.size
        self.dual.update(cloud, points, None, weights)

    def log(self) -> None:
        """Record what the next line of SB3's log is to say."""
        self.logger.record("wasserstein/window_episodes", len(self.window))
        if self.dual.is_fitted:
            self.logger.record("wasserstein/distance", self.dual.distance)
            self.logger.record("wasserstein/dual_residual", self.dual.residual)
            self.logger.record("wasserstein/dual_iterations", self.dual.iterations)

    def _warn_too_few(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{len(self.window)} episodes have finished, {MIN_EPISODES} are needed for a distance: learning goes on "
                "unshaped until then. Train for longer, or set segment_length= where episodes do not end",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """:return: window, target, scales: tensors and plain Python. The dual keeps its own."""
        target = None
        if self.target is not None and not self.target.is_sampled:
            target = {"points": th.from_numpy(self.target.points.copy()), "weights": th.from_numpy(self.target.weights.copy())}
        return {
            "embedding": json.dumps(self.embedding.config()),
            "target": target,
            "records_only": self.target is None,
            "window": self.window.state_dict(),
            "scales": self.scales.state_dict(),
            "feature_scale": None if self.feature_scale is None else th.from_numpy(self.feature_scale.copy()),
            "fresh": self._fresh,
            "solved_at": self._solved_at,
        }

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """
        :param state: from :meth:`state_dict`
        :param strict: whether the state must come from the same embedding
        :raises ValueError: if it does not, if it is damaged, or if the target is neither saved nor given; the callback is then
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
        if strict and state["embedding"] != json.dumps(self.embedding.config()):
            raise ValueError(f"the state was saved with the embedding {state['embedding']}; this one is {self.embedding}")
        if self.target is None and not state.get("records_only", False):
            if state["target"] is None:
                raise ValueError("the target was a sampler, and functions are not saved: pass target= to load()")
            points, weights = saved(state["target"], "points", None, None), saved(state["target"], "weights", None)
            self.target = Target(points, weights)
            # As they were: normalising again would change the last bit.
            self.target._weights = weights
            if self._reader is not None:
                self.check_target()
        window = EpisodeWindow(self.window.size)
        window.load_state_dict(state["window"])
        if self._reader is not None and len(window) and window.embeddings.shape[1] != self.dim:
            raise ValueError(f"the window's points have dimension {window.embeddings.shape[1]}, the embedding has {self.dim}")
        self.scales = Scales(**state["scales"])
        self.scales.check()
        feature_scale = state["feature_scale"]
        self.feature_scale = None if feature_scale is None else saved(state, "feature_scale", None)
        self.window = window
        self._fresh = int(state["fresh"])
        self._solved_at = int(state["solved_at"])
