"""
A bandit with two equal modes, at −.6 and .6: where a Gaussian policy stands between them, a mixture and particles keep both.

    python examples/flow_bandit.py [--quick] [--figure flow_bandit.png]
"""

import argparse

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from gymnasium import spaces

from sb3_wasserstein import WPO


class Bandit(gym.Env):
    """One state, one step: the reward is −8 (|a| − .6)²."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(-8 * (abs(action[0]) - 0.6) ** 2), True, False, {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="one seed, too few steps")
    parser.add_argument("--figure", default="flow_bandit.png")
    args = parser.parse_args()
    seeds, steps = (1, 160) if args.quick else (5, 1000)
    torch.set_num_threads(1)
    kwargs = {"learning_rate": 3e-3, "batch_size": 64, "learning_starts": 150, "policy_kwargs": {"net_arch": [64, 64]}}
    columns = (("gaussian", "auto"), ("gaussian", 0.02), ("mixture", "auto"), ("particles", "auto"))
    figure, axes = plt.subplots(1, len(columns), figsize=(11, 2.6), sharey=True)
    for axis, (actor, ent_coef) in zip(axes, columns, strict=True):
        right, reward = [], []
        for seed in range(seeds):
            model = WPO("MlpPolicy", Bandit(), actor=actor, ent_coef=ent_coef, seed=seed, **kwargs).learn(steps)
            actions = model.predict(np.zeros((4000, 1), np.float32))[0][:, 0]
            axis.hist(actions, bins=np.linspace(-1, 1, 61), density=True, histtype="step", alpha=0.8)
            right.append((actions > 0).mean())
            reward.append((-8 * (abs(actions) - 0.6) ** 2).mean())
        shares = ", ".join(f"{share:.0%}" for share in right)
        print(f"{actor:9} ent_coef={ent_coef}: right of 0 {shares}; mean reward {np.mean(reward):.2f}")
        axis.set(title=f"{actor}, ent_coef={ent_coef}", xlabel="action")
    figure.tight_layout()
    figure.savefig(args.figure, dpi=120)


if __name__ == "__main__":
    main()
