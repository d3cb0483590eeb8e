"""Imitate from states alone, with the reward switched off: five recorded walks in the plane, and the law of their states."""

import argparse
from pathlib import Path

import numpy as np
import torch as th
from gymnasium.wrappers import TransformReward
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinPPO, behaviour_distance, collect_embeddings, envs
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.figures import plot_behaviour

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=60_000)
parser.add_argument("--figure", type=Path, default=Path("runs/imitate.png"))
args = parser.parse_args()
th.set_num_threads(1)

way = np.linspace([0.0, 0.0], [-1.0, 1.0], 15)[[*range(15), 14, 14]]
walks = [way + np.random.default_rng(k).normal(0, 0.03, way.shape) for k in range(5)]
embedding = StateOccupancy(horizon=16)
target = Target.from_trajectories(walks, embedding)

env = make_vec_env(lambda: TransformReward(envs.Goals(), lambda reward: 0.0), n_envs=16, seed=0)
settings = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 0.98, "seed": 0, "device": "cpu"}
cost = {"cost": SaturatingCost(), "debias": False}
model = WassersteinPPO(
    "MlpPolicy", env, embedding=embedding, target=target, wasserstein_coef=-10.0, dual_kwargs=cost, **settings
)
before = behaviour_distance(collect_embeddings(model, env, embedding, 50, seed=0), target)
model.learn(args.timesteps)
states = collect_embeddings(model, env, embedding, 50, seed=0)
print(f"distance to the recordings: {before:.3f} before, {behaviour_distance(states, target):.3f} after")
args.figure.parent.mkdir(parents=True, exist_ok=True)
plot_behaviour(states, target.points, model.dual.shaping).savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
