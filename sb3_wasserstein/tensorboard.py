"""What TensorBoard shows besides scalars: potentials, embeddings, hyperparameters, the embedding projector."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, HParam, TensorBoardOutputFormat

from sb3_wasserstein._validation import check_count, check_flag
from sb3_wasserstein.figures import plot_behaviour
from sb3_wasserstein.regularised import BehaviourTracker, DualCallback

#: what only TensorBoard can show
TENSORBOARD_ONLY = ("stdout", "log", "json", "csv")


class TensorboardCallback(BaseCallback):
    """
    Writes to TensorBoard, every so many rollouts, histograms of the potential over the policy's episodes and over the target,
    and an image of both in the embedding space; at the start the hyperparameters, for the HPARAMS tab.

    :param behaviour: the DualCallback that measures, for SB3's own algorithms; None takes the model's
    :param every: number of rollouts between two writings
    :param figures: draw images too; needs matplotlib (extra ``figures``)
    :param projector: at the end of training, write the last episodes' embeddings and the target for the PROJECTOR tab
    :param max_points: number of points of the window, the newest, and of the target that are written
    :raises ValueError: if ``every`` or ``max_points`` < 1

    Example:
        >>> from sb3_wasserstein import WassersteinPPO
        >>> from sb3_wasserstein.tensorboard import TensorboardCallback
        >>> model = WassersteinPPO("MlpPolicy", "CartPole-v1", target=[[0.0] * 4], wasserstein_coef=-1.0, n_steps=256)
        >>> _ = model.learn(512, callback=TensorboardCallback(every=1))
    """

    def __init__(
        self,
        behaviour: DualCallback | None = None,
        every: int = 10,
        figures: bool = True,
        projector: bool = False,
        max_points: int = 512,
    ) -> None:
        super().__init__()
        if behaviour is not None and not isinstance(behaviour, DualCallback):
            raise TypeError(f"behaviour must be a DualCallback, or None for the model's own; got {behaviour!r}")
        self.every = check_count("every, a number of rollouts,", every)
        self.figures = check_flag("figures", figures)
        self.projector = check_flag("projector", projector)
        self.max_points = check_count("max_points", max_points)
        self._given = behaviour
        self._rollouts = 0

    @property
    def tracker(self) -> BehaviourTracker | None:
        """What measures; None without a target."""
        tracker = self._given.tracker if self._given is not None else getattr(self.model, "tracker", None)
        return tracker if tracker is not None and (tracker.records or self._given is not None) else None

    def _on_training_start(self) -> None:
        metrics: dict[str, float] = {"rollout/ep_rew_mean": 0.0, "wasserstein/distance": 0.0}
        self.logger.record("hparams", HParam(self._hyperparameters(), metrics), exclude=TENSORBOARD_ONLY)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._rollouts += 1
        if self._rollouts % self.every == 0:
            self._write()

    def _on_training_end(self) -> None:
        self._write()
        if self.projector:
            self._write_projector()
        self.logger.dump(self.num_timesteps)

    def _write(self) -> None:
        tracker = self.tracker
        if tracker is None or not tracker.is_ready:
            return
        cloud, target = self._clouds(tracker)
        for name, points in {"potential": cloud, "potential_of_target": target}.items():
            values = th.from_numpy(tracker.shaping(points))
            self.logger.record(f"wasserstein/{name}", values, exclude=TENSORBOARD_ONLY)
        if self.figures and self._writers():
            figure = plot_behaviour(cloud, target, tracker.shaping)
            self.logger.record("wasserstein/behaviour", Figure(figure, close=True), exclude=TENSORBOARD_ONLY)

    def _write_projector(self) -> None:
        tracker = self.tracker
        if tracker is None or not len(tracker.window):
            return
        cloud, target = self._clouds(tracker)
        kinds = ["episode"] * len(cloud) + ["target"] * len(target)
        for output in self._writers():
            points = np.concatenate([cloud, target])
            output.writer.add_embedding(points, kinds, tag="wasserstein/embeddings", global_step=self.num_timesteps)

    def _writers(self) -> list[TensorBoardOutputFormat]:
        return [output for output in self.logger.output_formats if isinstance(output, TensorBoardOutputFormat)]

    def _clouds(self, tracker: BehaviourTracker) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The newest points of the window, and points of the target."""
        cloud = tracker.window.embeddings[-self.max_points :]
        target = np.zeros((0, cloud.shape[1]))
        if tracker.target is not None:
            # Not drawn again: looking at a target that is sampled must not change what training gets.
            target = tracker.target.points[: self.max_points]
        return cloud, target

    def _hyperparameters(self) -> dict[str, bool | str | float | int | None]:
        model, tracker = self.model, self.tracker
        names = ("learning_rate", "gamma", "n_steps", "batch_size", "n_epochs", "gae_lambda", "ent_coef", "vf_coef")
        ours = ("wasserstein_coef", "credit", "episode_window", "normalize_bonus")
        found: dict[str, Any] = {name: getattr(model, name, None) for name in (*names, *ours)}
        if tracker is not None:
            dual = tracker.dual.config()
            found |= {"embedding": repr(tracker.embedding), "dual": dual["class"]}
            found |= {name: dual[name] for name in ("epsilon", "cost")}
        kept = {name: value for name, value in found.items() if isinstance(value, (bool, str, float, int))}
        return {"algorithm": type(model).__name__, **kept}
