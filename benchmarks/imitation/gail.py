"""
GAIL from the `imitation` package, beside ``learners.py``, in an environment of its own (it pins an older SB3):

    python3 -m venv gail-env && gail-env/bin/pip install imitation==1.0.1 torch==2.13.0 'numpy<2' scipy
    gail-env/bin/python -m benchmarks.imitation.gail --seeds 3     # rows go to results/imitation.csv

Demonstrations, scaling of states, tasks and number of steps are those of ``learners.py``. The discriminator
sees states only. What was tuned, on seed 100: which reward the policy gets, task by task; PPO's settings, which are ours; and
how many steps the discriminator takes a round (1, 4 and 16).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Transitions
from imitation.rewards.reward_nets import BasicRewardNet, RewardNet
from imitation.util import logger as loggers
from imitation.util.networks import RunningNorm
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import count, extremes, middle
from benchmarks._lib.study import Run, Study
from benchmarks.claims import at_line
from benchmarks.imitation.tasks import STEPS, TASKS, evaluation_env, lessons, side_by_side, training_env

SETTINGS: dict[str, Any] = {"n_steps": 192, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.98}
DISCRIMINATOR = {"demo_batch_size": 256, "n_disc_updates_per_round": 4}


class LogitGAIL(GAIL):
    """
    The reward is log D − log(1 − D), of both signs. GAIL's own, −log(1 − D), is never negative: where episodes end at the goal
    it pays for staying away.
    """

    @property
    def reward_train(self) -> RewardNet:
        return self._reward_net


TRAINERS = {"CartPole-v1": GAIL, "MountainCar-v0": LogitGAIL, "Acrobot-v1": LogitGAIL, "Pendulum-v1": GAIL}


def transitions(demonstrations: list[np.ndarray], action: np.ndarray) -> Transitions:
    """States and what follows them; the actions are not known, and not looked at."""
    states = np.concatenate([part[:-1] for part in demonstrations])
    following = np.concatenate([part[1:] for part in demonstrations])
    n = len(states)
    actions = np.repeat(np.asarray(action)[None], n, axis=0)
    return Transitions(states, actions, np.array([{}] * n), following, np.zeros(n, dtype=bool))


def gail(task: str, seed: int, steps: int) -> dict[str, Value]:
    demonstrations, _, _ = lessons(task)
    venv = side_by_side(lambda: training_env(task), task, seed)
    learner = PPO("MlpPolicy", venv, learning_rate=lambda left: 1e-3 * max(left, 0.1), seed=seed, device="cpu", **SETTINGS)
    net = BasicRewardNet(
        venv.observation_space, venv.action_space, use_action=False, use_next_state=False, normalize_input_layer=RunningNorm
    )
    trainer = TRAINERS[task](
        demonstrations=transitions(demonstrations, venv.action_space.sample()),
        venv=venv,
        gen_algo=learner,
        reward_net=net,
        allow_variable_horizon=True,
        custom_logger=loggers.configure(format_strs=[]),
        disc_opt_kwargs={"lr": 1e-3},
        **DISCRIMINATOR,
    )
    trainer.train(steps)
    mean, _ = evaluate_policy(
        learner, make_vec_env(lambda: evaluation_env(task), 8, seed=10_000 + seed), 40, False, warn=False
    )
    assert isinstance(mean, float)
    return {"return": mean}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)


def runs(args: argparse.Namespace) -> Iterator[Run]:
    steps = 5_000 if args.quick else STEPS
    for seed, task in product(args.seeds, args.tasks):
        yield {"task": task, "method": "gail", "seed": seed, "steps": steps}, partial(gail, task, seed, steps)


if __name__ == "__main__":
    columns = {"return": middle("return"), "range": extremes("return"), "reached": count(at_line)}
    keys = ["task", "method", "seed", "steps"]
    sys.exit(Study(__doc__, "imitation", keys, ["return"], runs, ["task", "method"], columns, 5, options).main())
