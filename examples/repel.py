"""A population: one policy for each of several goals in the plane, none of which is told which is its own."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch as th
from stable_baselines3 import PPO

from sb3_wasserstein import Population, envs
from sb3_wasserstein.embeddings import StateOccupancy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=245_760, help="of each policy")
parser.add_argument("--goals", type=int, default=3)
parser.add_argument("--figure", type=Path, default=Path("runs/repel.png"))
args = parser.parse_args()
th.set_num_threads(1)

angles = np.pi / 2 + 2 * np.pi * np.arange(args.goals) / args.goals
goals = 1.4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
settings = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "learning_rate": 1e-3, "gamma": 1.0, "ent_coef": 0.01}
population = Population(
    PPO,
    "MlpPolicy",
    envs.Goals,
    args.goals,
    wasserstein_coef=3.6,
    embedding=StateOccupancy(horizon=16),
    n_envs=16,
    env_kwargs={"goals": goals},
    seed=0,
    device="cpu",
    **settings,
).learn(args.timesteps)

figure, axis = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
axis.scatter(*goals.T, marker="*", s=200, color="gold", edgecolor="black", zorder=3)
reached = []
for number, model in enumerate(population.models):
    path = [np.zeros(2, np.float32)]
    for _ in range(16):
        action = model.predict(path[-1], deterministic=True)[0]
        path.append(path[-1] + 0.1 * action / max(1.0, np.linalg.norm(action)))
    axis.plot(*np.transpose(path), color=f"C{number}", lw=2)
    apart = np.linalg.norm(goals[:, None] - np.array(path), axis=-1).min(axis=1)
    reached.append(int(apart.argmin()) if apart.min() < 0.2 else None)
    print(f"policy {number}: goal {reached[-1]}, {apart.min():.2f} from it")
print(f"distances between the behaviours:\n{population.distances.round(2)}")
print(f"{len(set(reached) - {None})} of {args.goals} goals are somebody's")
axis.set(aspect="equal", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
args.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
