"""The callbacks that hand SB3's steps to a tracker."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, EventCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_wasserstein.duals import Dual
from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.recording import Rollout
from sb3_wasserstein.recording.collect import is_model
from sb3_wasserstein.regularised.model_target import target_of_model
from sb3_wasserstein.regularised.tracker import BehaviourTracker, TrackerOptions
from sb3_wasserstein.regularised.window import EpisodeWindow


class TrackerCallback(BaseCallback):
    """
    Hands each step of a training to a tracker, and tells it when rollouts end. The regularised algorithms put one before the
    user's callbacks.

    :param tracker: that follows the training
    :param verbose: as in SB3
    """

    def __init__(self, tracker: BehaviourTracker, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.tracker = tracker

    def _on_rollout_start(self) -> None:
        self.tracker.begin_rollout()

    def _on_step(self) -> bool:
        self.tracker.record(self.locals)
        return True

    def _on_rollout_end(self) -> None:
        self.tracker.end_rollout(self.model.num_timesteps)
        self.tracker.log(self.logger)

    def _on_training_end(self) -> None:
        self.tracker.end_training(self.model._last_obs)
        self.locals, self.globals = {}, {}

    def __getstate__(self) -> dict[str, Any]:
        # SB3's frames can be neither copied nor pickled, and an exception leaves them here.
        return {**self.__dict__, "locals": {}, "globals": {}}


class DualCallback(TrackerCallback):
    """
    Records the embeddings of finished episodes, estimates μ from the last ``episode_window`` of them, and solves for the
    dual between μ and the target at a rollout's end. With SB3's own on-policy and off-policy algorithms, those of sb3-contrib
    and sbx included, it measures and logs, and changes nothing.

    :param embedding: a name or an Embedding; where the environment is wrapped, the wrapper's is used
    :param target: the law ν: a Target, an (n, dim) array, a list of recorded episodes, a path, a model, whose behaviour is
        collected when training starts (100 episodes, in its own environment, or in a new one of the training's id), or None
        to record only
    :param dual: a name or a Dual
    :param dual_kwargs: the constructor's arguments of a dual given by name
    :param episode_window: number of episodes that μ is estimated from
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param tracker_options: when and on how many points the dual is solved; None for the defaults
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
        tracker_options: TrackerOptions | None = None,
        verbose: int = 0,
    ) -> None:
        #: a model whose behaviour is the target, until it has been collected
        self._expert = target if is_model(target) else None
        arguments = (
            embedding,
            None if is_model(target) else target,
            dual,
            dual_kwargs,
            episode_window,
            segment_length,
            tracker_options,
        )
        super().__init__(BehaviourTracker(*arguments), verbose)

    @property
    def dual(self) -> Dual:
        """The dual between the window and the target."""
        return self.tracker.dual

    @property
    def window(self) -> EpisodeWindow:
        """The last episodes."""
        return self.tracker.window

    @property
    def rollout(self) -> Rollout | None:
        """The rollout that has just ended."""
        return self.tracker.rollout

    def _on_training_start(self) -> None:
        model = self.model
        if not isinstance(model, (OnPolicyAlgorithm, OffPolicyAlgorithm)):
            raise ValueError(
                f"DualCallback follows the rollouts of on-policy and off-policy algorithms; {type(model).__name__} has none"
            )
        if isinstance(self.parent, EventCallback):
            raise ValueError(f"DualCallback must be called at every step: give it to learn(), not to {self.parent}")
        # SB3 also resets an environment that it was given anew, without saying so: counted as no reset, an episode is lost.
        was_reset = bool(self.locals.get("reset_num_timesteps", False)) or model.num_timesteps == 0
        self.tracker.begin(model, was_reset)
        if self._expert is not None:
            self.tracker.target = target_of_model(self._expert, self.tracker.embedding, model.get_env(), model.seed)
            self._expert = None
