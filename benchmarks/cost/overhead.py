"""
What Wasserstein regularisation costs: WassersteinPPO and WassersteinA2C against their parents, with a full window.

    python -m benchmarks.cost.overhead                  # wants gymnasium[mujoco]; half an hour
    python -m benchmarks.cost.overhead --algo attraction --env wasserstein/HillyGrid-v0    # as in hilly_grid.py

Two measures of the same thing. Attribution: the share of the CPU time of one training that is spent outside the package.
Pairs: parent and ours in turns, short segments, ratio of CPU times (with several threads, of wall-clock times); its noise is
the machine's. λ is tiny, so that both walk the same way: costs are those of any λ ≠ 0. "λ = 0" measures and logs the distance
to a target, "no target" is what a script gets that only changes the class's name. The first segment, which is not measured,
fills the window.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study
from benchmarks._lib.timing import Sampler
from benchmarks.attraction.hilly_grid import PPO as ATTRACTION
from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HillyGrid

GRID = "wasserstein/HillyGrid-v0"
#: (parent, ours, environments, arguments, steps of a segment): the algorithms' defaults, A2C on eight environments
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], type[BaseAlgorithm], int, dict[str, Any], int]] = {
    "ppo": (PPO, WassersteinPPO, 1, {}, 2048),
    "a2c": (A2C, WassersteinA2C, 8, {}, 4000),
    "attraction": (
        PPO, WassersteinPPO, 16, {**ATTRACTION, "vf_coef": 1e-3, "gamma": 1.0, "learning_rate": 3e-3}, 16 * 96 * 10,
    ),
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "λ ≠ 0": {"wasserstein_coef": -1e-9},
    "λ = 0": {"wasserstein_coef": 0.0},
    "no target": {},
}
#: folders of the package that a training spends time in
PARTS = ("recording", "embeddings", "duals", "transport", "regularised")


def made(
    cls: type[BaseAlgorithm], env_id: str, n_envs: int, kwargs: dict[str, Any], setting: str | None = None
) -> BaseAlgorithm:
    """A model; without a setting it is the parent's."""
    env = make_vec_env(env_id, n_envs, seed=0)
    ours = {} if setting is None else dict(SETTINGS[setting])
    if env_id == GRID and ours:
        ours["embedding"] = VisitHistogram(shape=(7, 10), smoothing=1.0)
        ours["target"] = Target.from_trajectories([HillyGrid().optimal_path], ours["embedding"])
    elif ours:
        ours["target"] = np.random.default_rng(0).normal(size=(100, *(env.observation_space.shape or ())))
    return cls("MlpPolicy", env, seed=0, device="cpu", **kwargs, **ours)


def segment(model: BaseAlgorithm, steps: int) -> float:
    # Several threads spin while they wait: their CPU time is not what anybody waits for.
    clock = time.process_time if th.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    model.learn(steps, reset_num_timesteps=False)
    return clock() - begin


def attribution(model: BaseAlgorithm, steps: int) -> dict[str, Value]:
    """The share of the CPU time that is not the package's, and what each part takes of all."""
    with Sampler() as sampler:
        segment(model, steps)
    shares = sampler.shares()
    return {"attribution": shares.get("", 0.0), **{name: shares.get(name, 0.0) for name in PARTS}}


def measured(algo: str, env_id: str, setting: str, n_pairs: int, quick: bool) -> dict[str, Value]:
    parent, ours, n_envs, kwargs, steps = ALGORITHMS[algo]
    steps = 2048 if quick else steps
    plain, model = made(parent, env_id, n_envs, kwargs), made(ours, env_id, n_envs, kwargs, setting)
    for one in (plain, model):
        # Fills the window, whose size is what solving and evaluating cost.
        segment(one, steps if quick else max(steps, 256 * 200))
    shares = attribution(model, 4 * steps if quick else max(8 * steps, 32_000))
    ratios = []
    for turn in range(n_pairs):
        first, second = (plain, model) if turn % 2 else (model, plain)
        times = {first: segment(first, steps), second: segment(second, steps)}
        ratios.append(times[plain] / times[model])
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
    return {**shares, "pairs": n_pairs, "median": median, "low": low, "high": high}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--algo", nargs="+", default=["ppo", "a2c"], choices=list(ALGORITHMS))
    parser.add_argument("--env", nargs="+", default=["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
    parser.add_argument("--setting", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of torch; more than one wants an idle machine")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    th.set_num_threads(args.threads)
    for algo, env_id, setting in product(args.algo, args.env[:1] if args.quick else args.env, args.setting):
        key = {"algo": algo, "env": env_id, "setting": setting, "threads": args.threads}
        yield key, partial(measured, algo, env_id, setting, 2 if args.quick else args.pairs, args.quick)


if __name__ == "__main__":
    keys, results = ["algo", "env", "setting", "threads"], ["attribution", *PARTS, "pairs", "median", "low", "high"]
    columns = {name: mean(name) for name in results}
    sys.exit(Study(__doc__, "overhead", keys, results, runs, keys, columns, options=options).main())
