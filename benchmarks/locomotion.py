"""
Both ways of running on HalfCheetah-v5 or Swimmer-v5: a population of two on a reward that does not say which way.

    python benchmarks/locomotion.py --task HalfCheetah-v5    # about 10 CPU-minutes a seed; resumes from the CSV
    python benchmarks/locomotion.py --table                  # the table of what the CSV holds, and its verdict

The reward is |velocity along x| instead of the velocity, the costs are the task's own. "population" is
``Population(PPO, K = 2)``, "forward" and "backward" are single PPOs that are told which way, "independent" is the population
whose members do not see each other; all are trained alike (``locomotion_task.py`` says how). "velocities" and "returns" are
means of thirty episodes of each deterministic policy on the task as it is; a member is held against the single PPO of its own
direction and seed.

The second member is trained after the first, and repelled from it at first: from a policy that runs, every step towards it
costs and every step away pays, while two that begin together have to find out who goes where, on a reward that pays shaking as
it pays running. λ has to be larger than the reward for that (its unit, the spread of the first episodes' returns, is small
while nobody runs); each step of an episode weighs 1 / (length + 1). Who falls is worth, by velocity, what standing still to
the episode's end is worth, discounted ("absorb"): held undiscounted a fall outweighs all running, and not held at all it is a
way out of a neighbourhood, and members learn to fall first.
What else was tried is in ``locomotion_tried.csv``. Wants ``gymnasium[mujoco]``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import torch as th
from locomotion_task import VELOCITY, Running, Settling, judged, velocity_of
from rows import RESULTS, Rows
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import StateOccupancy

RUNS = ("population", "forward", "backward", "independent")
STEPS = 300_000
COEF = 30.0
#: λ is in full to the first of these shares of the training, and gone at the second
FULL_TO, GONE_AT = 0.03, 0.06
WAYS = {"forward": 1.0, "backward": -1.0}
SETTINGS: dict[str, Any] = {
    "n_envs": 8, "n_steps": 128, "batch_size": 128, "n_epochs": 20, "learning_rate": lambda left: 1e-3 * left,
    "gae_lambda": 0.8, "max_grad_norm": 100.0, "policy_kwargs": {"net_arch": [128, 128]},
}  # fmt: skip


def falling(progress_remaining: float) -> float:
    """λ's factor: the first sixteenth of the training says where not to go, then nothing is to be in the way of running."""
    return min(1.0, max(0.0, (progress_remaining - 1.0 + GONE_AT) / (GONE_AT - FULL_TO)))


def study(task: str, run: str, seed: int, quick: bool) -> dict[str, float | str]:
    steps = 16_384 if quick else STEPS
    training = {"task": task, "steps": steps // SETTINGS["n_envs"]}
    if run in WAYS:
        settings = {name: value for name, value in SETTINGS.items() if name != "n_envs"}
        env = make_vec_env(Running, SETTINGS["n_envs"], seed=seed, env_kwargs={**training, "way": WAYS[run]})
        models = [PPO("MlpPolicy", env, seed=seed, device="cpu", **settings).learn(steps, callback=Settling())]
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not repel.*")
            population = Population(
                PPO,
                "MlpPolicy",
                Running,
                2,
                wasserstein_coef=COEF if run == "population" else 0.0,
                schedule=falling,
                repulsion="sequential",
                embedding=StateOccupancy(partial(velocity_of, index=VELOCITY[task]), after_termination="absorb"),
                env_kwargs=training,
                seed=seed,
                device="cpu",
                episode_window=16,
                **SETTINGS,
            )
        models = population.learn(steps, callback=Settling()).models
    results = [judged(model, task) for model in models]
    return {
        "velocities": " ".join(f"{velocity:.2f}" for velocity, _ in results),
        "returns": " ".join(f"{total:.1f}" for _, total in results),
    }


def held(rows: Rows, task: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By direction, the returns of members and those of the single PPOs of the same seeds; prints each seed's."""
    pairs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for seed in sorted({row["seed"] for row in rows.where(task=task, run="population")}):
        found = {run: rows.where(task=task, run=run, seed=seed) for run in RUNS[:3]}
        if not all(found.values()):
            continue
        member = found["population"][0]
        ways = ["forward" if float(velocity) > 0 else "backward" for velocity in member["velocities"].split()]
        shares = []
        for way, total in zip(ways, member["returns"].split(), strict=True):
            # A short run's single PPO may stand still.
            pairs[way].append((float(total), max(float(found[way][0]["returns"]), 1.0)))
            shares.append(pairs[way][-1][0] / pairs[way][-1][1])
        of_single = " ".join(f"{share:.2f}" for share in shares)
        print(f"{task:15} seed {seed}: {' '.join(ways)}, shares of a single PPO {of_single}")
    return {way: (np.array(of_way)[:, 0], np.array(of_way)[:, 1]) for way, of_way in pairs.items() if of_way}


def table(rows: Rows) -> bool:
    """Print what each seed shows; whether both directions are there on every one, at 90 % of a single PPO's return."""
    holds = True
    for task in VELOCITY:
        for row in rows.where(task=task):
            print(f"{task:15} {row['run']:12} {row['seed']:>4} {row['velocities']:>14} {row['returns']:>14}")
        returns = held(rows, task)
        for way, (members, singles) in returns.items():
            # Two single PPOs differ too: how often is one at 90 % of another?
            others = [one >= 0.9 * other for one, other in permutations(singles, 2)]
            print(
                f"{task:15} {way:8}: {np.sum(members >= 0.9 * singles)} of {len(members)} at 90 % of their seed's single PPO, "
                f"members {members.mean():.0f} ± {members.std():.0f}, single PPOs {singles.mean():.0f} ± {singles.std():.0f}; "
                f"at 90 % of any single PPO: members {np.mean(members[:, None] >= 0.9 * singles):.0%}, "
                f"other single PPOs {np.mean(others) if others else 1.0:.0%}"
            )
            holds &= bool(np.all(members >= 0.9 * singles))
        for row in rows.where(task=task, run="population"):
            holds &= len({float(velocity) > 0 for velocity in row["velocities"].split()}) == 2
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(VELOCITY), default="HalfCheetah-v5")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    book = Rows(None if args.quick else RESULTS / "locomotion.csv", ["task", "run", "seed"], ["velocities", "returns"])
    if not args.table:
        for seed in range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds)):
            for run in args.runs:
                key = {"task": args.task, "run": run, "seed": seed}
                book.add(key, partial(study, args.task, run, seed, args.quick))
    return 0 if table(book) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
