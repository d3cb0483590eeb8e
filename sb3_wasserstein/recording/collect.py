"""Embeddings of a policy's episodes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize, unwrap_vec_normalize

from sb3_wasserstein._validation import check_count, check_flag, check_seed
from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.recording.rollout import Episode


def collect_embeddings(
    model: Any,
    env: str | gym.Env[Any, Any] | VecEnv,
    embedding: EmbeddingLike | None = None,
    n_episodes: int = 100,
    deterministic: bool = False,
    seed: int | None = None,
) -> NDArray[np.float64]:
    """
    Run a policy and embed its episodes. The global random generators are left as they were found.

    The environment is wrapped as the model wraps its own, so that the embedding reads what it reads in training: images have
    their channels first, and a model that was trained under VecNormalize gets its statistics. They are not updated. The
    policy acts as in training: with action masks (sb3-contrib's MaskablePPO), recurrent states, and new noise of gSDE.

    :param model: anything with SB3's ``predict``
    :param env: environment id, Env or VecEnv
    :param embedding: a name or an Embedding; None takes the model's own where it is one of this package's, else "mean_state"
    :param n_episodes: number of episodes, divided evenly over the environments
    :param deterministic: whether to act without noise
    :param seed: of the environments and of the actions
    :return: (n_episodes, dim) points; for an embedding that samples states, a sample of the states, (n, dim)
    :raises ValueError: if ``n_episodes`` < 1, if ``env`` is no environment or its observations are none of the model's, or if
        the embedding cannot read them

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import collect_embeddings
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64)
        >>> collect_embeddings(model, "CartPole-v1", "final_state", n_episodes=3, seed=0).shape
        (3, 4)
    """
    embedding = own_embedding(model) if embedding is None else embedding
    episodes = collect_episodes(model, env, embedding, n_episodes, deterministic, seed)
    points = np.concatenate([episode.points for episode in episodes])
    if not make_embedding(embedding).samples_states:
        return points
    # As many states as a solver takes in with ease, at one stride: each keeps its weight.
    return points[:: -(-len(points) // 4096)]


def is_model(value: Any) -> bool:
    """:return: whether it acts, as SB3's models do"""
    return callable(getattr(value, "predict", None))


def own_embedding(model: Any) -> EmbeddingLike:
    """:return: the embedding of a model of this package, "mean_state" for others"""
    own = getattr(model, "embedding", None)
    return own if isinstance(own, Embedding) else "mean_state"


def own_env(model: Any, name: str) -> VecEnv:
    """
    :param model: a policy
    :param name: the argument's name, for the error
    :return: the environment that the model was made with
    :raises ValueError: if it has none
    """
    env = model.get_env() if hasattr(model, "get_env") else None
    if not isinstance(env, VecEnv):
        raise ValueError(f"{name} is a model without an environment: pass env= (an id, an Env or a VecEnv)")
    return env


def collect_episodes(
    model: Any,
    env: str | gym.Env[Any, Any] | VecEnv,
    embedding: EmbeddingLike = "mean_state",
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
    if not is_model(model):
        raise TypeError(f"model must have SB3's predict(observation, ...); got {model!r}")
    recipe = make_embedding(embedding)
    if isinstance(env, str):
        try:
            made = gym.make(env)
        except (gym.error.Error, ImportError) as error:
            raise ValueError(f"env={env!r} is not the id of an environment: {error}") from error
        try:
            return collect_episodes(model, made, embedding, n_episodes, deterministic, seed)
        finally:
            made.close()
    if not isinstance(env, (gym.Env, VecEnv)):
        raise TypeError(f"env must be an environment's id, an Env or a VecEnv; got {env!r}")
    env = _wrapped_as(model, env)
    with _frozen(unwrap_vec_normalize(env)), _random_state(env, seed):
        return _episodes(_policy(model, env, deterministic), EpisodeReader(env), recipe, int(n_episodes))


def _episodes(
    act: Callable[[Any, Any, NDArray[np.bool_]], tuple[Any, Any]], reader: EpisodeReader, recipe: Any, n_episodes: int
) -> list[Episode]:
    """The first episodes of each environment, as many of each as divides them evenly: short ones are not favoured."""
    env = reader.env
    left = np.array([(n_episodes + i) // env.num_envs for i in range(env.num_envs)])
    recorder, episodes = reader.recorder(recipe), []
    observations: Any = env.reset()
    states, begins = None, np.ones(env.num_envs, dtype=bool)
    recorder.start(reader.observations(observations), reader.reset_infos)
    reader.watch()
    try:
        while left.any():
            actions, states = act(observations, states, begins)
            observations, rewards, begins, infos = env.step(actions)
            reader.record(recorder, observations, actions, rewards, begins, infos)
            if begins.any():
                for episode in recorder.flush().episodes:
                    if left[episode.env]:
                        left[episode.env] -= 1
                        episodes.append(episode)
    finally:
        reader.release()
    return episodes


def _wrapped_as(model: Any, env: gym.Env[Any, Any] | VecEnv) -> VecEnv:
    """The environment as the model sees it in training."""
    if not isinstance(env, VecEnv):
        single = env
        env = DummyVecEnv([lambda: single])
    known = getattr(model, "get_vec_normalize_env", lambda: None)()
    if known is not None and unwrap_vec_normalize(env) is None:
        # A copy has the statistics, and no environment yet.
        normalize = copy.deepcopy(known)
        try:
            normalize.set_venv(env)
        except (AssertionError, ValueError) as error:
            raise ValueError(
                f"env has the observation space {env.observation_space}, but the model's VecNormalize was made for "
                f"{known.observation_space}: wrap env as the training environment was (e.g. VecFrameStack)"
            ) from error
        env = normalize
    if hasattr(model, "_wrap_env"):
        env = model._wrap_env(env, verbose=0, monitor_wrapper=False)
    assert isinstance(env, VecEnv)
    wanted = getattr(model, "observation_space", None)
    if wanted is not None and not _alike(env.observation_space, wanted):
        raise ValueError(
            f"env has the observation space {env.observation_space}, but the model was trained on {wanted}: wrap env as the "
            "training environment was (e.g. VecFrameStack), or pass model.get_env()"
        )
    return env


def _alike(one: spaces.Space[Any], other: spaces.Space[Any]) -> bool:
    """Whether a policy for one space can read the other: bounds may differ, shapes may not."""
    if isinstance(one, spaces.Dict) and isinstance(other, spaces.Dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one.shape == other.shape if isinstance(one, spaces.Box) else one == other)


def _policy(model: Any, env: VecEnv, deterministic: bool) -> Callable[[Any, Any, NDArray[np.bool_]], tuple[NDArray[Any], Any]]:
    """The policy as a function of observations, recurrent states and episode starts."""
    takes_masks = "action_masks" in inspect.signature(model.predict).parameters and env.has_attr("action_masks")
    noise_period = 0 if deterministic or not getattr(model, "use_sde", False) else _noise_period(model)
    n_steps = 0

    def act(observations: Any, states: Any, begins: NDArray[np.bool_]) -> tuple[NDArray[Any], Any]:
        nonlocal n_steps
        if noise_period and n_steps % noise_period == 0:
            model.policy.reset_noise(env.num_envs)
        n_steps += 1
        masks = {"action_masks": np.stack(env.env_method("action_masks"))} if takes_masks else {}
        return model.predict(  # type: ignore[no-any-return]
            observations, state=states, episode_start=begins, deterministic=deterministic, **masks
        )

    return act


def _noise_period(model: Any) -> int:
    """After how many steps training draws new noise of gSDE: an on-policy rollout's where nothing else is asked for."""
    if model.sde_sample_freq > 0:
        return int(model.sde_sample_freq)
    if hasattr(model, "rollout_buffer"):
        return int(model.n_steps)
    return int(model.train_freq.frequency) if model.train_freq.unit == TrainFrequencyUnit.STEP else 1


@contextmanager
def _frozen(normalize: VecNormalize | None) -> Iterator[None]:
    """Statistics that a collection uses and does not update."""
    if normalize is None:
        yield
        return
    training, normalize.training = normalize.training, False
    try:
        yield
    finally:
        normalize.training = training


@contextmanager
def _random_state(env: VecEnv, seed: int | None) -> Iterator[None]:
    """Seeded environments and actions; the global generators are put back."""
    before = np.random.get_state()  # noqa: NPY002
    devices = list(range(th.cuda.device_count())) if th.cuda.is_available() else []
    with th.random.fork_rng(devices=devices):
        try:
            if seed is not None:
                th.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                env.seed(seed)
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
