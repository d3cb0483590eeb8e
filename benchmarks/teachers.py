"""
Attraction to another agent on HillyGrid (S1 §4.1 with a target that is not one's own optimum), and past it.

    python benchmarks/teachers.py --control       # about 20 CPU-minutes; resumes from the CSV
    python benchmarks/teachers.py --table         # the table of what the CSV holds, and its verdict

The teacher sees another height map than the one that the pupil walks on, and takes the cheapest way on its own: "careless"
takes heights for a fifth of what they are (9 for 1), "afraid" for their squares, "mistaken" adds noise of 0 to 4 to each.
"careless_ppo" is a WassersteinPPO model that was trained on the careless map, and a target through ``Target.from_policy``: 100
episodes, noise and all. One schedule: λ = −1, falling to 0 in a straight line until 35 % of the training. Control: λ = 0.
"teacher" is the teacher's return on the pupil's map, "greedy" the final deterministic policy's, "mean" that of the last 100
episodes with their noise.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch as th
from attraction import PPO, maze
from rows import RESULTS, Rows
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein import Target, WassersteinPPO, collect_embeddings
from sb3_wasserstein.embeddings import FunctionEmbedding, VisitHistogram
from sb3_wasserstein.envs import HEIGHT_MAPS, HillyGrid

RETURN = FunctionEmbedding(lambda trajectory: [trajectory.rewards.sum()], 1)
STEPS = 250_000
FADES = 0.35
#: in cells; a blurred way still leads to the goal, and leaves it open which of the cells nearby to take
BLUR = 2.0
CASES = [
    ("careless", "deceptive"),
    ("careless", "serpent"),
    ("afraid", "zigzag"),
    ("mistaken", "deceptive"),
    ("careless_ppo", "deceptive"),
]
CONTROL_SEEDS = 3


def fading(progress_remaining: float) -> float:
    """The schedule: −1 at the start, 0 from 35 % of the training on."""
    return -max(0.0, 1.0 - (1.0 - progress_remaining) / FADES)


def venv(heights: np.ndarray, seed: int = 0) -> VecEnv:
    return make_vec_env("wasserstein/HillyGrid-v0", 16, seed=seed, env_kwargs={"heights": heights})


def pupil(
    heights: np.ndarray,
    target: Target,
    coef: float | Schedule,
    seed: int,
    steps: int,
    credit: str | None = None,
    callback: BaseCallback | None = None,
    blur: float = BLUR,
) -> WassersteinPPO:
    """WassersteinPPO with the settings of ``attraction.py``."""
    model = WassersteinPPO(
        "MlpPolicy",
        venv(heights, seed),
        embedding=embedding_of(heights, blur),
        target=target,
        wasserstein_coef=coef,
        credit=credit,
        learning_rate=lambda left: 3e-3 * left,
        gamma=1.0,
        vf_coef=1e-3,
        seed=seed,
        device="cpu",
        **PPO,
    )
    return model.learn(steps, callback)


def embedding_of(heights: np.ndarray, blur: float = BLUR) -> VisitHistogram:
    return VisitHistogram(shape=heights.shape, smoothing=blur)


def outcome(model: WassersteinPPO, heights: np.ndarray) -> dict[str, float]:
    """Returns of the final policy: without noise, and of the last 100 episodes of training."""
    greedy = collect_embeddings(model, venv(heights), RETURN, n_episodes=1, deterministic=True)
    return {"greedy": float(greedy[0, 0]), "mean": float(model.dual_callback.window.returns[-100:].mean())}


def walked(heights: np.ndarray, path: np.ndarray) -> float:
    """The return of a path that arrives."""
    return -float((1 + heights.ravel()[path[1:]]).sum())


def seen_by(teacher: str, heights: np.ndarray) -> np.ndarray:
    """The teacher's own map."""
    if teacher == "mistaken":
        return heights + np.random.default_rng(7).integers(0, 5, heights.shape)
    return heights**2 if teacher == "afraid" else heights // 5


@cache
def lesson(teacher: str, name: str, steps: int) -> tuple[float, Target]:
    """The teacher's return on the pupil's map, and its behaviour."""
    heights = maps()[name]
    own = seen_by(teacher, heights)
    path = HillyGrid(own).optimal_path
    if not teacher.endswith("_ppo"):
        return walked(heights, path), Target.from_trajectories([path], embedding_of(heights))
    expert = Target.from_trajectories([path], embedding_of(heights))
    model = pupil(own, expert, -1.0, 1000, steps)
    target = Target.from_policy(model, venv(heights), embedding_of(heights), n_episodes=100, seed=1000)
    return float(collect_embeddings(model, venv(heights), RETURN, 100, seed=1000).mean()), target


@cache
def maps() -> dict[str, np.ndarray]:
    return {**HEIGHT_MAPS, **{f"maze{seed}": maze(seed) for seed in range(7000, 7010)}}


def study(teacher: str, name: str, coef: float, seed: int, steps: int) -> dict[str, float]:
    value, target = lesson(teacher, name, steps)
    heights = maps()[name]
    model = pupil(heights, target, fading if coef else 0.0, seed, steps)
    return {"teacher": value, **outcome(model, heights), "optimum": HillyGrid(heights).optimal_return}


def table(rows: list[dict[str, str]]) -> bool:
    """Print how many seeds reach and pass their teacher; whether the lines hold for λ < 0."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        name = "mazes" if row["map"].startswith("maze") else row["map"]
        groups.setdefault((row["teacher_kind"], name, row["coef"]), []).append(row)
    holds = True
    columns = " ".join(f"{name:>8}" for name in ("teacher", "greedy", "mean", "optimum", "≥", ">", "optimal"))
    print(f"{'teacher':14} {'map':10} {'λ':>5} {columns}")
    for (kind, name, coef), group in sorted(groups.items()):
        teacher, greedy, mean, optimum = (
            np.array([float(row[field]) for row in group]) for field in ("teacher", "greedy", "mean", "optimum")
        )
        n, short = len(group), teacher < optimum
        reached, passed = int((greedy >= teacher).sum()), int((greedy > teacher).sum())
        means = " ".join(f"{values.mean():8.1f}" for values in (teacher, greedy, mean, optimum))
        counts = (f"{reached}/{n}", f"{passed}/{int(short.sum())}", f"{int((greedy == optimum).sum())}/{n}")
        print(f"{kind:14} {name:10} {coef:>5} {means} {' '.join(f'{count:>8}' for count in counts)}")
        if float(coef) < 0:
            holds &= reached >= 0.9 * n and passed >= 0.5 * short.sum()
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="other than 0: without the mazes")
    parser.add_argument("--control", action="store_true", help="the runs at λ = 0 as well")
    parser.add_argument("--out", type=Path, default=RESULTS / "teachers.csv")
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = Rows(
        None if args.quick else args.out, ["teacher_kind", "map", "coef", "seed"], ["teacher", "greedy", "mean", "optimum"]
    )
    if args.table:
        return 0 if table(rows.rows) else 1
    steps = 3_000 if args.quick else STEPS
    # One seed a maze: the mazes are the repetitions. The control does not know its teacher.
    mazes = [] if args.first_seed else [("careless", name) for name in maps() if name.startswith("maze")]
    runs = [(case, -1.0, seed) for seed in range(args.first_seed, args.first_seed + args.seeds) for case in CASES]
    runs += [(case, -1.0, 0) for case in mazes]
    if args.control:
        runs += [(case, 0.0, seed) for seed in range(CONTROL_SEEDS) for case in CASES[:3]] + [(case, 0.0, 0) for case in mazes]
    if args.quick:
        runs = [(case, -1.0, 0) for case in CASES]
    for (kind, name), coef, seed in runs:
        key = {"teacher_kind": kind, "map": name, "coef": coef, "seed": seed}
        rows.add(key, partial(study, kind, name, coef, seed, steps))
    return 0 if table(rows.rows) or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
