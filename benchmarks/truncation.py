"""
What SB3's bootstrapping at a time limit does to a bonus that the critic has learnt, on Goals-v0 (16 steps, truncated).

    python benchmarks/truncation.py               # 8 runs, about a CPU-minute

Attraction (λ = −1, path, terminal credit) to the straight way to one of two goals that pay alike. "corrected" is the package
as it is; "bootstrapped" leaves in V(s_T) what V has learnt of the bonus. "value" is V's mean over the last rollout, the
environment's own reward included; "distance" the Sinkhorn divergence to the target, "return" the last 100 episodes' mean.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch as th
from rows import RESULTS, Rows
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.embeddings import Path as PathEmbedding
from sb3_wasserstein.envs import Goals


class Bootstrapped(WassersteinPPO):
    """The package without its correction: the estimate of what V holds stays at zero."""

    @property
    def bonus_to_go(self) -> float:
        return 0.0

    @bonus_to_go.setter
    def bonus_to_go(self, value: float) -> None:
        pass


def study(method: str, gamma: float, seed: int) -> dict[str, float]:
    way = np.linspace([0.0, 0.0], [-1.0, 1.0], 17)
    embedding = PathEmbedding()
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
    ).learn(40_960)
    window = model.dual_callback.window
    return {
        "value": float(model.rollout_buffer.values.mean()),
        "distance": float(model.dual.distance),
        "return": float(window.returns[-100:].mean()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "truncation.csv")
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = Rows(args.out, ["method", "gamma", "seed"], ["value", "distance", "return"])
    for seed in range(args.seeds):
        for gamma in (0.99, 1.0):
            for method in ("corrected", "bootstrapped"):
                rows.add({"method": method, "gamma": gamma, "seed": seed}, partial(study, method, gamma, seed))
    for gamma in (0.99, 1.0):
        for method in ("corrected", "bootstrapped"):
            group = rows.where(method=method, gamma=gamma)
            means = {name: np.mean([float(row[name]) for row in group]) for name in ("value", "distance", "return")}
            print(f"{method:13} γ = {gamma}: " + ", ".join(f"{name} {value:.2f}" for name, value in means.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
