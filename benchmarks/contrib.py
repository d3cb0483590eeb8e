"""
sb3-contrib's algorithms with Wasserstein regularisation on the demo's task: the deceptive hilly grid, whose optimum PPO alone
does not find.

    python benchmarks/contrib.py [--quick] [--out benchmarks/results/contrib.csv] [--algo trpo …] [--seeds 0 1 2]

Mean return of the last hundred training episodes; solved is within 10 % of the optimum. λ = −1 and λ = 0, the same settings.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs.hilly_grid import MOVES
from sb3_wasserstein.regularised.contrib import WassersteinMaskablePPO, WassersteinRecurrentPPO, WassersteinTRPO

SHARED = {"n_steps": 96, "batch_size": 384, "gamma": 1.0, "device": "cpu"}
#: as in the demo: at SB3's 0.5 the value loss drowns the policy's gradient
PPO = {"n_epochs": 5, "vf_coef": 1e-3, "ent_coef": 1e-2}
ALGORITHMS = {
    "trpo": (WassersteinTRPO, "MlpPolicy", 120_000, 3e-3, {}),
    "recurrent": (
        WassersteinRecurrentPPO,
        "MlpLstmPolicy",
        120_000,
        3e-3,
        {**PPO, "policy_kwargs": {"lstm_hidden_size": 64, "enable_critic_lstm": False, "shared_lstm": True}},
    ),
    "maskable": (WassersteinMaskablePPO, "MlpPolicy", 120_000, 3e-3, PPO),
}


def inside(env: gym.Env) -> np.ndarray:
    """The moves that do not bump into a wall."""
    grid = env.unwrapped
    rows, columns = grid.heights.shape
    row, column = grid._cell
    return np.array([0 <= row + dy < rows and 0 <= column + dx < columns for dy, dx in MOVES])


def trained(name: str, coef: float, seed: int, timesteps: int | None) -> dict[str, object]:
    cls, policy, default, rate, kwargs = ALGORITHMS[name]
    wrapper = {"wrapper_class": lambda env: ActionMasker(env, inside)} if name == "maskable" else {}
    env = make_vec_env("wasserstein/HillyGrid-v0", n_envs=16, seed=seed, env_kwargs={"heights": "deceptive"}, **wrapper)
    grid = env.envs[0].unwrapped
    embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
    target = Target.from_trajectories([grid.optimal_path], embedding)
    model = cls(
        policy,
        env,
        embedding=embedding,
        target=target,
        wasserstein_coef=coef,
        learning_rate=lambda left: rate * left,
        seed=seed,
        **SHARED,
        **kwargs,
    )
    begin = time.process_time()
    model.learn(timesteps or default)
    mean = float(np.mean([episode["r"] for episode in model.ep_info_buffer]))
    return {
        "algo": name,
        "coef": coef,
        "seed": seed,
        "timesteps": timesteps or default,
        "mean_return": round(mean, 2),
        "optimum": grid.optimal_return,
        "solved": mean >= 1.1 * grid.optimal_return,
        "cpu_s": round(time.process_time() - begin, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one rollout each")
    parser.add_argument("--algo", nargs="+", default=list(ALGORITHMS), choices=list(ALGORITHMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--coef", nargs="+", type=float, default=[-1.0, 0.0])
    parser.add_argument("--timesteps", type=int)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = []
    for name in args.algo:
        for coef in args.coef:
            for seed in args.seeds[:1] if args.quick else args.seeds:
                rows.append(trained(name, coef, seed, 1536 if args.quick else args.timesteps))
                print(*rows[-1].values(), flush=True)
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
