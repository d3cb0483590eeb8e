"""PPO and WassersteinPPO side by side on a hilly grid. WassersteinPPO is drawn to the visits of the cheapest path."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import sb3_wasserstein.envs  # noqa: F401
from sb3_wasserstein.demos.drawing import save_figure
from sb3_wasserstein.duals import behaviour_distance
from sb3_wasserstein.embeddings import FunctionEmbedding, Trajectory, VisitHistogram
from sb3_wasserstein.figures import plot_grid_paths
from sb3_wasserstein.recording.collect import collect_embeddings
from sb3_wasserstein.regularised import DualCallback, WassersteinPPO
from sb3_wasserstein.targets import Target


class EpisodesToOptimum(BaseCallback):
    """
    Counts the episodes until the mean return of the last hundred is within 10 % of the optimum.

    :param optimum: the best return, negative
    """

    def __init__(self, optimum: float) -> None:
        super().__init__()
        self.optimum = optimum
        self.episodes, self.answer = 0, "never"

    def _on_step(self) -> bool:
        self.episodes += sum(self.locals["dones"])
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        if self.answer == "never" and len(returns) == 100 and np.mean(returns) >= 1.1 * self.optimum:
            self.answer = str(self.episodes)
        return True


def attract(out: Path, timesteps: int, seed: int, heights: str = "deceptive") -> None:
    """
    Print a table of both algorithms, and draw twenty paths of each.

    :param out: folder for the figure and the TensorBoard logs
    :param timesteps: environment steps of each algorithm
    :param seed: of both
    :param heights: a map's name (``sb3_wasserstein.envs.HEIGHT_MAPS``)
    """
    env = make_vec_env("wasserstein/HillyGrid-v0", n_envs=16, seed=seed, env_kwargs={"heights": heights})
    grid: Any = env.unwrapped.get_attr("unwrapped")[0]
    embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
    target = Target.from_trajectories([grid.optimal_path], embedding)
    log = str(out) if find_spec("tensorboard") else None
    settings: dict[str, Any] = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "gamma": 1.0, "tensorboard_log": log}
    # Returns are in the hundreds: at SB3's 0.5 the value loss drowns the policy's gradient, for both alike.
    settings.update(learning_rate=lambda left: 3e-3 * left, vf_coef=1e-3, ent_coef=1e-2, seed=seed, device="cpu")
    attracted = WassersteinPPO("MlpPolicy", env, embedding=embedding, target=target, wasserstein_coef=-1.0, **settings)
    print(f"Training PPO and WassersteinPPO for {timesteps:,} steps each on the map {heights!r} …")
    paths: dict[str, list[Any]] = {}
    rows = [("", "mean return", "optimum", "distance to target", "episodes to the optimum")]
    for name, model in {"PPO": PPO("MlpPolicy", env, **settings), "WassersteinPPO": attracted}.items():
        counter = EpisodesToOptimum(grid.optimal_return)
        walks: list[Any] = []
        measure: list[BaseCallback] = [DualCallback(embedding, target)] if name == "PPO" else []
        bar = bool(find_spec("tqdm") and find_spec("rich"))
        model.learn(timesteps, [counter, *measure], tb_log_name=name, progress_bar=bar)

        def record(trajectory: Trajectory, walks: list[Any] = walks) -> Any:
            walks.append(trajectory.observations)
            return [np.sum(np.asarray(trajectory.rewards))]

        returns = collect_embeddings(model, env, FunctionEmbedding(record, dim=1), n_episodes=100, seed=seed)
        distance = behaviour_distance(Target.from_trajectories(walks, embedding), target)
        rows.append((name, f"{returns.mean():.1f}", f"{grid.optimal_return:.0f}", f"{max(0.0, distance):.3f}", counter.answer))
        paths[name] = walks[:20]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    save_figure(lambda: plot_grid_paths(grid.heights, paths, grid.optimal_path), out / "paths.png", "both policies' paths")
    if log:
        print(f"How it went: tensorboard --logdir {out}")
