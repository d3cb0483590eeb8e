"""
Both ways of running on HalfCheetah-v5 or Swimmer-v5: a population of two on a reward that does not say which way.

    python -m benchmarks.repulsion.locomotion --task HalfCheetah-v5    # about 10 CPU-minutes a seed

The reward is |velocity along x| instead of the velocity, the costs are the task's own. "population" is
``Population(PPO, K = 2)``, "forward" and "backward" are single PPOs that are told which way, "independent" is the population
whose members do not see each other; all are trained alike (``locomotion_task.py`` says how). "velocities" and "returns" are
means of thirty episodes of each deterministic policy on the task as it is; a member is compared with the single PPO of its own
direction and seed.

The second member is trained after the first, and repelled from it at first: from a policy that runs, every step towards it
costs and every step away pays, while two that begin together have to find their directions on a reward that pays shaking as
it pays running. λ has to be larger than the reward for that (its unit, the spread of the first episodes' returns, is small
while no policy runs); each step of an episode weighs 1 / (length + 1). A fall is worth, by velocity, what standing still to
the episode's end is worth, discounted ("absorb"): extended to the end without a discount a fall outweighs all running, and
without an extension it is a way out of a neighbourhood, which members learn first.
What else was tried is in ``research/tried/locomotion_tried.csv``. Wants ``gymnasium[mujoco]``.
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

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import only
from benchmarks._lib.study import Run, Study
from benchmarks.repulsion.locomotion_task import VELOCITY, Running, Settling, evaluated, velocity_of
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


def study(task: str, run: str, seed: int, quick: bool) -> dict[str, Value]:
    steps = 16_384 if quick else STEPS
    training = {"task": task, "steps": steps // SETTINGS["n_envs"]}
    if run in WAYS:
        settings = {name: value for name, value in SETTINGS.items() if name != "n_envs"}
        env = make_vec_env(Running, SETTINGS["n_envs"], seed=seed, env_kwargs={**training, "way": WAYS[run]})
        models: list[Any] = [PPO("MlpPolicy", env, seed=seed, device="cpu", **settings).learn(steps, callback=Settling())]
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
    results = [evaluated(model, task) for model in models]
    return {
        "velocities": " ".join(f"{velocity:.2f}" for velocity, _ in results),
        "returns": " ".join(f"{total:.1f}" for _, total in results),
    }


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=list(VELOCITY), default="HalfCheetah-v5")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for seed, run in product(args.seeds, args.runs):
        yield {"task": args.task, "run": run, "seed": seed}, partial(study, args.task, run, seed, args.quick)


if __name__ == "__main__":
    # A line for each training: two policies do not make a distribution.
    columns = {name: only(name) for name in ("velocities", "returns", "cpu_s")}
    keys = ["task", "run", "seed"]
    sys.exit(Study(__doc__, "locomotion", keys, ["velocities", "returns"], runs, keys, columns, 5, options).main())
