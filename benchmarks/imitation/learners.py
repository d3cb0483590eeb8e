"""
Reward-free imitation from five state-only trajectories: StateOccupancy, λ < 0, the environment's reward switched off.

    python -m benchmarks.imitation.learners --methods wasserstein               # 10 seeds, 12 CPU-minutes
    python -m benchmarks.imitation.learners --methods zero constant pwil --seeds 3

Every method gets 100k steps of PPO with the same settings, and the same for all tasks. "return" is the mean of 40 episodes of
the final stochastic policy, with the environment's own reward. The CartPole that is trained on never ends before its 500 steps
(no survival bonus can leak in): what is reported is the return on CartPole-v1 itself, the number of steps until the pole or
the cart first leaves its bounds.

Methods: "wasserstein" is ours; "zero" has no reward at all; "constant" has +1 at every step; "pwil" has the reward of
``pwil.py``; "gail" comes from ``gail.py``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import count, extremes, mean, middle
from benchmarks._lib.study import Run, Study
from benchmarks.claims import at_line
from benchmarks.imitation.pwil import PWILReward
from benchmarks.imitation.tasks import (
    STEPS,
    TASKS,
    compressed,
    evaluation_env,
    horizon,
    lessons,
    side_by_side,
    time_limit,
    training_env,
)
from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import StateOccupancy

METHODS = ("wasserstein", "zero", "constant", "pwil")
SETTINGS: dict[str, Any] = {"n_steps": 192, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.98}
RATE = 1e-3
COEF = -10.0


def rate(progress_remaining: float) -> float:
    """A noisy potential would shake the policy to the end at a constant rate; at none it would stop too early."""
    return RATE * max(progress_remaining, 0.1)


def learner(task: str, method: str, seed: int) -> PPO:
    """The untrained model."""
    demonstrations, _, _ = lessons(task)
    common: dict[str, Any] = {"learning_rate": rate, "seed": seed, "device": "cpu", **SETTINGS}
    if method == "pwil":
        env = side_by_side(lambda: PWILReward(training_env(task), demonstrations, time_limit(task)), task, seed)
        return PPO("MlpPolicy", VecNormalize(env, norm_obs=False, gamma=SETTINGS["gamma"]), **common)
    env = side_by_side(lambda: training_env(task, float(method == "constant")), task, seed)
    if method != "wasserstein":
        return PPO("MlpPolicy", env, **common)
    embedding = StateOccupancy(compressed, horizon=horizon(task))
    return WassersteinPPO(
        "MlpPolicy",
        env,
        embedding=embedding,
        target=Target.from_trajectories(demonstrations, embedding),
        wasserstein_coef=COEF,
        dual_kwargs={"cost": SaturatingCost(), "debias": False},
        **common,
    )


def imitate(task: str, method: str, seed: int, steps: int) -> dict[str, Value]:
    """One run; the return of its policy."""
    with warnings.catch_warnings():
        # The reward is off: that the returns do not differ is what was asked for.
        warnings.filterwarnings("ignore", message=".*the spread of returns.*")
        model = learner(task, method, seed).learn(steps)
    mean, _ = evaluate_policy(model, make_vec_env(lambda: evaluation_env(task), 8, seed=10_000 + seed), 40, False, warn=False)
    assert isinstance(mean, float)
    return {"return": mean}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)


def runs(args: argparse.Namespace) -> Iterator[Run]:
    steps = 5_000 if args.quick else STEPS
    for method, seed, task in product(args.methods, args.seeds, args.tasks):
        yield {"task": task, "method": method, "seed": seed, "steps": steps}, partial(imitate, task, method, seed, steps)


if __name__ == "__main__":
    columns = {"return": middle("return"), "range": extremes("return"), "reached": count(at_line), "CPU s": mean("cpu_s")}
    keys = ["task", "method", "seed", "steps"]
    sys.exit(Study(__doc__, "imitation", keys, ["return"], runs, ["task", "method"], columns, 10, options).main())
