"""
A box in the way, with two sides to pass on: a Gaussian policy ends up on one of them, a mixture and particles keep both.

    python examples/flow_wall.py [--quick] [--figure flow_wall.png]
"""

import argparse
from itertools import pairwise

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
from stable_baselines3.common.env_util import make_vec_env

import sb3_wasserstein.envs  # noqa: F401 (registers Goals-v0)
from sb3_wasserstein import WPO

BASE = {"learning_rate": 3e-3, "batch_size": 128, "gamma": 0.9, "tau": 0.02, "ent_coef": "auto_0.2"}
MIXTURE = {"n_components": 16, "max_std": 0.3, "min_weight": 1 / 16}
ACTORS = {"gaussian": {}, "mixture": MIXTURE, "particles": {"bandwidth": 0.2}}
GOAL = {"goals": [(0.0, 1.2)], "horizon": 8, "step": 1.0, "reward": "inverse"}
BOX = np.array([(-0.5, 0.3), (0.5, 0.3), (0.5, 0.7), (-0.5, 0.7), (-0.5, 0.3)])
BARS = {None: [], "left": [((-9.0, 0.3), (-0.5, 0.3))], "right": [((0.5, 0.3), (9.0, 0.3))]}
TASKS = {side: {**GOAL, "walls": [*pairwise(BOX), *bar]} for side, bar in BARS.items()}  # by the side that is closed


def train(algorithm, steps, learning_starts=10_000, **kwargs):
    env = make_vec_env("wasserstein/Goals-v0", 8, env_kwargs=TASKS[None])
    return algorithm("MlpPolicy", env, learning_starts=learning_starts, **BASE, **kwargs).learn(steps)


def walk(model, closed=None, episodes=200):
    """Paths (episodes, 9, 2) of sampled actions, the share that arrives, within .25, and of these the share on the right."""
    env = gym.make_vec("wasserstein/Goals-v0", episodes, **TASKS[closed])
    paths = [env.reset(seed=0)[0]]
    for _ in range(8):
        paths.append(env.step(model.predict(paths[-1])[0])[0])
    paths = np.stack(paths, 1)
    arrived = np.linalg.norm(paths - [0.0, 1.2], axis=2).min(1) < 0.25
    right = paths[..., 0].max(1) > -paths[..., 0].min(1)
    return paths, arrived.mean(), right[arrived].mean() if arrived.any() else np.nan


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--quick", dest="steps", action="store_const", const=(300, 200), default=(24_000, 10_000))
    parser.add_argument("--figure", default="flow_wall.png")
    args = parser.parse_args()
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.5), sharey=True, layout="constrained")
    for axis, (actor, own) in zip(axes, ACTORS.items(), strict=True):
        model = train(WPO, *args.steps, actor=actor, policy_kwargs={"net_arch": [64, 64], **own}, seed=1)
        paths, arrived, right = walk(model)
        rest = [walk(model, side)[1] for side in ("left", "right")]
        print(f"{actor:9} {arrived:.0%} arrive, {right:.0%} right; left closed {rest[0]:.0%}, right closed {rest[1]:.0%}")
        axis.plot(*paths[:60].transpose(2, 1, 0), color="tab:blue", alpha=0.2)
        axis.fill(*BOX.T, color="0.3")
        axis.plot(0, 1.2, "*", color="tab:orange", ms=12, zorder=3)
        axis.set(title=f"{actor}: {arrived:.0%}, {right:.0%} right", xlim=(-1.7, 1.7), ylim=(-0.5, 1.7), aspect="equal")
    figure.savefig(args.figure, dpi=110)
