"""
A chain of 50 unstable oscillators (100 states): the Wasserstein natural gradient against Adam, plain gradient and SB3.

    python -m benchmarks.flow.oscillators [--only natural adam gradient size ppo sac]

Each row is one training: a method, a rate, β, a seed; the cost at milestones of steps (of one chain, or of the environment),
measured by the same simulation for all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import extremes, mean
from benchmarks._lib.study import Run, Study
from sb3_wasserstein.envs import CoupledOscillators
from sb3_wasserstein.flow import NaturalGradient

MILESTONES = (15_000, 30_000, 45_000, 65_000, 90_000, 120_000, 150_000)
KEYS = ["method", "n", "beta", "rate", "seed"]
RESULTS = ["steps", *(f"at_{m}" for m in MILESTONES), "final", "lqr", "to_115", "cpu_seconds"]
ADAM_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
GRADIENT_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


def riccati(n: int) -> float:
    env = CoupledOscillators(n, 0.0)
    return float(np.trace(env.noise.T @ scipy.linalg.solve_discrete_are(*env.linear_quadratic()) @ env.noise))


def schedule(rate: float) -> Callable[[float], float]:
    """The natural gradient's own schedule, for every method: constant, then to 0 over the second half."""
    return lambda progress_remaining: rate * min(1.0, 2.0 * progress_remaining)


def trained(method: str, n: int, beta: float, rate: float, seed: int, total: int) -> dict[str, Value]:
    """Train with known dynamics; the cost at the milestones, and the first step at 1.15 × LQR."""
    env = CoupledOscillators(n, beta)
    width = 64 if n <= 64 else 128
    learner = NaturalGradient(
        (width, width),
        env.dynamics,
        env.cost,
        noise=env.noise,
        initial=env.initial_std,
        action_low=-np.ones(n),
        action_high=np.ones(n),
        method=method.split("-")[0],
        learning_rate=schedule(rate),
        seed=seed,
    )
    row: dict[str, Value] = {"to_115": ""}
    bound, spent = 1.15 * riccati(n), 0.0
    last, seen = 0, 0

    def look(at) -> None:
        nonlocal last, seen, spent
        clock = time.process_time()
        passed = [m for m in MILESTONES if last < m <= at.num_timesteps]
        if passed or at.num_timesteps - seen >= 5_000:
            cost, seen = at.evaluate(64, 150, 300), at.num_timesteps
            if cost <= bound and row["to_115"] == "":
                row["to_115"] = at.num_timesteps
            for m in passed:
                row[f"at_{m}"] = f"{cost:.5f}"
        last = at.num_timesteps
        spent += time.process_time() - clock

    start = time.process_time()
    learner.learn(total, callback=look)
    row["cpu_seconds"] = f"{time.process_time() - start - spent:.1f}"
    row["steps"] = learner.num_timesteps
    row["final"] = f"{learner.evaluate(256, 300, 1500):.5f}"
    return row


def ergodic_cost(
    model: BaseAlgorithm, env: CoupledOscillators, chains: int = 64, burn_in: int = 150, steps: int = 300
) -> float:
    """The ergodic cost of an SB3 model's mean action, in the same simulation."""
    generator = torch.Generator().manual_seed(0)
    states = env.initial_std * torch.randn((chains, len(env.noise)), generator=generator, dtype=torch.float64)
    noise, total = torch.as_tensor(env.noise), 0.0
    for t in range(burn_in + steps):
        actions = torch.as_tensor(model.predict(states.numpy().astype(np.float32), deterministic=True)[0]).double()
        if t >= burn_in:
            total += float(env.cost(states, actions).mean())
        shock = torch.randn((chains, noise.shape[1]), generator=generator, dtype=torch.float64) @ noise.T
        states = (env.dynamics(states, actions) + shock).clamp(-env.state_limit, env.state_limit)
    return total / steps


def sb3(method: str, n: int, beta: float, seed: int, total: int) -> dict[str, Value]:
    env = CoupledOscillators(n, beta)
    row: dict[str, Value] = {"to_115": ""}

    class Look(BaseCallback):
        last = 0

        def _on_step(self) -> bool:
            for m in MILESTONES:
                if self.last < m <= self.num_timesteps:
                    row[f"at_{m}"] = f"{ergodic_cost(self.model, env):.5f}"
            self.last = self.num_timesteps
            return True

    start = time.process_time()
    vec = make_vec_env(lambda: CoupledOscillators(n, beta), 8, seed=seed)
    if method == "ppo":
        # The noise of a new Gaussian policy (standard deviation 1) is ten times what a good action is.
        kwargs: dict[str, Any] = {"n_steps": 256, "batch_size": 256, "learning_rate": 3e-4, "gamma": 0.98}
        narrow = {"net_arch": [64, 64], "log_std_init": -2.0}
        model: BaseAlgorithm = PPO("MlpPolicy", vec, policy_kwargs=narrow, seed=seed, **kwargs)
    else:
        # Two updates for eight steps: one for each would take more than an hour.
        nets = {"net_arch": [64, 64], "optimizer_kwargs": {"fused": True}}
        model = SAC("MlpPolicy", vec, policy_kwargs=nets, gradient_steps=2, gamma=0.98, seed=seed)
    model.learn(total, callback=Look())
    row |= {"steps": model.num_timesteps, "cpu_seconds": f"{time.process_time() - start:.1f}"}
    row["final"] = f"{ergodic_cost(model, env, 256, 300, 1500):.5f}"
    return row


def study(method: str, n: int, beta: float, rate: float, seed: int, total: int) -> dict[str, Value]:
    found = sb3(method, n, beta, seed, total) if method in ("ppo", "sac") else trained(method, n, beta, rate, seed, total)
    return {**found, "lqr": f"{riccati(n):.5f}"}


def plan(only: list[str], quick: bool) -> Iterator[tuple[str, int, float, float, int, int]]:
    """(method, n, β, rate, seed, steps) of every row."""
    seeds, n, total = (range(1), 10, 20_000) if quick else (range(5), 50, 150_000)
    if "natural" in only:
        yield from (("natural", n, beta, 0.5, seed, total) for beta in (0.0, 1.0) for seed in seeds)
    if "adam" in only:
        rates = ADAM_RATES[3:4] if quick else ADAM_RATES
        yield from (("adam", n, 0.0, rate, seed, total) for rate in rates for seed in seeds)
    if "gradient" in only:
        rates = GRADIENT_RATES[2:3] if quick else GRADIENT_RATES
        yield from (("gradient", n, 0.0, rate, 0, total) for rate in rates)
        yield ("gradient-long", n, 0.0, 0.1, 0, total if quick else 5 * total)
    if "size" in only and not quick:
        yield ("natural", 100, 0.0, 0.5, 0, total)
    for method in ("ppo", "sac"):
        if method in only:
            yield (method, n, 0.0, 3e-4, 0, 2_000 if quick else 400_000)


METHODS = ["natural", "adam", "gradient", "size", "ppo", "sac"]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for method, n, beta, rate, seed, total in plan(args.only, args.quick):
        key = dict(zip(KEYS, (method, n, beta, rate, seed), strict=True))
        yield key, partial(study, method, n, beta, rate, seed, total)


if __name__ == "__main__":
    columns = {"J": extremes("final"), "steps to 1.15 LQR": mean("to_115"), "CPU s": mean("cpu_seconds")}
    sys.exit(Study(__doc__, "oscillators", KEYS, RESULTS, runs, KEYS[:4], columns, options=options).main())
