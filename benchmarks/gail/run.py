"""
GAIL from the `imitation` package, beside ``imitation.py``, in an environment of its own (it pins an older SB3):

    python3 -m venv gail-env && gail-env/bin/pip install imitation==1.0.1 torch==2.13.0 'numpy<2'
    gail-env/bin/python benchmarks/gail/run.py            # rows go to benchmarks/results/imitation.csv

Demonstrations, scaling of states, tasks and number of steps are those of ``imitation.py``. The discriminator
sees states only. What was tuned, on seed 100: which reward the policy gets, task by task; PPO's settings, which are ours; and
how many steps the discriminator takes a round (1, 4 and 16).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch as th

# Last: `imitation` is the package, not the script of that name next door.
sys.path.append(str(Path(__file__).parent.parent))

from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Transitions
from imitation.rewards.reward_nets import BasicRewardNet, RewardNet
from imitation.util import logger as loggers
from imitation.util.networks import RunningNorm
from imitation_tasks import LINES, STEPS, evaluation_env, lessons, side_by_side, training_env
from rows import RESULTS, Rows
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

SETTINGS = {"n_steps": 192, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.98}
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


def gail(task: str, seed: int, steps: int) -> dict[str, float]:
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
    return {"return": float(mean)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(LINES), default=list(LINES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=RESULTS / "imitation.csv")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = Rows(args.out, ["task", "method", "seed", "steps"], ["return"])
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for task in args.tasks:
            key = {"task": task, "method": "gail", "seed": seed, "steps": args.steps}
            rows.add(key, partial(gail, task, seed, args.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
