"""
What several modes are worth: a box to pass, and the side that a policy uses most is closed afterwards (examples/flow_wall.py).

    python -m benchmarks.wpo.wall       # about 16 CPU-minutes

WPO with three actors and SB3's SAC, same networks, rates and steps. ``main_closed`` is the share of episodes that arrive once
the side used most is closed, ``other_closed`` with the other one closed, both without training; ``recovered`` is after how
many further steps, on an empty replay buffer, 90 % arrive (nan: not within the budget).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product

from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.examples import example
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import Show, values
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import WPO

WALL = example("flow_wall")
LEARNERS = ("sac", *WALL.ACTORS)
RESULTS = ["arrived", "right", "main_closed", "other_closed", "recovered"]


def study(learner: str, seed: int, steps: int, budget: int) -> dict[str, Value]:
    policy = {"net_arch": [64, 64], **WALL.ACTORS.get(learner, {})}
    algorithm, kwargs = (SAC, {}) if learner == "sac" else (WPO, {"actor": learner})
    model = WALL.train(algorithm, steps, policy_kwargs=policy, seed=seed, **kwargs)
    _, arrived, right = WALL.walk(model)
    main, other = ("right", "left") if right > 0.5 else ("left", "right")
    closed = {"main_closed": WALL.walk(model, main)[1], "other_closed": WALL.walk(model, other)[1]}
    model.set_env(make_vec_env("wasserstein/Goals-v0", 8, env_kwargs=WALL.TASKS[main]))
    model.replay_buffer.reset()
    recovered = float("nan")
    for further in range(400, budget + 1, 400):
        model.learn(400, reset_num_timesteps=False)
        if WALL.walk(model, main)[1] >= 0.9:
            recovered = further
            break
    return {"arrived": arrived, "right": right, **closed, "recovered": recovered}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    steps, budget = (10_100, 400) if args.quick else (24_000, 4_000)
    for seed, learner in product(args.seeds, LEARNERS):
        yield {"learner": learner, "seed": seed}, partial(study, learner, seed, steps, budget)


def each(name: str) -> Show:
    """The value of every seed."""
    return lambda rows: " ".join(f"{value:g}" for value in values(rows, name))


if __name__ == "__main__":
    columns = {name: each(name) for name in RESULTS}
    sys.exit(Study(__doc__, "wpo_wall", ["learner", "seed"], RESULTS, runs, ["learner"], columns, seeds=5).main())
