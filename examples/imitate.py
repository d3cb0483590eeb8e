"""Imitate from states alone, without actions and without a reward: five recorded walks in the plane."""

import argparse
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import ImitationPPO, behaviour_distance, collect_embeddings
from sb3_wasserstein.figures import plot_behaviour

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=60_000)
parser.add_argument("--figure", type=Path, default=Path("runs/imitate.png"))
args = parser.parse_args()
th.set_num_threads(1)

way = np.linspace([0.0, 0.0], [-1.0, 1.0], 15)[[*range(15), 14, 14]]
walks = [way + np.random.default_rng(k).normal(0, 0.03, way.shape) for k in range(5)]

env = make_vec_env("wasserstein/Goals-v0", n_envs=16, seed=0)
model = ImitationPPO("MlpPolicy", env, walks, seed=0, device="cpu")
before = behaviour_distance(collect_embeddings(model, env, model.embedding, 50, seed=0), model.target)
model.learn(args.timesteps)
states = collect_embeddings(model, env, model.embedding, 50, seed=0)
print(f"distance to the recordings: {before:.3f} before, {behaviour_distance(states, model.target):.3f} after")
args.figure.parent.mkdir(parents=True, exist_ok=True)
plot_behaviour(states, model.target.points, model.dual.shaping).savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
