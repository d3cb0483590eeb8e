"""
What several modes are worth: a box to pass, and the side that a policy uses most is closed afterwards (examples/flow_wall.py).

    python benchmarks/wpo_wall.py [--quick] [--seeds 5] [--csv FILE]

WPO with three actors and SB3's SAC, same networks, rates and steps. ``main_closed`` is the share of episodes that arrive once
the side used most is closed, ``other_closed`` with the other one closed, both without training; ``recovered`` is after how
many further steps, on an empty replay buffer, 90 % arrive (nan: not within the budget). Each row is one training; rows that
the CSV holds are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rows import Rows
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import WPO

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from flow_wall import ACTORS, TASKS, train, walk  # the sys.path of the examples is set above

LEARNERS = ("sac", *ACTORS)
RESULTS = ["arrived", "right", "main_closed", "other_closed", "recovered"]


def study(learner: str, seed: int, steps: int, budget: int) -> dict[str, float | str]:
    policy = {"net_arch": [64, 64], **ACTORS.get(learner, {})}
    algorithm, kwargs = (SAC, {}) if learner == "sac" else (WPO, {"actor": learner})
    model = train(algorithm, steps, policy_kwargs=policy, seed=seed, **kwargs)
    _, arrived, right = walk(model)
    main, other = ("right", "left") if right > 0.5 else ("left", "right")
    found = {"arrived": arrived, "right": right, "main_closed": walk(model, main)[1], "other_closed": walk(model, other)[1]}
    model.set_env(make_vec_env("wasserstein/Goals-v0", 8, env_kwargs=TASKS[main]))
    model.replay_buffer.reset()
    recovered = np.nan
    for further in range(400, budget + 1, 400):
        model.learn(400, reset_num_timesteps=False)
        if walk(model, main)[1] >= 0.9:
            recovered = further
            break
    return found | {"recovered": recovered}


def summary(book: Rows) -> None:
    for learner in LEARNERS:
        rows = book.where(learner=learner)
        if rows:
            print(f"{learner}, {len(rows)} seeds")
            for name in RESULTS:
                print(f"    {name:13}", *(f"{float(row[name]):7g}" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    book = Rows(args.csv, ["learner", "seed"], RESULTS)
    steps, budget = (10_100, 400) if args.quick else (24_000, 4_000)
    for seed in range(1 if args.quick else args.seeds):
        for learner in LEARNERS:
            book.add({"learner": learner, "seed": seed}, partial(study, learner, seed, steps, budget))
    summary(book)


if __name__ == "__main__":
    main()
