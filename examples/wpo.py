"""WPO on Pendulum-v1: an off-policy algorithm whose actions follow the critics' gradient. Draws the learning curve."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch as th
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_wasserstein import WPO

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=6_000)
parser.add_argument("--actor", default="gaussian", choices=["gaussian", "mixture", "particles"])
parser.add_argument("--figure", type=Path, default=Path("runs/wpo.png"))
args = parser.parse_args()
th.set_num_threads(1)

settings = {"learning_rate": 1e-3, "batch_size": 128, "policy_kwargs": {"net_arch": [64, 64]}, "seed": 0}
model = WPO("MlpPolicy", "Pendulum-v1", actor=args.actor, stats_window_size=1000, **settings)
model.learn(args.timesteps)
returns = [episode["r"] for episode in model.ep_info_buffer]
mean, std = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
print(f"{args.timesteps} steps, {args.actor} actor: ten episodes {mean:.0f} ± {std:.0f} (about −140 is solved)")
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(returns, "o-", ms=3)
axis.set(xlabel="episode of training", ylabel="return")
args.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
