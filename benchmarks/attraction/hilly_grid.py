"""
Attraction on HillyGrid (Abdullah et al. 2018, §4.1): REINFORCE, WassersteinPPO and WassersteinA2C, λ < 0 and λ = 0.

    python -m benchmarks.attraction.hilly_grid --learner reinforce          # about 25 CPU-minutes
    python -m benchmarks.attraction.hilly_grid --learner ppo
    python -m benchmarks.attraction.hilly_grid --learner ppo --mazes 20     # mazes drawn from --maze-seed
    python -m benchmarks.attraction.hilly_grid --learner ppo --maps zigzag --duals rkhs-debiased semidiscrete-debiased
    python -m benchmarks.attraction.hilly_grid --figure docs/figures/attraction.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.returns import RETURN
from benchmarks._lib.rows import Row, Value, read, where
from benchmarks._lib.statistics import count, middle
from benchmarks._lib.study import Run, Study
from benchmarks.attraction.reinforce import Settings, reinforce, visits
from benchmarks.claims import grouped, mazes_as_one, near_optimum, optimal
from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO, collect_embeddings
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HEIGHT_MAPS, HillyGrid

KEYS = ["learner", "map", "time_limit", "coef", "dual", "seed"]
#: Sinkhorn's is debiased by default. Alg. 1 at twice the median heuristic's bandwidth, which fits clouds of untrained policies
DEBIASED: dict[str, tuple[str, dict[str, object]]] = {
    "rkhs-debiased": ("rkhs", {"debias": True, "bandwidth": 0.4}),
    "alternating-debiased": ("alternating", {"debias": True}),
    "semidiscrete-debiased": ("semidiscrete", {"debias": True}),
}
DUALS = ("sinkhorn", "rkhs", "alternating", "semidiscrete", *DEBIASED)
#: what every learner may use
EPISODES = 12_000
#: a point of the curve is the mean of so many episodes
EVERY = 100
PPO: dict[str, Any] = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "ent_coef": 3e-2}
A2C: dict[str, Any] = {"n_steps": 16, "ent_coef": 1e-2, "use_rms_prop": False, "gae_lambda": 0.95, "normalize_advantage": True}
LEARNERS = {"ppo": (WassersteinPPO, PPO, 3e-3), "a2c": (WassersteinA2C, A2C, 3e-3)}


class Curve(BaseCallback):
    """The return of every episode."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True


def maze(seed: int) -> np.ndarray:
    """7 × 10, heights 0 to 2; columns 2, 5 and 8 of height 9 with one gap, in the top two or the bottom two rows."""
    rng = np.random.default_rng(seed)
    heights = rng.integers(0, 3, (7, 10))
    for column in (2, 5, 8):
        gap = rng.choice([0, 1, 5, 6])
        height = heights[gap, column]
        heights[:, column] = 9
        heights[gap, column] = height
    return heights


def outcome(returns: np.ndarray, greedy: float, optimum: float) -> dict[str, Value]:
    """A row of the CSV."""
    points = returns[: len(returns) // EVERY * EVERY].reshape(-1, EVERY).mean(axis=1)
    last = float(returns[-100:].mean())
    curve = " ".join(f"{value:.1f}" for value in points)
    return {"optimum": optimum, "mean": last, "greedy": greedy, "episodes": len(returns), "curve": curve}


def by_reinforce(dual: str, grid: HillyGrid, coef: float, seed: int, quick: bool) -> dict[str, Value]:
    if dual != "sinkhorn":
        raise ValueError(f"REINFORCE knows the dual sinkhorn; got {dual!r}")
    target = visits(grid, grid.optimal_path[None], smoothing=1.0)
    settings = Settings(coef=coef, episodes=400 if quick else EPISODES)
    return outcome(*reinforce(grid, target, settings, seed), grid.optimal_return)


def by_sb3(learner: str, dual: str, grid: HillyGrid, coef: float, seed: int, quick: bool) -> dict[str, Value]:
    cls, settings, rate = LEARNERS[learner]
    kwargs = {"heights": grid.heights, "time_limit": grid.time_limit}
    env = make_vec_env("wasserstein/HillyGrid-v0", 16, seed=seed, env_kwargs=kwargs)
    embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
    target = Target.from_trajectories([grid.optimal_path], embedding)
    name, dual_kwargs = DEBIASED.get(dual, (dual, None))
    model = cls(
        "MlpPolicy",
        env,
        embedding=embedding,
        target=target,
        wasserstein_coef=coef,
        dual=name,
        dual_kwargs=dual_kwargs,
        learning_rate=lambda left: rate * left,
        gamma=1.0,
        vf_coef=1e-3,
        seed=seed,
        device="cpu",
        **settings,
    )
    curve = Curve()
    model.learn(3_000 if quick else 250_000, CallbackList([curve, StopTrainingOnMaxEpisodes(EPISODES // env.num_envs)]))
    greedy = collect_embeddings(model, env, RETURN, n_episodes=1, deterministic=True)
    return outcome(np.array(curve.returns), float(greedy[0, 0]), grid.optimal_return)


def figure(rows: list[Row], path: Path) -> None:
    """Curves of the returns, median and the band from the lowest to the highest seed, as Figure 2 of Abdullah et al. 2018."""
    from matplotlib.figure import Figure

    drawn = [row for row in rows if row["curve"] and row["time_limit"] == "40" and row["map"] in HEIGHT_MAPS]
    learners = sorted({row["learner"] for row in drawn}, reverse=True)
    picture = Figure(figsize=(11, 2.8 * len(learners) + 0.4), layout="constrained")
    panels = picture.subplots(len(learners), len(HEIGHT_MAPS), squeeze=False, sharex=True)
    for (learner, name, coef), group in grouped(where(drawn, dual="sinkhorn"), "learner", "map", "coef").items():
        panel = panels[learners.index(learner), list(HEIGHT_MAPS).index(name)]
        curves = [np.array(row["curve"].split(), dtype=float) for row in group]
        shortest = min(map(len, curves))
        cut = np.array([curve[:shortest] for curve in curves])
        episodes = EVERY * np.arange(1, shortest + 1)
        label, colour = ("λ = −1", "tab:red") if float(coef) < 0 else ("λ = 0", "tab:grey")
        panel.plot(episodes, np.median(cut, axis=0), color=colour, label=f"{label}, median of {len(group)} seeds")
        panel.fill_between(episodes, cut.min(axis=0), cut.max(axis=0), color=colour, alpha=0.25, linewidth=0)
        panel.axhline(float(group[0]["optimum"]), color="tab:blue", linestyle="--", linewidth=1, label=None)
        panel.set_title(f"{learner.upper()}, {name}")
    for panel in panels[:, 0]:
        panel.set_ylabel(f"return, mean of {EVERY} episodes")
    for panel in panels[-1]:
        panel.set_xlabel("episodes")
    picture.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    picture.savefig(path, dpi=120)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--learner", choices=["reinforce", *LEARNERS], default="reinforce")
    parser.add_argument("--time-limits", type=int, nargs="+", help="default: 40, for REINFORCE 30 and 50 as well")
    parser.add_argument("--maps", nargs="+", choices=list(HEIGHT_MAPS), default=list(HEIGHT_MAPS))
    parser.add_argument("--mazes", type=int, default=0, help="this many random mazes, one seed each, instead of the maps")
    parser.add_argument("--maze-seed", type=int, default=20261121)
    parser.add_argument("--duals", nargs="+", choices=DUALS, default=["sinkhorn"])
    parser.add_argument("--figure", type=Path, help="draw the curves of the CSV there, and run nothing")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    if args.figure:
        figure(read(args.out), args.figure)
        return
    limits = args.time_limits or ([40, 30, 50] if args.learner == "reinforce" and not args.mazes else [40])
    maps = {f"maze{seed}": maze(seed) for seed in range(args.maze_seed, args.maze_seed + args.mazes)}
    maps = maps or {name: HEIGHT_MAPS[name] for name in args.maps}
    run = by_reinforce if args.learner == "reinforce" else partial(by_sb3, args.learner)
    for limit, seed, (name, heights), dual in product(limits, [0] if args.mazes else args.seeds, maps.items(), args.duals):
        # λ = 0 uses no dual.
        for coef in (-1.0, 0.0) if dual == "sinkhorn" else (-1.0,):
            key = dict(zip(KEYS, (args.learner, name, limit, coef, dual, seed), strict=True))
            yield key, partial(run, dual, HillyGrid(heights, time_limit=limit), coef, seed, args.quick)


if __name__ == "__main__":
    study = Study(
        __doc__, "attraction", KEYS, ["optimum", "mean", "greedy", "episodes", "curve"], runs,
        by=["learner", "map", "time_limit", "dual", "coef"],
        columns={"within 10 %": count(near_optimum), "optimal": count(optimal), "mean": middle("mean")},
        seeds=10, options=options, prepare=mazes_as_one,
    )  # fmt: skip
    sys.exit(study.main())
