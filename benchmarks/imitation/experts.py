"""
ImitationPPO on experts that were trained elsewhere, from their states alone, with the reward switched off.

    python -m benchmarks.imitation.experts --demos FOLDER                         # all tasks of the folder, five seeds
    python -m benchmarks.imitation.experts --demos FOLDER --demonstrations 1      # a single demonstration
    python -m benchmarks.imitation.experts --demos FOLDER --tasks Hopper-v5 --set dual_kwargs.epsilon=0.2

FOLDER holds a file TASK_AGENT.npz for each task, with the arrays ``observations_i``, ``terminated_i`` and ``returns``; the
first N episodes are the demonstrations. Settings are the defaults of ImitationPPO, but for those that ``--set`` names.
"score" is (return − random) / (expert − random) of the final stochastic policy over 20 episodes: "random" are 20 episodes of
random actions, "expert" is the mean return of the demonstrations that were used. A task takes a million steps; those of
``SHORT`` take 300,000.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import extremes, mean, middle
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import ImitationPPO
from sb3_wasserstein.imitation import CloningOptions, InverseModelOptions
from sb3_wasserstein.recording.trajectories import as_trajectories
from sb3_wasserstein.regularised import TrackerOptions

SHORT = ("LunarLander-v3", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "CartPole-v1", "Pendulum-v1")
#: arguments that are options of several numbers: ``--set cloning.until=0.3``
GROUPS: dict[str, Any] = {
    "cloning": CloningOptions,
    "inverse_model": InverseModelOptions,
    "tracker_options": partial(TrackerOptions, law="rollout", max_states=768, max_target=100_000),
    "dual_kwargs": dict,
}


@cache
def random_return(task: str) -> float:
    """The mean return of 20 episodes of random actions."""
    env, total = gym.make(task), 0.0
    env.action_space.seed(0)
    for episode in range(20):
        env.reset(seed=episode)
        ended = False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, ended = total + float(reward), terminated or truncated
    return total / 20


def arguments_of(settings: list[str]) -> dict[str, Any]:
    """``["gamma=0.98", "cloning.until=0.3"]`` as ImitationPPO's arguments."""
    arguments: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, text = setting.split("=", 1)
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text
        group, _, option = name.partition(".")
        if option:
            groups.setdefault(group, {})[option] = value
        else:
            arguments[name] = value
    return arguments | {group: GROUPS[group](**options) for group, options in groups.items()}


def imitate(path: Path, task: str, n: int, steps: int, seed: int, n_envs: int, settings: list[str]) -> dict[str, Value]:
    """One run."""
    env = task if n_envs == 1 else make_vec_env(task, n_envs, seed=seed)
    demonstrations = as_trajectories(path)[:n]
    model = ImitationPPO("MlpPolicy", env, demonstrations, seed=seed, device="cpu", **arguments_of(settings))
    model.learn(steps)
    found: dict[str, Value] = {}
    for name, deterministic in (("stochastic", False), ("deterministic", True)):
        returned, _ = evaluate_policy(model, make_vec_env(task, 10, seed=10_000 + seed), 20, deterministic)
        assert isinstance(returned, float)
        found[name] = returned
    with np.load(path) as arrays:
        expert = float(arrays["returns"][:n].mean())
    nothing = random_return(task)
    score = (float(found["stochastic"]) - nothing) / (expert - nothing)
    return {**found, "expert": expert, "random": nothing, "score": score}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--demos", type=Path, help="the folder of demonstrations")
    parser.add_argument("--tasks", nargs="+", help="some of the folder's tasks (default: all)")
    parser.add_argument("--demonstrations", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of each run (default: a million, or 300,000)")
    parser.add_argument("--envs", type=int, default=16, help="in parallel; 1 gives the task by its id (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="arguments of ImitationPPO")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    if args.demos is None:
        raise SystemExit("--demos FOLDER is needed to run: a folder of TASK_AGENT.npz")
    files = {path.stem.rpartition("_")[0]: path for path in sorted(args.demos.glob("*_*.npz"))}
    for seed, task in product(args.seeds, args.tasks or files):
        steps = 4_096 if args.quick else args.steps or (300_000 if task in SHORT else 1_000_000)
        key = {"task": task, "seed": seed, "demonstrations": args.demonstrations, "steps": steps, "envs": args.envs}
        run = partial(imitate, files[task], task, args.demonstrations, steps, seed, args.envs, args.set)
        yield {**key, "settings": " ".join(args.set)}, run


if __name__ == "__main__":
    columns = {"score": middle("score"), "stochastic": middle("stochastic"), "range": extremes("stochastic")}
    columns |= {"deterministic": middle("deterministic"), "expert": mean("expert"), "CPU s": mean("cpu_s")}
    keys = ["task", "seed", "demonstrations", "steps", "envs", "settings"]
    results = ["stochastic", "deterministic", "expert", "random", "score"]
    by = ["task", "demonstrations", "steps", "settings"]
    sys.exit(Study(__doc__, "experts", keys, results, runs, by, columns, 5, options).main())
