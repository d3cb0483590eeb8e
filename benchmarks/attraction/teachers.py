"""
Attraction to another agent on HillyGrid, and past it: a target that is not one's own optimum.

    python -m benchmarks.attraction.teachers --control      # about 20 CPU-minutes

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
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv

from benchmarks._lib.returns import RETURN, last_return
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import count, mean, middle
from benchmarks._lib.study import Run, Study
from benchmarks.attraction.hilly_grid import PPO, maze
from benchmarks.claims import mazes_as_one, number, optimal
from sb3_wasserstein import Target, WassersteinPPO, collect_embeddings
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HEIGHT_MAPS, HillyGrid

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
    """WassersteinPPO with the settings of ``hilly_grid.py``."""
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


def outcome(model: WassersteinPPO, heights: np.ndarray) -> dict[str, Value]:
    """Returns of the final policy: without noise, and of the last 100 episodes of training."""
    greedy = collect_embeddings(model, venv(heights), RETURN, n_episodes=1, deterministic=True)
    return {"greedy": float(greedy[0, 0]), "mean": last_return(model)}


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


def study(teacher: str, name: str, coef: float, seed: int, steps: int) -> dict[str, Value]:
    value, target = lesson(teacher, name, steps)
    heights = maps()[name]
    model = pupil(heights, target, fading if coef else 0.0, seed, steps)
    return {"teacher": value, **outcome(model, heights), "optimum": HillyGrid(heights).optimal_return}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--control", action="store_true", help="the runs at λ = 0 as well")


def runs(args: argparse.Namespace) -> Iterator[Run]:
    found = [(case, -1.0, seed) for seed in args.seeds for case in CASES]
    if not args.quick and not args.first_seed:
        # One seed a maze: the mazes are the repetitions. The control does not know its teacher.
        mazes = [("careless", name) for name in maps() if name.startswith("maze")]
        found += [(case, -1.0, 0) for case in mazes]
        if args.control:
            found += [(case, 0.0, seed) for seed in range(3) for case in CASES[:3]] + [(case, 0.0, 0) for case in mazes]
    for (kind, name), coef, seed in found:
        key = {"teacher_kind": kind, "map": name, "coef": coef, "seed": seed}
        yield key, partial(study, kind, name, coef, seed, 3_000 if args.quick else STEPS)


if __name__ == "__main__":
    columns = {
        "teacher": mean("teacher"), "greedy": middle("greedy"), "optimum": mean("optimum"), "optimal": count(optimal),
        "at least the teacher's": count(lambda row: number(row, "greedy") >= number(row, "teacher")),
        "more": count(lambda row: number(row, "greedy") > number(row, "teacher")),
    }  # fmt: skip
    keys, results = ["teacher_kind", "map", "coef", "seed"], ["teacher", "greedy", "mean", "optimum"]
    by = ["teacher_kind", "map", "coef"]
    sys.exit(Study(__doc__, "teachers", keys, results, runs, by, columns, 10, options, mazes_as_one).main())
