"""
Three things to try: ``python -m sb3_wasserstein demo attract``, ``repel`` or ``flow``.

Each prints what it found, and draws it where matplotlib is installed (extra ``figures``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import sb3_wasserstein.envs  # noqa: F401
from sb3_wasserstein.distance import behaviour_distance
from sb3_wasserstein.embeddings import FunctionEmbedding, StateOccupancy, Trajectory, VisitHistogram
from sb3_wasserstein.figures import plot_grid_paths, plot_parting, plot_plane
from sb3_wasserstein.population import Population
from sb3_wasserstein.recording.collect import collect_embeddings
from sb3_wasserstein.regularised import DualCallback, WassersteinPPO
from sb3_wasserstein.targets import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _save_figure(draw: Callable[[], Figure], path: Path, what: str) -> None:
    try:
        figure = draw()
    except ImportError as error:
        print(f"No figure of {what}: {error}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"A figure of {what}: {path}")


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
    PPO and WassersteinPPO side by side on a hilly grid; WassersteinPPO is drawn to the visits of the cheapest path.

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
    _save_figure(lambda: plot_grid_paths(grid.heights, paths, grid.optimal_path), out / "paths.png", "both policies' paths")
    if log:
        print(f"How it went: tensorboard --logdir {out}")


#: round: the paths of each policy, (episodes, 16, 2)
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
        observations = self.locals["rollout_buffer"].observations
        positions = observations.reshape(-1, 16, observations.shape[1], 2)
        self.paths.setdefault(self.round, []).append(np.moveaxis(positions, 2, 1).reshape(-1, 16, 2))
        self.round += 1


def train_apart(timesteps: int, seed: int) -> tuple[Population, Paths]:
    """
    Two PPO policies in a plane with two equal goals: each is repelled from where the other goes (Abdullah et al. 2018, §4.2).

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
        embedding=StateOccupancy(horizon=16),
        n_envs=16,
        seed=seed,
        n_steps=96,
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
    Print where the two policies end, and draw how they move apart.

    :param out: folder for the figure
    :param timesteps: environment steps of each policy
    :param seed: of the population
    """
    print(f"Training two policies for {timesteps:,} steps each …")
    population, paths = train_apart(timesteps, seed)
    goals = np.array([(-1.0, 1.0), (1.0, 1.0)])
    for member, last in enumerate(paths[max(paths)]):
        ends = last[:, -1]
        nearest = np.linalg.norm(ends[:, None] - goals, axis=-1).argmin(axis=1)
        share = np.bincount(nearest, minlength=2) / len(nearest)
        x, y = ends.mean(axis=0)
        print(f"policy {member + 1} ends at ({x:+.2f}, {y:+.2f}) on average:", end=" ")
        print(f"{share[0]:.0%} at the left goal, {share[1]:.0%} at the right")
    print(f"distance between their behaviours: {population.distances[0, 1]:.2f} of the states' spread")
    rounds = [n for n in (0, 4, 8) if n < max(paths)] + [max(paths)]
    shown = {f"rollout {n + 1}": (paths[n][0], paths[n][1]) for n in rounds}
    _save_figure(lambda: plot_parting(shown, goals), out / "parting.png", "how they move apart")


class FixedStarts(gym.Wrapper[Any, Any, Any, Any]):
    """
    Episode i starts from a seed of its own: starts move a mean return (standard deviation 85) more than good policies do.

    :param env: the environment
    :param first: seed of the first episode
    """

    def __init__(self, env: gym.Env[Any, Any], first: int = 0) -> None:
        super().__init__(env)
        self.next = first

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.next += 1
        return self.env.reset(seed=self.next - 1, options=options)


def flow(out: Path, timesteps: int, seed: int) -> None:
    """
    Pendulum-v1 swung up from its known physics, as a gradient flow of particles; SB3's ``evaluate_policy`` plays it.

    Print the solution's cost and its returns, and draw policy, value and stationary law.

    :param out: folder for the figure
    :param timesteps: environment steps that it is played for; nothing is learnt from them
    :param seed: of the first start; the next one's is one more
    """
    # The flow's numerics are imported by the one demo that needs them.
    from sb3_wasserstein.flow import pendulum

    begin = time.perf_counter()
    particles = pendulum(cells=41).flow(n_particles=4)
    result = particles.solve()
    print(f"41 × 41 nodes, 4 particles each: J = {result.J:.5f} after {result.iterations} iterations,", end=" ")
    print(f"{time.perf_counter() - begin:.1f} s")
    episodes = max(1, timesteps // 200)
    player: Any = particles.as_policy()
    mean, std = evaluate_policy(player, Monitor(FixedStarts(gym.make("Pendulum-v1"), seed)), n_eval_episodes=episodes)
    print(f"the real Pendulum-v1, {episodes} starts: mean return {mean:.1f}, standard deviation between starts {std:.1f}")
    _, value, rho = particles.evaluate()
    panels = {
        "torque": particles.particles.mean(1)[:, 0].numpy(),
        "relative value": value.numpy(),
        "log10 of the stationary law": rho.clamp(min=1e-12).log10().numpy(),
    }
    grid = particles.grid
    draw = lambda: plot_plane(panels, grid.cells, grid.low, grid.high, ("angle", "velocity"))  # noqa: E731
    _save_figure(draw, out / "pendulum.png", "the policy, its value and where it is")


#: name: the demo, called with (out, timesteps, seed), and its default number of steps
DEMOS: dict[str, tuple[Callable[[Path, int, int], None], int]] = {
    "attract": (attract, 120_000),
    "repel": (repel, 61_440),
    "flow": (flow, 20_000),
}
