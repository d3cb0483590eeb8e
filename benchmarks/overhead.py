"""
What Wasserstein regularisation costs: WassersteinPPO and WassersteinA2C against their parents, with a full window.

Two measures of the same thing. Attribution: CPU time inside our code over the rest of one training. Pairs: parent and ours in
turns, short segments, ratio of CPU times (with several threads, of wall-clock times); its noise is the machine's. λ is tiny,
so that both walk the same way: costs are those of any λ ≠ 0. "λ = 0" measures and logs the distance to a target, "no target"
is what a script gets that only changes the class's name.

    python benchmarks/overhead.py [--quick] [--out FILE] [--algo ppo a2c] [--env CartPole-v1 …]
    python benchmarks/overhead.py --algo attraction --env wasserstein/HillyGrid-v0    # S1 §4.1, as in attraction.py
"""

from __future__ import annotations

import argparse
import csv
import functools
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
from attraction import PPO as ATTRACTION
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.recording import Episode
from sb3_wasserstein.recording.recorder import Recorder
from sb3_wasserstein.regularised.callback import DualCallback

#: (parent, ours, environments, arguments, steps of a segment): the algorithms' defaults, A2C on eight environments
ALGORITHMS = {
    "ppo": (PPO, WassersteinPPO, 1, {}, 2048),
    "a2c": (A2C, WassersteinA2C, 8, {}, 4000),
    "attraction": (
        PPO,
        WassersteinPPO,
        16,
        {**ATTRACTION, "vf_coef": 1e-3, "gamma": 1.0, "learning_rate": 3e-3},
        16 * 96 * 10,
    ),
}
ENVIRONMENTS = ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"]
SETTINGS = {"λ ≠ 0": {"wasserstein_coef": -1e-9}, "λ = 0": {"wasserstein_coef": 0.0}, "no target": {}}
N_TARGET = 100


class Clock:
    """
    CPU time spent in functions, each without the ones inside it that are timed too. A call of a microsecond is shorter than
    asking for the CPU time: there the wall clock is read, and the longest tenth, when others had the processor, is left out.
    What reading a clock takes is measured on a function that does nothing, and taken off.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.short: dict[str, list[float]] = {}
        self._inner = [0.0]
        #: of each function: how many calls of the timed ones lie in it
        self.holds: dict[str, int] = {}
        self._calls = 0

    def timed(self, name, function):
        def inner(*args, **kwargs):
            self._calls += 1
            calls = self._calls
            begin = time.thread_time()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                total = time.thread_time() - begin
                self.spent[name] = self.spent.get(name, 0.0) + total - self._inner.pop()
                self.calls[name] = self.calls.get(name, 0) + 1
                self.holds[name] = self.holds.get(name, 0) + self._calls - calls
                self._inner[-1] += total

        return functools.wraps(function)(inner)

    def timed_short(self, name, function):
        durations = self.short.setdefault(name, [])

        def inner(*args, **kwargs):
            begin = time.perf_counter()
            function(*args, **kwargs)
            durations.append(time.perf_counter() - begin)

        return functools.wraps(function)(inner)

    def seconds(self) -> dict[str, float]:
        """Of each function, less what the clocks took: the reading inside each call, and the calls around those inside it."""
        inside, around, short = _cost_of_timing()
        spent = self._seconds()
        for name, calls in self.calls.items():
            spent[name] -= inside * calls + around * self.holds[name]
        for name, found in self.short.items():
            if found:
                spent[name] -= short * len(found)
        return spent

    def _seconds(self) -> dict[str, float]:
        trimmed = {
            name: np.sort(found)[: -(-9 * len(found) // 10)].mean() * len(found) for name, found in self.short.items() if found
        }
        return {**self.spent, **{name: float(value) for name, value in trimmed.items()}}


def _cost_of_timing(n: int = 20_000) -> tuple[float, float, float]:
    """What a timed function that does nothing shows; what it takes besides; what one timed by the wall clock shows."""
    clock = Clock()
    timed, short = clock.timed("timed", lambda: None), clock.timed_short("short", lambda: None)
    begin = time.thread_time()
    for _ in range(n):
        timed()
    total = time.thread_time() - begin
    for _ in range(n):
        short()
    found = clock._seconds()
    return found["timed"] / n, (total - found["timed"]) / n, found["short"] / n


#: what of ours is called in a training
PARTS = {
    "record": (DualCallback, "record"),
    "embed": (Recorder, "flush"),
    "solve": (DualCallback, "_solve"),
    "evaluate": (DualCallback, "shaping"),
    "window": (DualCallback, "end_rollout"),
    "bonus": (WassersteinPPO, "_add_bonus"),
}


def best_path(embedding) -> Target:
    """The target of S1 §4.1: one point."""
    return Target.from_trajectories([gym.make("wasserstein/HillyGrid-v0").unwrapped.optimal_path], embedding)


def made(cls, env_id, n_envs, kwargs, setting=None):
    env = make_vec_env(env_id, n_envs, seed=0)
    rng = np.random.default_rng(0)
    ours = {} if setting is None else dict(SETTINGS[setting])
    hilly = env_id == "wasserstein/HillyGrid-v0"
    dim = 70 if hilly else env.observation_space.shape[0]
    if hilly and setting is not None:
        ours["embedding"] = VisitHistogram(shape=(7, 10), smoothing=1.0)
    if "wasserstein_coef" in ours:
        ours["target"] = best_path(ours["embedding"]) if hilly else rng.normal(size=(N_TARGET, dim))
    model = cls("MlpPolicy", env, seed=0, device="cpu", **kwargs, **ours)
    if "target" in ours:
        # A full window, as late in a training: its size is what solving and evaluating cost.
        n = model.episode_window
        points = (rng.dirichlet(np.ones(dim), n) if hilly else rng.normal(size=(n, dim)))[:, None]
        model.dual_callback.window.extend(Episode(0, 0, point, float(i % 7), 10) for i, point in enumerate(points))
        model.dual_callback._fresh = len(points)
    return model


def segment(model, steps) -> float:
    # Several threads spin while they wait: their CPU time is not what anybody waits for.
    clock = time.process_time if th.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    model.learn(steps, reset_num_timesteps=False)
    return clock() - begin


def attribution(ours, env_id, n_envs, kwargs, setting, steps) -> dict[str, float]:
    clock = Clock()
    originals = {name: getattr(cls, attribute) for name, (cls, attribute) in PARTS.items()}
    model = made(ours, env_id, n_envs, kwargs, setting)
    segment(model, steps)
    try:
        for name, (_, attribute) in PARTS.items():
            owner = ours if name == "bonus" else PARTS[name][0]
            timed = clock.timed_short if name == "record" else clock.timed
            setattr(owner, attribute, timed(name, originals[name]))
        total = segment(model, steps)
    finally:
        for name, (cls, attribute) in PARTS.items():
            if name == "bonus":
                delattr(ours, attribute)
            else:
                setattr(cls, attribute, originals[name])
    seconds = clock.seconds()
    rest = total - sum(seconds.values())
    shares = {name: seconds.get(name, 0.0) / rest for name in PARTS}
    return {"attribution": 1.0 / (1.0 + sum(shares.values())), **shares}


def pairs(parent, ours, env_id, n_envs, kwargs, setting, steps, n_pairs) -> list[float]:
    plain, model = made(parent, env_id, n_envs, kwargs), made(ours, env_id, n_envs, kwargs, setting)
    segment(plain, steps)
    segment(model, steps)
    ratios = []
    for turn in range(n_pairs):
        first, second = (plain, model) if turn % 2 else (model, plain)
        times = {first: segment(first, steps), second: segment(second, steps)}
        ratios.append(times[plain] / times[model])
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: two pairs, short segments")
    parser.add_argument("--algo", nargs="+", default=["ppo", "a2c"], choices=list(ALGORITHMS))
    parser.add_argument("--env", nargs="+", default=ENVIRONMENTS)
    parser.add_argument("--setting", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch; 0: its own number, on a machine with nothing else to do"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.threads:
        th.set_num_threads(args.threads)
    rows = []
    for algo in args.algo:
        parent, ours, n_envs, kwargs, steps = ALGORITHMS[algo]
        for env_id in args.env:
            if env_id not in gym.registry:
                print(f"{env_id} is not registered")
                continue
            for setting in args.setting:
                n_pairs = 2 if args.quick else args.pairs
                length = 2048 if args.quick else steps
                shares = attribution(ours, env_id, n_envs, kwargs, setting, 4 * length)
                ratios = pairs(parent, ours, env_id, n_envs, kwargs, setting, length, n_pairs)
                low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                row = {"algo": algo, "env": env_id, "setting": setting, "threads": th.get_num_threads()}
                row |= {name: round(value, 4) for name, value in shares.items()}
                row |= {"pairs": n_pairs, "median": round(median, 4), "low": round(low, 4), "high": round(high, 4)}
                rows.append(row)
                parts = "  ".join(f"{name} {100 * shares[name]:.2f} %" for name in PARTS)
                print(
                    f"{algo} {env_id:15s} {setting:9s} attribution {shares['attribution']:.4f}   "
                    f"pairs {median:.3f} [{low:.3f}, {high:.3f}]   {parts}",
                    flush=True,
                )
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
