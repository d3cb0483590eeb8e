"""
Diversity at equal return: a population against independent PPOs, on a runner either way and on CartPole-v1.

    python -m benchmarks.repulsion.diversity                    # about 100 CPU-minutes
    python -m benchmarks.repulsion.diversity --tasks runner     # about 4

The runner gets |speed| as its reward: K = 2, left and right. CartPole: K = 2 and 3; the behaviour is where the cart is and how
the pole leans, as an occupancy measure, and a pair's distance the Sinkhorn divergence of two of them, in units that are the
same for all. A population counts only where every member has the return that is asked for. λ = 0 is the same population
whose members do not see each other. "returns" are means of 20 episodes of each stochastic policy, "way" is the share of a
runner's episodes that end to the right.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.returns import RETURN
from benchmarks._lib.rows import Row, Value
from benchmarks._lib.statistics import count, values
from benchmarks._lib.study import Run, Study
from benchmarks.claims import both_ways, enough
from benchmarks.repulsion.runner import Runner
from sb3_wasserstein import Population, behaviour_distance, collect_embeddings
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import FinalState, StateOccupancy

MEMBERS = {"runner": (2,), "CartPole-v1": (2, 3)}
EPISODES = 20
#: position and angle, in units that make them alike: the bounds that an episode ends at are 2.4 and .21
CARTPOLE_UNITS = np.array([2.4, 0.21])
SETTINGS: dict[str, dict[str, Any]] = {
    "runner": {
        "n_envs": 8, "n_steps": 200, "batch_size": 200, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 0.95,
    },
    "CartPole-v1": {
        "n_envs": 8, "n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": lambda left: 1e-3 * left,
        "gamma": 0.99, "gae_lambda": 0.9,
    },
}  # fmt: skip
STEPS = {("runner", 2): 64_000, ("CartPole-v1", 2): 163_840, ("CartPole-v1", 3): 327_680}
#: by K: fractions of the training until which λ is in full, and from which it is 0. Two members that are released while the
#: learning rate is still high stay apart; of three, which train twice as long, two drift together unless the rate is nearly 0
REPELLED = {2: (0.5, 0.75), 3: (0.75, 0.95)}


def place(state: np.ndarray) -> np.ndarray:
    """Where the cart is and how the pole leans."""
    return np.asarray(state, dtype=float)[..., [0, 2]] / CARTPOLE_UNITS


def falling(progress_remaining: float, full: float, gone: float) -> float:
    """One, then a straight line to 0; the rest of the training gets back what was lost on the way."""
    return min(1.0, max(0.0, (progress_remaining - 1.0 + gone) / (gone - full)))


def embedding_of(task: str) -> StateOccupancy:
    return StateOccupancy(horizon=100) if task == "runner" else StateOccupancy(place, horizon=500)


def env_of(task: str) -> Any:
    return Runner if task == "runner" else task


def study(task: str, k: int, coef: float, seed: int, quick: bool) -> dict[str, Value]:
    ours: dict[str, Any] = {}
    if task == "CartPole-v1":
        # A repulsion that stays drives a cart off the track: let go in a line, and at once where one falls.
        full, gone = REPELLED[k]
        schedule, cost = partial(falling, full=full, gone=gone), SaturatingCost()
        ours = {"schedule": schedule, "return_floor": 0.98, "dual_kwargs": {"cost": cost}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not repel.*")
        population = Population(
            PPO,
            "MlpPolicy",
            env_of(task),
            k,
            wasserstein_coef=coef,
            embedding=embedding_of(task),
            seed=seed,
            device="cpu",
            **ours,
            **SETTINGS[task],
        )
    population.learn(3_200 if quick else STEPS[task, k])
    env = make_vec_env(env_of(task), 4, seed=10_000 + seed)
    returns = [float(collect_embeddings(model, env, RETURN, EPISODES).mean()) for model in population.models]
    result: dict[str, Value] = {"returns": " ".join(f"{value:.1f}" for value in returns)}
    if task == "runner":
        ways = [(collect_embeddings(model, env, FinalState(), EPISODES) > 0).mean() for model in population.models]
        return {**result, "ways": " ".join(f"{way:.2f}" for way in ways), "distance": ""}
    clouds = [collect_embeddings(model, env, embedding_of(task), EPISODES) for model in population.models]
    distances = [behaviour_distance(one, other, epsilon=0.05, relative=False) for one, other in combinations(clouds, 2)]
    return {**result, "ways": "", "distance": f"{np.mean(distances):.5f}"}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", choices=list(MEMBERS), default=list(MEMBERS))
    parser.add_argument("--members", type=int, nargs="+", choices=(2, 3), default=(2, 3), help="K")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for task, seed in product(args.tasks, args.seeds):
        for k, coef in product(sorted({*MEMBERS[task]} & {*args.members}), (1.0, 0.0)):
            yield {"task": task, "k": k, "coef": coef, "seed": seed}, partial(study, task, k, coef, seed, args.quick)


def distances(rows: list[Row]) -> str:
    return f"{np.median(values(rows, 'distance')):.3f}"


if __name__ == "__main__":
    columns = {"enough return": count(enough), "both ways": count(both_ways), "median distance": distances}
    keys, results = ["task", "k", "coef", "seed"], ["returns", "ways", "distance"]
    sys.exit(Study(__doc__, "diversity", keys, results, runs, keys[:3], columns, 10, options).main())
