"""Draw a policy to a behaviour: of two equally good goals, to the one that a recorded walk goes to; beside plain PPO."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env

import sb3_wasserstein.envs  # noqa: F401 - registers the environment
from sb3_wasserstein import Target, WassersteinPPO, collect_embeddings

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=40_000)
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--figure", type=Path, default=Path("runs/attract.png"))
args = parser.parse_args()
th.set_num_threads(1)

walk = np.linspace([0.0, 0.0], [1.0, 1.0], 17)
target = Target.from_trajectories([walk], "path")  # five positions along the way
settings = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 1.0, "device": "cpu"}
figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharex=True, sharey=True)
for axis, coef in zip(axes, (0.0, -1.0), strict=True):
    for seed in range(args.seeds):
        env = make_vec_env("wasserstein/Goals-v0", n_envs=16, seed=seed)
        model = WassersteinPPO(
            "MlpPolicy", env, embedding="path", target=target, wasserstein_coef=coef, seed=seed, **settings
        ).learn(args.timesteps)
        paths = collect_embeddings(model, env, "path", n_episodes=20, seed=seed).reshape(20, 5, 2)
        right = (paths[:, -1, 0] > 0).mean()
        print(f"λ = {coef:2.0f}, seed {seed}: {right:.0%} end at the right; distance to the walk {model.dual.distance:.2f}")
        axis.plot(*paths.transpose(2, 1, 0), color=f"C{seed}", alpha=0.4)
    axis.plot(*walk.T, "--", color="black", label="the recorded walk")
    axis.scatter([-1, 1], [1, 1], marker="*", s=150, color="gold", edgecolor="black", zorder=3)
    axis.set(title=f"λ = {coef:g}, a colour a seed", aspect="equal")
axes[0].legend()
args.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
