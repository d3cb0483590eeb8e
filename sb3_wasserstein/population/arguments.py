"""What a population is asked for, checked before anything is made."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_wasserstein._validation import check_count, check_number, check_path
from sb3_wasserstein.duals import SinkhornDual, make_dual


def check_coefficient(coef: Any) -> float:
    """
    :param coef: λ
    :return: λ; a warning where it does not repel
    :raises TypeError: if it is no number
    :raises ValueError: if it is not finite
    """
    if callable(coef):
        raise TypeError(f"wasserstein_coef must be a number: schedule= says when it applies; got {coef!r}")
    check_number("wasserstein_coef", coef)
    if coef <= 0:
        effect = "they attract each other" if coef < 0 else "they do not see each other"
        warnings.warn(f"wasserstein_coef={coef!r} does not repel the members of a population: {effect}", stacklevel=3)
    return float(coef)


def pair_dual(algorithm_kwargs: dict[str, Any]) -> SinkhornDual:
    """
    :param algorithm_kwargs: with ``dual`` and ``dual_kwargs``, or without
    :return: the dual of every pair: batched Sinkhorn is what there is
    :raises ValueError: if another one is asked for, or an argument of it is not known
    """
    if algorithm_kwargs.get("dual", "sinkhorn") != "sinkhorn":
        raise ValueError(
            f"dual={algorithm_kwargs['dual']!r} does not go with a population, whose pairs are solved by 'sinkhorn'"
        )
    dual = make_dual("sinkhorn", algorithm_kwargs.get("dual_kwargs"))
    assert isinstance(dual, SinkhornDual)
    return dual


def check_environment(env: Any, env_kwargs: Any) -> None:
    """
    :param env: environment id, or a callable that returns an Env
    :param env_kwargs: its arguments
    :raises TypeError: if it is neither, or if the arguments are no dict
    """
    if isinstance(env, (gym.Env, VecEnv)) or not (isinstance(env, str) or callable(env)):
        raise TypeError(f"env must be an environment's id, or a callable that makes one for each member; got {env!r}")
    if env_kwargs is not None and not isinstance(env_kwargs, dict):
        raise TypeError(f"env_kwargs must be a dict of the environment's arguments, or None; got {env_kwargs!r}")


def check_n_envs(n_envs: Any) -> int:
    """
    :param n_envs: number of environments of each member
    :return: the number
    :raises ValueError: if it is no count, or above 2¹⁴: a file that asks for more would fill the memory
    """
    if check_count("n_envs", n_envs) > 2**14:
        raise ValueError(f"n_envs must be at most {2**14}; got {n_envs!r}")
    return int(n_envs)


def check_callback(callback: Any) -> None:
    """
    :param callback: SB3's
    :raises TypeError: if SB3 does not take it, or if it cannot be copied for each member
    """
    if callback is not None and not isinstance(callback, (list, BaseCallback)) and not callable(callback):
        raise TypeError(f"callback must be a BaseCallback, a list of them, a function or None; got {callback!r}")
    # A copy of a SubprocVecEnv would close the pipes of the original when it goes.
    for part in _parts(callback):
        env = getattr(part, "eval_env", None)
        if isinstance(env, VecEnv) and isinstance(env.unwrapped, SubprocVecEnv):
            raise TypeError(
                f"callback: the SubprocVecEnv of {type(part).__name__} cannot be copied for each member: give a DummyVecEnv"
            )
    try:
        copy.deepcopy(callback)
    # What a user's object raises when it is copied can be anything.
    except Exception as error:
        raise TypeError(f"callback cannot be copied for each member: {type(error).__name__}: {error}") from error


def _parts(callback: Any) -> Iterator[Any]:
    """A callback, and those that it holds."""
    yield callback
    inner = callback if isinstance(callback, list) else getattr(callback, "callbacks", [])
    for part in (*inner, getattr(callback, "callback", None)):
        if isinstance(part, BaseCallback):
            yield from _parts(part)


def check_timeout(member_timeout: Any, executor: str) -> float | None:
    """
    :param member_timeout: seconds, or None
    :param executor: where members live
    :return: seconds, or None for no limit
    :raises TypeError: if it is no number
    :raises ValueError: if it is not positive, or if the executor cannot interrupt a member
    """
    if member_timeout is None:
        return None
    if check_number("member_timeout", member_timeout) <= 0:
        raise ValueError(f"member_timeout must be a number of seconds > 0, or None; got {member_timeout!r}")
    if executor == "serial":
        raise ValueError("member_timeout needs executor='process' or 'ray': a member in this process cannot be interrupted")
    return float(member_timeout)


def registered(env: Any) -> EnvSpec | None:
    """
    :param env: environment id, or a callable
    :return: an id's spec, for processes that have not imported what registers it
    """
    return gym.spec(env) if isinstance(env, str) else None


def log_folder(path: str | os.PathLike[str] | None) -> str | None:
    """
    :param path: tensorboard_log
    :return: the path as SB3 takes it
    :raises TypeError: if it is no path
    :raises ImportError: if TensorBoard is not installed
    """
    if path is None:
        return None
    if find_spec("tensorboard") is None:
        raise ImportError("tensorboard_log needs TensorBoard: pip install 'sb3-wasserstein[logging]'")
    return os.fspath(check_path("tensorboard_log", path))
