"""Trains and writes checkpoints until it is stopped: ``worker.py single|population FOLDER``. And how one goes on from them."""

import sys
from pathlib import Path

import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env

sys.path.insert(0, str(Path(__file__).parents[1]))

from sb3_wasserstein import Population, WassersteinA2C
from sb3_wasserstein.envs import Goals

PPO_KWARGS = {"n_steps": 48, "batch_size": 96, "n_epochs": 1, "gamma": 1.0, "device": "cpu"}


class Told(BaseCallback):
    """Says on the output when a checkpoint has been written."""

    def __init__(self, every):
        super().__init__()
        self.every = every

    def _on_step(self):
        if self.n_calls % self.every == 0:
            print("checkpoint", flush=True)
        return True


def single(folder):
    env = make_vec_env(Goals, 2, seed=0)
    model = WassersteinA2C("MlpPolicy", env, target=[[0.0, 0.0]], wasserstein_coef=1.0, seed=0, device="cpu")
    model.learn(10**7, callback=[CheckpointCallback(20, str(folder)), Told(20)])


def population(folder):
    members = Population(PPO, "MlpPolicy", Goals, 2, n_envs=4, seed=0, **PPO_KWARGS)
    save = members.save

    def told(place):
        save(place)
        print("checkpoint", flush=True)

    members.save = told
    members.learn(10**7, checkpoint=folder / "p", checkpoint_every=1)


def resume(kind, folder):
    """
    :return: the number of steps that the last checkpoint had; training has gone on from it
    """
    if kind == "population":
        with Population.load(folder / "p", Goals) as loaded:
            steps = min(model.num_timesteps for model in loaded.models)
            loaded.learn(192, reset_num_timesteps=False)
            assert min(model.num_timesteps for model in loaded.models) > steps
            return steps
    saved = sorted(folder.glob("rl_model_*_steps.zip"), key=lambda path: int(path.stem.split("_")[2]))
    # Every one of them loads, the last one above all.
    for path in saved[-2:]:
        model = WassersteinA2C.load(path, env=make_vec_env(Goals, 2, seed=0))
    steps = model.num_timesteps
    assert steps == int(saved[-1].stem.split("_")[2])
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps > steps
    return steps


if __name__ == "__main__":
    th.set_num_threads(1)
    {"single": single, "population": population}[sys.argv[1]](Path(sys.argv[2]))
