"""PPO and WassersteinPPO side by side on a hilly grid. WassersteinPPO is drawn to the visits of the cheapest path."""

import argparse
from pathlib import Path

import numpy as np
import torch as th
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import DualCallback, Target, WassersteinPPO, behaviour_distance, collect_embeddings, envs
from sb3_wasserstein.embeddings import FunctionEmbedding, VisitHistogram
from sb3_wasserstein.figures import plot_grid_paths


class EpisodesToOptimum(BaseCallback):
    """Counts the episodes until the mean return of the last hundred is within 10 % of the optimum."""

    episodes, answer = 0, "never"

    def _on_step(self):
        self.episodes += sum(self.locals["dones"])
        returns = [episode["r"] for episode in self.model.ep_info_buffer]
        if self.answer == "never" and len(returns) == 100 and np.mean(returns) >= 1.1 * grid.optimal_return:
            self.answer = str(self.episodes)
        return True


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=120_000)
parser.add_argument("--heights", default="deceptive", choices=list(envs.HEIGHT_MAPS))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("runs/demo"))
args = parser.parse_args()
th.set_num_threads(1)  # small networks: more threads only wait for each other
env = make_vec_env("wasserstein/HillyGrid-v0", n_envs=16, seed=args.seed, env_kwargs={"heights": args.heights})
grid = env.envs[0].unwrapped
embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
target = Target.from_trajectories([grid.optimal_path], embedding)
settings = {"n_steps": 96, "batch_size": 384, "n_epochs": 5, "gamma": 1.0, "learning_rate": lambda left: 3e-3 * left}
# Returns are in the hundreds: at SB3's 0.5 the value loss drowns the policy's gradient, for both alike.
settings.update(vf_coef=1e-3, ent_coef=1e-2, seed=args.seed, device="cpu", tensorboard_log=str(args.out))
attracted = WassersteinPPO("MlpPolicy", env, embedding=embedding, target=target, wasserstein_coef=-1.0, **settings)

table, paths = Table("", "mean return", "optimum", "distance to target", "episodes to the optimum"), {}
for name, model in {"PPO": PPO("MlpPolicy", env, **settings), "WassersteinPPO": attracted}.items():
    counter, walks = EpisodesToOptimum(), []
    measure = [DualCallback(embedding, target)] if name == "PPO" else []
    model.learn(args.timesteps, [counter, *measure], tb_log_name=name, progress_bar=True)
    record = FunctionEmbedding(lambda t, walks=walks: (walks.append(t.observations), t.rewards.sum())[1:], dim=1)
    returns = collect_embeddings(model, env, record, n_episodes=100, seed=args.seed)
    distance = behaviour_distance(Target.from_trajectories(walks, embedding), target)
    table.add_row(name, f"{returns.mean():.1f}", f"{grid.optimal_return:.0f}", f"{distance:.3f}", counter.answer)
    paths[name] = walks[:20]
Console().print(table)
plot_grid_paths(grid.heights, paths, grid.optimal_path).savefig(args.out / "paths.png", dpi=150)
print(f"Both policies' paths: {args.out / 'paths.png'}\nHow it went:          .venv/bin/tensorboard --logdir {args.out}")
