"""
Where attraction to a law stops: the spread of N(0, s²I) at which the gradient towards samples of N(0, I) vanishes.

    python -m benchmarks.distance.shrinkage

Part "oracle" is the score-function gradient in the spread, E[(|x|² / s² − d) h(x)] for x of N(0, s²I). Its root in s is found
on common random numbers: 256 points of μ, 100 of ν. ``error`` is the root's standard error over the repetitions.

Part "training" is WassersteinPPO on episodes of one step, whose behaviour is the action in eight dimensions: reward 0, λ = −1,
256 samples of N(0, I) as the target. ``spread`` is that of 4,096 actions of the final policy. Rollouts are of 2,048 episodes,
so that seven of eight are not in the window of 256 that the dual is solved on; in part "training on the window" all are.

``self_terms`` says what is subtracted from the distance: "left out" is the default for samples, in which a point does not
count for itself; "in-sample" is what laws are given, in which it does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from scipy.optimize import brentq
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.cloud import Cloud
from sb3_wasserstein.duals import SinkhornDual

#: dimension of the behaviour in training
DIM = 8


class InSampleDual(SinkhornDual):
    """Takes both samples for the laws themselves."""

    def update_laws(self, mu: Cloud, nu: Cloud) -> None:
        super().update_laws(mu.as_law(), nu.as_law())


DUALS = {"left out": SinkhornDual, "in-sample": InSampleDual}


def oracle(dim: int, epsilon: float, self_terms: str, quick: bool) -> dict[str, Value]:
    rng = np.random.default_rng(dim)
    repetitions = 4 if quick else 96
    noise = rng.normal(size=(repetitions, 256, dim))
    targets = rng.normal(size=(repetitions, 100, dim))

    def gradients(spread: float) -> np.ndarray:
        found = []
        for z, y in zip(noise, targets, strict=True):
            dual = DUALS[self_terms](epsilon)
            dual.update(spread * z, y)
            found.append(((z**2).sum(axis=1) - dim) @ dual.shaping(spread * z) / len(z))
        return np.array(found)

    def gradient(spread: float) -> float:
        return float(gradients(spread).mean())

    low, high = 0.2, 1.5
    if gradient(low) > 0:
        return {"spread": low, "repetitions": repetitions}
    root = float(brentq(gradient, low, high, xtol=1e-3))
    slope = (gradient(root + 0.05) - gradient(root - 0.05)) / 0.1
    error = float(gradients(root).std(ddof=1) / np.sqrt(repetitions) / slope)
    return {"spread": root, "error": error, "repetitions": repetitions}


class OneStep(gym.Env[Any, Any]):
    """An episode is one step, and its last observation is the action."""

    observation_space = spaces.Box(-20.0, 20.0, (DIM,))
    action_space = spaces.Box(-20.0, 20.0, (DIM,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(DIM, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return action.astype(np.float32), 0.0, True, False, {}


def training(start: float, self_terms: str, seed: int, rollout: int, quick: bool) -> dict[str, Value]:
    target = Target(np.random.default_rng(seed).normal(size=(256, DIM)), is_sample=True)
    envs = DummyVecEnv([OneStep] * 8)
    model = WassersteinPPO(
        "MlpPolicy", envs, n_steps=rollout // 8, embedding="final_state", target=target, wasserstein_coef=-1.0,
        normalize_bonus=False, dual=DUALS[self_terms](), policy_kwargs={"log_std_init": np.log(start)}, seed=seed,
    )  # fmt: skip
    model.learn(4_096 if quick else 61_440)
    with th.no_grad():
        actions = model.policy.get_distribution(th.zeros(4096, DIM)).sample().numpy()
    return {"spread": float(actions.std(axis=0).mean())}


def runs(args: argparse.Namespace) -> Iterator[Run]:
    dims = (2,) if args.quick else (1, 2, 4, 8, 16, 70)
    cells = [(0.05, "left out"), (0.2, "left out"), (0.5, "left out"), (0.05, "in-sample")]
    for epsilon, self_terms in cells[:1] if args.quick else cells:
        for dim in dims:
            key = {"part": "oracle", "self_terms": self_terms, "epsilon": epsilon, "dim": dim, "start": "", "seed": ""}
            yield key, partial(oracle, dim, epsilon, self_terms, args.quick)
    for part, rollout, seeds in (("training", 2048, args.seeds), ("training on the window", 256, args.seeds[:1])):
        for self_terms in DUALS:
            for start in (0.5, 2.0):
                for seed in seeds:
                    key = {"part": part, "self_terms": self_terms, "epsilon": 0.05, "dim": DIM, "start": start, "seed": seed}
                    yield key, partial(training, start, self_terms, seed, rollout, args.quick)


if __name__ == "__main__":
    keys = ["part", "self_terms", "epsilon", "dim", "start", "seed"]
    by = ["part", "self_terms", "epsilon", "dim", "start"]
    columns = {name: mean(name) for name in ("spread", "error")}
    sys.exit(Study(__doc__, "shrinkage", keys, ["spread", "error", "repetitions"], runs, by, columns, seeds=3).main())
