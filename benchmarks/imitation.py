"""
Reward-free imitation from five state-only trajectories: StateOccupancy, λ < 0, the environment's reward switched off.

    python benchmarks/imitation.py                # 4 tasks, 3 methods, 10 seeds: about 45 CPU-minutes; resumes from the CSV
    python benchmarks/imitation.py --tasks CartPole-v1 --seeds 3
    python benchmarks/imitation.py --table        # the table of what the CSV holds, and its verdict

The experts are rules (``experts.py``). Every method gets 100k steps with the same settings, and the same for all tasks. λ is
−100 since nothing but the bonus pays: an episode's bonus is then of the order of 100, which the critic can learn.
"return" is the mean of 40 episodes of the final stochastic policy, with the environment's own reward. The CartPole that is
trained on never ends before its 500 steps (no survival bonus can leak in): what is reported is the return on CartPole-v1
itself, the number of steps until the pole or the cart first leaves its bounds.

Methods: "wasserstein" is ours; "zero" has λ = 0; "constant" has +1 at every step instead of a bonus.
Every run appends a row: what is there already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from experts import RULES, demonstrations
from gymnasium.wrappers import TransformReward
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import StateOccupancy

FIELDS = ["task", "method", "seed", "return", "steps", "cpu_s", "commit"]
METHODS = {"wasserstein": (-100.0, 0.0), "zero": (0.0, 0.0), "constant": (0.0, 1.0)}
"""λ, and the reward that stands for the environment's."""
LINES = {"CartPole-v1": 475.0, "MountainCar-v0": -130.0, "Acrobot-v1": -110.0, "Pendulum-v1": -240.0}
SHARES = {"CartPole-v1": 0.9, "MountainCar-v0": 0.9, "Acrobot-v1": 0.9, "Pendulum-v1": 0.8}
"""The return, and the share of the seeds that is to reach it."""
PPO: dict[str, Any] = {"n_steps": 64, "batch_size": 256, "n_epochs": 10, "learning_rate": 1e-3}
N_ENVS = 8
STEPS = 100_000


class NeverEnding(gym.Wrapper[Any, Any, Any, Any]):
    """CartPole goes on when the pole has fallen."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        state, reward, _, truncated, info = self.env.step(action)
        # CartPole warns of every step after its end unless it forgets that there was one.
        self.unwrapped.steps_beyond_terminated = None  # type: ignore[attr-defined]
        return state, reward, False, truncated, info


def training_env(task: str, reward: float) -> gym.Env[Any, Any]:
    """The task with a constant instead of its reward."""
    env = gym.make(task)
    return TransformReward(NeverEnding(env) if task == "CartPole-v1" else env, lambda _: reward)


def within(trajectories: list[NDArray[Any]]) -> Callable[[Any], NDArray[np.float64]]:
    """Clip states to the demonstrations' range, widened by its width on both sides: outliers would set the unit of length."""
    states = np.concatenate(trajectories)
    low, high = states.min(axis=0), states.max(axis=0)
    width = high - low

    def features(observations: Any) -> NDArray[np.float64]:
        return np.clip(np.asarray(observations, dtype=np.float64), low - width, high + width)

    return features


def imitate(task: str, method: str, seed: int, steps: int) -> float:
    """One run; the return of its policy."""
    coefficient, reward = METHODS[method]
    venv = make_vec_env(lambda: training_env(task, reward), N_ENVS, seed=seed)
    expert, _ = demonstrations(task)
    embedding = StateOccupancy(within(expert), horizon=venv.get_attr("spec")[0].max_episode_steps)
    target = Target.from_trajectories(expert, embedding)
    env = VecNormalize(venv, norm_reward=False)
    model = WassersteinPPO(
        "MlpPolicy",
        env,
        embedding=embedding,
        target=target,
        wasserstein_coef=coefficient,
        dual_kwargs={"cost": SaturatingCost()},
        seed=seed,
        device="cpu",
        **PPO,
    )
    model.learn(steps)
    evaluation = VecNormalize(make_vec_env(task, 8, seed=10_000 + seed), training=False, norm_reward=False)
    evaluation.obs_rms = env.obs_rms
    mean, _ = evaluate_policy(model, evaluation, 40, deterministic=False, warn=False)
    return float(mean)


def done(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def table(rows: list[dict[str, str]]) -> bool:
    """Print returns by task and method; whether every task that was asked for holds."""
    holds = True
    print(f"{'task':15} {'method':12} {'mean':>8} {'worst':>8} {'best':>8} {'reached':>9} {'CPU s':>6}")
    for task, line in LINES.items():
        share = SHARES[task]
        for method in METHODS:
            runs = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            if not runs:
                continue
            returns = np.array([float(row["return"]) for row in runs])
            cpu = np.mean([float(row["cpu_s"]) for row in runs])
            reached = int((returns >= line).sum())
            missed = method == "wasserstein" and reached < share * len(runs)
            verdict = f"   missed: {line:g} on {share:.0%} of the seeds" if missed else ""
            spread = f"{returns.mean():8.1f} {returns.min():8.1f} {returns.max():8.1f}"
            print(f"{task:15} {method:12} {spread} {f'{reached}/{len(runs)}':>9} {cpu:6.1f}{verdict}")
            holds &= not missed
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "imitation.csv")
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = [] if args.quick else done(args.out)
    if args.table:
        return 0 if table(rows) else 1
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    finished = {(row["task"], row["method"], row["seed"]) for row in rows}
    args.out.parent.mkdir(exist_ok=True)
    for seed in range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds)):
        for task in args.tasks:
            for method in args.methods:
                if (task, method, str(seed)) in finished:
                    continue
                begin, steps = time.process_time(), 5_000 if args.quick else STEPS
                result = imitate(task, method, seed, steps)
                values = [task, method, seed, round(result, 1), steps, round(time.process_time() - begin, 1), commit]
                rows.append(dict(zip(FIELDS, map(str, values), strict=True)))
                print(*values, flush=True)
                if not args.quick:
                    new = not args.out.exists()
                    with args.out.open("a", newline="") as file:
                        writer = csv.DictWriter(file, FIELDS)
                        if new:
                            writer.writeheader()
                        writer.writerow(rows[-1])
    return 0 if table(rows) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
