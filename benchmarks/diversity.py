"""
Diversity at equal return: a population against independent PPOs, on a runner either way and on CartPole-v1.

    python benchmarks/diversity.py                    # about 100 CPU-minutes; resumes from the CSV
    python benchmarks/diversity.py --tasks runner     # about 4
    python benchmarks/diversity.py --table            # the table of what the CSV holds, and its verdict

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
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch as th
from rows import RESULTS, Rows
from runner import BEST, Runner
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Population, behaviour_distance, collect_embeddings
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding, StateOccupancy

SEEDS = {"runner": 10, "CartPole-v1": 10}
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
COEFS = {("runner", 2): 1.0, ("CartPole-v1", 2): 1.0, ("CartPole-v1", 3): 1.0}
#: by K: fractions of the training until which repulsion is full, and from which it is gone. A pair that is let go while the
#: learning rate is still high settles, and one that is held until then does not come together again; of three, who have
#: twice as long to drift, two do unless they are held until the rate is nearly gone
REPELLED = {2: (0.5, 0.75), 3: (0.75, 0.95)}
RETURN = FunctionEmbedding(lambda trajectory: [trajectory.rewards.sum()], 1)


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


def study(task: str, k: int, coef: float, seed: int, quick: bool) -> dict[str, float | str]:
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
    result: dict[str, float | str] = {"returns": " ".join(f"{value:.1f}" for value in returns)}
    if task == "runner":
        ways = [(collect_embeddings(model, env, FinalState(), EPISODES) > 0).mean() for model in population.models]
        return {**result, "ways": " ".join(f"{way:.2f}" for way in ways), "distance": ""}
    clouds = [collect_embeddings(model, env, embedding_of(task), EPISODES) for model in population.models]
    distances = [behaviour_distance(one, other, epsilon=0.05, relative=False) for one, other in combinations(clouds, 2)]
    return {**result, "ways": "", "distance": f"{np.mean(distances):.5f}"}


def table(rows: Rows) -> bool:
    """Print what each task shows; whether its line holds."""
    holds = True
    print(f"{'task':12} {'K':>2} {'λ':>4} {'returns':>16} {'enough':>7} {'parted':>7} {'distance':>9}")
    for task, sizes in MEMBERS.items():
        for k in sizes:
            groups = {coef: rows.where(task=task, k=k, coef=coef) for coef in (COEFS[task, k], 0.0)}
            if not all(groups.values()):
                continue
            # Independent policies: a distance counts between those that can do the task.
            least = 0.97 * BEST if task == "runner" else 475.0
            apart = [float(row["distance"]) for row in groups[0.0] if row["distance"] and _enough(row, least)]
            reference = float(np.median(apart)) if apart else np.nan
            for coef, group in groups.items():
                enough = np.array([_enough(row, least) for row in group])
                if task == "runner":
                    parted = np.array([{way in ("0.00", "1.00") and way for way in row["ways"].split()} == {"0.00", "1.00"}
                                       for row in group])  # fmt: skip
                    distance = ""
                else:
                    values = np.array([float(row["distance"]) for row in group])
                    parted, distance = values >= 2 * reference, f"{np.median(values) / reference:8.1f}×"
                returns = np.array([[float(value) for value in row["returns"].split()] for row in group])
                spread, n = f"{returns.min():.1f} … {returns.max():.1f}", len(group)
                counts = f"{f'{enough.sum()}/{n}':>7} {f'{(enough & parted).sum()}/{n}':>7}"
                print(f"{task:12} {k:>2} {coef:4g} {spread:>16} {counts} {distance:>9}")
                if coef:
                    holds &= (enough & parted).sum() >= (0.9 if task == "runner" else 0.8) * n
    return holds


def _enough(row: dict[str, str], least: float) -> bool:
    return min(float(value) for value in row["returns"].split()) >= least


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--members", type=int, nargs="+", choices=(2, 3), default=(2, 3), help="K")
    parser.add_argument("--seeds", type=int, help=f"default: {SEEDS}")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    path = None if args.quick else RESULTS / "diversity.csv"
    book = Rows(path, ["task", "k", "coef", "seed"], ["returns", "ways", "distance"])
    if args.table:
        return 0 if table(book) else 1
    for task in args.tasks:
        for seed in range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds or SEEDS[task])):
            for k in sorted({*MEMBERS[task]} & {*args.members}):
                for coef in (COEFS[task, k], 0.0):
                    key = {"task": task, "k": k, "coef": coef, "seed": seed}
                    book.add(key, partial(study, task, k, coef, seed, args.quick))
    return 0 if table(book) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
