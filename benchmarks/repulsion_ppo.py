"""
Populations of SB3's PPO in the plane: one coefficient and one set of settings for every layout.

    python benchmarks/repulsion_ppo.py --seeds 20               # the named layouts, 7 CPU-minutes a seed; resumes from the CSV
    python benchmarks/repulsion_ppo.py --layouts 20             # random layouts of 2 to 5 goals, drawn from --layout-seed
    python benchmarks/repulsion_ppo.py --seeds 20 --coef 0      # the control: members that do not see each other
    python benchmarks/repulsion_ppo.py --table                  # the table of what the CSV holds, and its verdict

"full" as in repulsion.py. Rows that are there already are not run again; a seed goes through all layouts before the next one.
The inverse reward comes times 15: the spread of an untrained policy's returns is then about that of the negative distance.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from repulsion_plane import HORIZON, LAYOUTS, Layout, outcome, random_layout
from rows import RESULTS, Rows
from stable_baselines3 import PPO

from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.envs import Goals

#: out of 20
ASKED = {"two": 19, "three": 18, "four": 17, "unequal": 17, "wall": 16, "random": 17}
REWARDS = {"negative_distance": 1.0, "inverse": 15.0}
COEF = 3.6
#: the end of repulsion_plane's wall lies on a diagonal, and traps PPO: its mean saturates in the corner of the box
LAYOUTS = {**LAYOUTS, "wall": Layout([(0.0, 1.4)], 2, (((-0.05, 0.35), (0.2, 0.35)),), equal=False)}
#: 96 episodes a rollout
SETTINGS: dict[str, Any] = {
    "n_envs": 16, "n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 1.0, "ent_coef": 0.01,
}  # fmt: skip
ROUND = 96 * 16
#: random layouts from here on were drawn after the last change to the code
LAYOUT_SEED = 20291001


class Scaled(Goals):
    """Goals with the reward in another unit."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, REWARDS[self.reward] * reward, terminated, truncated, info


def path_of(model: PPO, layout: Layout, reward: str) -> tuple[np.ndarray, float]:
    """The path of the mean actions from the origin, and its return."""
    env = Scaled(reward=reward, **layout.env_kwargs())
    env.reset(seed=0)
    env._position = np.zeros(2)
    path, total = [np.zeros(2)], 0.0
    for _ in range(HORIZON):
        action, _ = model.predict(path[-1].astype(np.float32), deterministic=True)
        position, gained, *_ = env.step(action)
        path.append(np.asarray(position, dtype=float))
        total += gained
    return np.stack(path), total


def run(layout: Layout, reward: str, coef: float, seed: int, rounds: int) -> dict[str, float | str]:
    population = Population(
        PPO,
        "MlpPolicy",
        Scaled,
        layout.n_policies,
        wasserstein_coef=coef,
        embedding=StateOccupancy(horizon=HORIZON),
        env_kwargs={"reward": reward, **layout.env_kwargs()},
        seed=seed,
        device="cpu",
        **SETTINGS,
    )
    population.learn(rounds * ROUND)
    found = [path_of(model, layout, reward) for model in population.models]
    full, goals = outcome(layout, np.stack([path for path, _ in found]))
    return {
        "full": str(bool(full)),
        "goals": " ".join(map(str, goals)),
        "returns": " ".join(f"{total:.2f}" for _, total in found),
        "fresh_starts": sum(population.exchange.restarts.values()),
    }


def table(rows: list[dict[str, str]]) -> bool:
    """Print how many populations are full; whether every line holds."""
    groups: dict[tuple[str, str, float], list[dict[str, str]]] = {}
    for row in rows:
        name, _, number = row["layout"].partition("random")
        if number:
            name = "random" if int(number) >= LAYOUT_SEED else "earlier"
        groups.setdefault((name, row["reward"], float(row["coef"])), []).append(row)
    holds = True
    print(f"{'layout':9} {'reward':18} {'λ':>4} {'full':>7} {'fresh starts':>13} {'CPU s':>6}")
    for (name, reward, coef), group in sorted(groups.items()):
        full = sum(row["full"] == "True" for row in group)
        fresh, cpu = (np.mean([float(row[field]) for row in group]) for field in ("fresh_starts", "cpu_s"))
        print(f"{name:9} {reward:18} {coef:4g} {f'{full}/{len(group)}':>7} {fresh:13.1f} {cpu:6.0f}")
        if coef > 0 and name in ASKED:
            holds &= full * 20 >= ASKED[name] * len(group)
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--layouts", type=int, default=0, help="random layouts, one seed and both rewards in turn")
    parser.add_argument("--layout-seed", type=int, default=LAYOUT_SEED)
    parser.add_argument("--rewards", nargs="+", choices=list(REWARDS), default=list(REWARDS))
    parser.add_argument("--coef", type=float, default=COEF)
    parser.add_argument("--rounds", type=int, default=160)
    parser.add_argument("--out", type=Path, default=RESULTS / "repulsion_ppo.csv")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*does not repel.*")
    book = Rows(args.out, ["layout", "reward", "coef", "seed"], ["full", "goals", "returns", "fresh_starts"])
    if args.table:
        return 0 if table(book.rows) else 1
    tasks = [
        (name, layout, reward, seed)
        for seed in range(args.seeds)
        for reward in args.rewards
        for name, layout in LAYOUTS.items()
    ]
    for k in range(args.layouts):
        number = args.layout_seed + k
        tasks.append((f"random{number}", random_layout(number), list(REWARDS)[k % 2], k))
    for name, layout, reward, seed in tasks:
        key = {"layout": name, "reward": reward, "coef": args.coef, "seed": seed}
        book.add(key, partial(run, layout, reward, args.coef, seed, args.rounds))
    return 0 if table(book.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
