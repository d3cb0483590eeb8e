"""
What SB3's bootstrapping at a time limit does to a bonus that the critic has learnt, on Goals-v0 (16 steps, truncated).

    python -m benchmarks.attraction.truncation      # 8 runs, about a CPU-minute

Attraction (λ = −1, path, terminal credit) to the straight way to one of two goals that pay alike. "corrected" is the package
as it is; "bootstrapped" leaves in V(s_T) what V has learnt of the bonus. "value" is V's mean over the last rollout, the
environment's own reward included; "distance" the Sinkhorn divergence to the target, "return" the last 100 episodes' mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.returns import last_return
from benchmarks._lib.rows import Value
from benchmarks._lib.statistics import mean
from benchmarks._lib.study import Run, Study
from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.embeddings import Path
from sb3_wasserstein.envs import Goals


class Bootstrapped(WassersteinPPO):
    """The package without its correction: the estimate of what V holds stays at zero."""

    @property
    def bonus_to_go(self) -> float:
        return 0.0

    @bonus_to_go.setter
    def bonus_to_go(self, value: float) -> None:
        pass


def study(method: str, gamma: float, seed: int, steps: int) -> dict[str, Value]:
    way = np.linspace([0.0, 0.0], [-1.0, 1.0], 17)
    embedding = Path()
    cls = Bootstrapped if method == "bootstrapped" else WassersteinPPO
    model = cls(
        "MlpPolicy",
        make_vec_env(Goals, 8, seed=seed),
        embedding=embedding,
        target=Target.from_trajectories([way], embedding),
        wasserstein_coef=-1.0,
        credit="terminal",
        n_steps=128,
        batch_size=256,
        learning_rate=1e-3,
        gamma=gamma,
        seed=seed,
        device="cpu",
    ).learn(steps)
    return {
        "value": float(model.rollout_buffer.values.mean()),
        "distance": float(model.dual.distance),
        "return": last_return(model),
    }


def runs(args: argparse.Namespace) -> Iterator[Run]:
    for seed, gamma, method in product(args.seeds, (0.99, 1.0), ("corrected", "bootstrapped")):
        steps = 2_048 if args.quick else 40_960
        yield {"method": method, "gamma": gamma, "seed": seed}, partial(study, method, gamma, seed, steps)


if __name__ == "__main__":
    columns = {name: mean(name) for name in ("value", "distance", "return")}
    keys = ["method", "gamma", "seed"]
    sys.exit(Study(__doc__, "truncation", keys, list(columns), runs, ["gamma", "method"], columns, seeds=2).main())
