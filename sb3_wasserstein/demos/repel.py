"""Two PPO policies in a plane with two equal goals: each is repelled from where the other goes (S1 §4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import sb3_wasserstein.envs  # noqa: F401
from sb3_wasserstein.demos.drawing import save_figure
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.figures import plot_parting
from sb3_wasserstein.population import Population

N_ENVS, N_STEPS, HORIZON = 16, 96, 16
GOALS = np.array([(-1.0, 1.0), (1.0, 1.0)])
#: round: the paths of each policy, (episodes, HORIZON, 2)
Paths = dict[int, list[NDArray[np.float64]]]


class WatchPaths(BaseCallback):
    """Keeps the paths of every rollout. Each member gets a copy of a callback: what the copies keep is one dictionary."""

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self.paths = paths
        self.round = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> WatchPaths:
        return WatchPaths(self.paths)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        # Episodes of 16 steps fill a rollout of 96 exactly.
        positions = self.locals["rollout_buffer"].observations.reshape(-1, HORIZON, N_ENVS, 2)
        self.paths.setdefault(self.round, []).append(np.moveaxis(positions, 2, 1).reshape(-1, HORIZON, 2))
        self.round += 1


def part(timesteps: int, seed: int) -> tuple[Population, Paths]:
    """
    :param timesteps: environment steps of each of the two policies
    :param seed: of the population
    :return: the trained population, and the paths that its members took in each round
    """
    population = Population(
        PPO,
        "MlpPolicy",
        "wasserstein/Goals-v0",
        n_policies=2,
        wasserstein_coef=3.6,
        embedding=StateOccupancy(horizon=HORIZON),
        n_envs=N_ENVS,
        seed=seed,
        n_steps=N_STEPS,
        batch_size=384,
        n_epochs=5,
        learning_rate=1e-3,
        gamma=1.0,
        ent_coef=0.01,
        device="cpu",
    )
    paths: Paths = {}
    population.learn(timesteps, WatchPaths(paths))
    return population, paths


def repel(out: Path, timesteps: int, seed: int) -> None:
    """
    Print where the two policies end, and draw how they part.

    :param out: folder for the figure
    :param timesteps: environment steps of each policy
    :param seed: of the population
    """
    print(f"Training two policies for {timesteps:,} steps each …")
    population, paths = part(timesteps, seed)
    for member, last in enumerate(paths[max(paths)]):
        ends = last[:, -1]
        nearest = np.linalg.norm(ends[:, None] - GOALS, axis=-1).argmin(axis=1)
        share = np.bincount(nearest, minlength=2) / len(nearest)
        x, y = ends.mean(axis=0)
        goals = f"{share[0]:.0%} at the left goal, {share[1]:.0%} at the right"
        print(f"policy {member + 1} ends at ({x:+.2f}, {y:+.2f}) on average: {goals}")
    print(f"distance between their behaviours: {population.distances[0, 1]:.2f} of the states' spread")
    rounds = [n for n in (0, 4, 8) if n < max(paths)] + [max(paths)]
    shown = {f"rollout {n + 1}": (paths[n][0], paths[n][1]) for n in rounds}
    save_figure(lambda: plot_parting(shown, GOALS), out / "parting.png", "how they part")
