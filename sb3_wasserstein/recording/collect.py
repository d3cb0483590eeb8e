"""Embeddings of a policy's episodes."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_wasserstein._validation import check_count, check_flag, check_seed
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.recording.recorder import Recorder
from sb3_wasserstein.recording.rollout import Episode

#: states of an occupancy measure that a collection keeps, over all episodes
MAX_STATES = 4096


def collect_embeddings(
    model: Any,
    env: str | gym.Env[Any, Any] | VecEnv,
    embedding: EmbeddingLike,
    n_episodes: int = 100,
    deterministic: bool = False,
    seed: int | None = None,
) -> NDArray[np.float64]:
    """
    Run a policy and embed its episodes. The global random generators are left as they were found.

    :param model: anything with SB3's ``predict``
    :param env: environment id, Env or VecEnv; a VecNormalize is best given with ``training=False``
    :param embedding: a name or an Embedding
    :param n_episodes: number of episodes, divided evenly over the environments
    :param deterministic: whether to act without noise
    :param seed: of the environments and of the actions
    :return: (n_episodes, dim) points; for a state occupancy a sample of the states, (n, dim)
    :raises ValueError: if ``n_episodes`` < 1, or if the embedding cannot read the observation space

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import collect_embeddings
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64)
        >>> collect_embeddings(model, "CartPole-v1", "final_state", n_episodes=3, seed=0).shape
        (3, 4)
    """
    episodes = collect_episodes(model, env, embedding, n_episodes, deterministic, seed)
    points = [episode.points for episode in episodes]
    if make_embedding(embedding).samples_states:
        keep = math.ceil(MAX_STATES / len(points))
        points = [states[:: math.ceil(len(states) / keep)] for states in points]
    return np.concatenate(points)


def collect_episodes(
    model: Any,
    env: str | gym.Env[Any, Any] | VecEnv,
    embedding: EmbeddingLike,
    n_episodes: int = 100,
    deterministic: bool = False,
    seed: int | None = None,
) -> list[Episode]:
    """
    As :func:`collect_embeddings`, whose arguments it takes. :return: the episodes, each with its points and its return
    """
    check_count("n_episodes", n_episodes)
    check_flag("deterministic", deterministic)
    check_seed(seed)
    if not callable(getattr(model, "predict", None)):
        raise TypeError(f"model must have SB3's predict(observation, ...); got {model!r}")
    make_embedding(embedding)
    if isinstance(env, str):
        made = gym.make(env)
        try:
            return collect_episodes(model, made, embedding, n_episodes, deterministic, seed)
        finally:
            made.close()
    if not isinstance(env, (gym.Env, VecEnv)):
        raise TypeError(f"env must be an environment's id, an Env or a VecEnv; got {env!r}")
    if not isinstance(env, VecEnv):
        single = env
        env = DummyVecEnv([lambda: single])
    reader = EpisodeReader(env)
    recipe = make_embedding(embedding).with_time_limit(reader.max_episode_steps)
    recorder = reader.recorder(recipe)
    episodes: list[Episode] = []
    last: Any = None
    ended: dict[int, Episode] = {}

    def record(local: dict[str, Any], _: dict[str, Any]) -> None:
        """evaluate_policy calls this once a step for each environment whose episodes still count."""
        nonlocal last, ended
        if local["new_observations"] is not last:
            last = local["new_observations"]
            reader.record(recorder, last, local["actions"], local["rewards"], local["dones"], local["infos"])
            ended = {episode.env: episode for episode in recorder.flush().episodes}
        if local["i"] in ended:
            episodes.append(ended[local["i"]])

    with th.random.fork_rng(devices=[]):
        if seed is not None:
            th.manual_seed(seed)
            env.seed(seed)
        evaluate_policy(_FromReset(model, recorder, reader), env, int(n_episodes), deterministic, callback=record, warn=False)
    return episodes


class _FromReset:
    """A policy that shows the recorder the first observations: evaluate_policy's callback comes after the first step."""

    def __init__(self, model: Any, recorder: Recorder, reader: EpisodeReader) -> None:
        self._model, self._recorder, self._reader = model, recorder, reader
        self._started = False

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._started:
            self._recorder.start(self._reader.observations(observation), self._reader.reset_infos)
            self._started = True
        return self._model.predict(observation, *args, **kwargs)
