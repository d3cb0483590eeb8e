"""A model as the target of a training: its behaviour, collected without a step of the training environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.targets import Target


def target_of_model(model: Any, embedding: Embedding, training_env: VecEnv | None, seed: int | None) -> Target:
    """
    The behaviour of a model in the environment that it was made with; where it has none, or has the training's, in a new one
    of the same id and arguments.

    :param model: anything with SB3's ``predict``
    :param embedding: of the training
    :param training_env: whose episodes must go on undisturbed
    :param seed: of the environment and of the actions
    :return: the target
    :raises ValueError: if there is no such environment, or if its observations are none of the model's
    """
    env = model.get_env() if hasattr(model, "get_env") else None
    if isinstance(env, VecEnv) and (training_env is None or _environments(env).isdisjoint(_environments(training_env))):
        return Target.from_policy(model, env, embedding, seed=seed)
    # The environments of other processes stay there, and a spec cannot always be sent.
    singles = getattr(None if training_env is None else training_env.unwrapped, "envs", None)
    spec = singles[0].unwrapped.spec if singles else None
    if spec is None:
        raise ValueError(
            f"target is a model ({type(model).__name__}) without an environment of its own, and no new one can be made from "
            "the training's: pass Target.from_policy(model, env, embedding)"
        )
    env = gym.make(spec)
    try:
        return Target.from_policy(model, env, embedding, seed=seed)
    finally:
        env.close()


def _environments(env: VecEnv) -> set[int]:
    """Identities of a vectorised environment and of what it steps."""
    return {id(env.unwrapped), *(id(single.unwrapped) for single in getattr(env.unwrapped, "envs", ()))}
