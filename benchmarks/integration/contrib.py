"""
sb3-contrib's algorithms with Wasserstein regularisation on the demo's task: the deceptive hilly grid, whose optimum PPO alone
does not find.

    python -m benchmarks.integration.contrib      # about 5 CPU-minutes

Mean return of the last hundred training episodes; solved is within 10 % of the optimum. λ = −1 and λ = 0, the same settings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.returns import last_return
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import count, mean
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import Target
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HillyGrid
from sb3_wasserstein.regularised.contrib import WassersteinMaskablePPO, WassersteinRecurrentPPO, WassersteinTRPO

SHARED: dict[str, Any] = {"n_steps": 96, "batch_size": 384, "gamma": 1.0, "device": "cpu"}
#: as in the demo: at SB3's 0.5 the value loss drowns the policy's gradient
PPO: dict[str, Any] = {"n_epochs": 5, "vf_coef": 1e-3, "ent_coef": 1e-2}
LSTM = {"lstm_hidden_size": 64, "enable_critic_lstm": False, "shared_lstm": True}
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], str, dict[str, Any]]] = {
    "trpo": (WassersteinTRPO, "MlpPolicy", {}),
    "recurrent": (WassersteinRecurrentPPO, "MlpLstmPolicy", {**PPO, "policy_kwargs": LSTM}),
    "maskable": (WassersteinMaskablePPO, "MlpPolicy", PPO),
}


class InsideOnly(gym.ObservationWrapper[Any, Any, Any]):
    """Masks the moves that bump into the grid's edge: up, right, down, left."""

    def observation(self, observation: Any) -> Any:
        self._cell = int(observation)
        return observation

    def action_masks(self) -> np.ndarray:
        rows, columns = self.get_wrapper_attr("heights").shape
        row, column = divmod(self._cell, columns)
        return np.array([row > 0, column < columns - 1, row < rows - 1, column > 0])


def study(algo: str, coef: float, seed: int, timesteps: int) -> dict[str, Value]:
    cls, policy, kwargs = ALGORITHMS[algo]
    wrapper = InsideOnly if algo == "maskable" else None
    env = make_vec_env("wasserstein/HillyGrid-v0", 16, seed=seed, env_kwargs={"heights": "deceptive"}, wrapper_class=wrapper)
    grid = HillyGrid("deceptive")
    embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
    target = Target.from_trajectories([grid.optimal_path], embedding)
    ours: dict[str, Any] = {"embedding": embedding, "target": target, "wasserstein_coef": coef}
    model = cls(policy, env, learning_rate=lambda left: 3e-3 * left, seed=seed, **ours, **SHARED, **kwargs).learn(timesteps)
    found = last_return(model)
    solved = str(found >= 1.1 * grid.optimal_return)
    return {"timesteps": timesteps, "mean_return": found, "optimum": grid.optimal_return, "solved": solved}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--algo", nargs="+", default=list(ALGORITHMS), choices=list(ALGORITHMS))


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for algo, coef, seed in product(args.algo, (-1.0, 0.0), args.seeds):
        yield {"algo": algo, "coef": coef, "seed": seed}, partial(study, algo, coef, seed, 1_536 if args.quick else 120_000)


if __name__ == "__main__":
    columns = {
        "solved": count(lambda row: row["solved"] == "True"),
        "mean return": mean("mean_return"),
        "CPU s": mean("cpu_s"),
    }
    keys, results = ["algo", "coef", "seed"], ["timesteps", "mean_return", "optimum", "solved"]
    sys.exit(Study(__doc__, "contrib", keys, results, runs, keys[:2], columns, 3, options).main())
