"""Three routers for one network, each by a way of its own: when a link fails, another's way still stands (S1, motivation)."""

import sys
import warnings

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import VisitHistogram

#: node: its links to (node, delay); 0 sends, 10 receives. Three ways, nearly as fast as each other, and bridges between them
LINKS = {
    0: [(1, 1.0), (4, 1.05), (7, 1.1)], 1: [(2, 1.0), (5, 1.6)], 2: [(3, 1.0), (6, 1.6)], 3: [(10, 1.0)], 6: [(10, 1.0)],
    4: [(5, 1.0), (8, 1.6), (2, 1.6)], 5: [(6, 1.0), (9, 1.6)], 7: [(8, 1.0), (5, 1.6)], 8: [(9, 1.0)], 9: [(10, 1.0)],
}  # fmt: skip
ALL_LINKS = [(node, link) for node, links in LINKS.items() for link, _ in links]
SETTINGS = {"n_envs": 8, "n_steps": 64, "batch_size": 128, "n_epochs": 5, "learning_rate": 3e-3, "gamma": 1.0, "device": "cpu"}


class Network(gym.Env):
    """A packet on its way: the observation is its node, the action one of the node's links, the reward minus the delay."""

    observation_space, action_space = spaces.Discrete(11), spaces.Discrete(3)

    def __init__(self, broken=None):
        self.broken = broken

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.node, self.hops = 0, 0
        return self.node, {}

    def step(self, action):
        after, delay = [*LINKS[self.node], *[(self.node, 2.0)] * 3][action]
        after, delay = (self.node, 2.0) if (self.node, after) == self.broken else (after, delay)
        self.node, self.hops = after, self.hops + 1
        return self.node, -delay, self.node == 10, self.hops >= 12, {}


def unharmed(coef, seed, timesteps):
    """The fraction of used links whose failure leaves some router within 10 % of the best return, and the returns."""
    settings = {"wasserstein_coef": coef, "embedding": VisitHistogram(shape=(1, 11)), "seed": seed, **SETTINGS}
    routers = Population(PPO, "MlpPolicy", Network, 3, **settings).learn(timesteps).models
    returns = {link: [evaluate_policy(r, Network(link), 1, warn=False)[0] for r in routers] for link in [None, *ALL_LINKS]}
    used = [link for link in ALL_LINKS if returns[link] != returns[None]]
    return np.mean([max(returns[link]) >= 1.1 * max(returns[None]) for link in used]), returns[None]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", ".*does not repel.*")  # of the independent seeds
    for name, coef in (("independent seeds", 0.0), ("population", 1.0)):
        share, found = unharmed(coef, 0, int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
        plt.bar(f"{name}: failures that one survives", share)
        print(f"{name:18} delays {np.round(-np.array(found), 2)}: unharmed by {share:.0%} of the failures")
    plt.savefig(sys.argv[2] if len(sys.argv) > 2 else "backup_routes.png")
