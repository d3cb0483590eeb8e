"""
A wall with two ways round it: a policy that knows both still arrives, half of the time, when one is closed.

    python examples/flow_two_ways.py [--quick]
"""

import argparse

import gymnasium as gym
import numpy as np
import torch

import sb3_wasserstein.envs  # noqa: F401
from sb3_wasserstein import WPO

WALL = ((-0.25, 0.4), (0.25, 0.4))
CLOSED = {"left": ((-9.0, 0.4), (0.25, 0.4)), "right": ((-0.25, 0.4), (9.0, 0.4))}


def task(wall):
    return gym.make("wasserstein/Goals-v0", goals=((0.0, 0.8),), walls=(wall,), step=0.15, horizon=16)


def play(model, wall, episodes):
    """Shares of episodes that arrive, and that pass on the right."""
    env, arrived, right = task(wall), [], []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        path, done = [observation], False
        while not done:
            observation, _, _, done, info = env.step(model.predict(observation)[0])
            path.append(observation)
        arrived.append(info["goal_distance"] < 0.3)
        sideways = np.array(path)[:, 0]
        right.append(sideways[np.abs(sideways).argmax()] > 0)
    return np.mean(arrived), np.mean(right)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="one seed, too few steps")
    seeds, steps, episodes = (1, 510, 2) if parser.parse_args().quick else (3, 5000, 100)
    torch.set_num_threads(1)
    kwargs = {"learning_rate": 3e-3, "batch_size": 128, "gamma": 0.95, "learning_starts": 500, "ent_coef": 0.05}
    for actor in ("gaussian", "mixture", "particles"):
        for seed in range(seeds):
            model = WPO("MlpPolicy", task(WALL), actor=actor, seed=seed, policy_kwargs={"net_arch": [64, 64]}, **kwargs)
            arrived, right = play(model.learn(steps), WALL, episodes)
            closed = {side: play(model, wall, episodes)[0] for side, wall in CLOSED.items()}
            print(f"{actor:9} seed {seed}: arrives {arrived:.0%}, on the right {right:.0%};", end=" ")
            print(", ".join(f"{side} closed: {share:.0%}" for side, share in closed.items()), flush=True)


if __name__ == "__main__":
    main()
