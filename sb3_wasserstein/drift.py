"""A callback that tells when a policy no longer behaves like a reference."""

from __future__ import annotations

import warnings
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_number, check_seed
from sb3_wasserstein.compare import Comparison, check_level, compare
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding

ON_DRIFT = ("warn", "stop", "log")


class DriftCallback(BaseCallback):
    """
    Compares the policy with a reference every ``eval_freq`` calls, as SB3's EvalCallback evaluates it, under any of SB3's
    algorithms. It logs ``drift/distance``, ``drift/low``, ``drift/high`` and ``drift/p_value``.

    Each comparison is a test of its own: at level 0.99 one in a hundred reports drift where there is none.

    :param reference: a model, a Target, a list of trajectories or an array of embeddings, as for :func:`compare`. A model is
        run once, at the first comparison
    :param eval_env: environment id, Env or VecEnv of the evaluation. Under VecNormalize the training's statistics are copied
    :param embedding: what a behaviour is
    :param eval_freq: number of calls between two comparisons
    :param n_eval_episodes: number of episodes of each comparison, at least 4
    :param level: confidence level of test and interval
    :param on_drift: "warn" with a UserWarning, "stop" the training, or only "log"
    :param min_distance: drift is reported only where the distance is at least this, in standard deviations
    :param deterministic: whether to act without noise
    :param seed: of the environments, of the actions and of the resampling
    :param verbose: 1 prints each comparison
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import DriftCallback
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=0)
        >>> far_away = [[[0.0] * 4, [9.0] * 4]] * 20
        >>> callback = DriftCallback(far_away, "CartPole-v1", eval_freq=64, n_eval_episodes=20, on_drift="stop")
        >>> model.learn(128, callback).num_timesteps, callback.last.p_value < 0.01
        (64, True)
    """

    def __init__(
        self,
        reference: Any,
        eval_env: Any,
        embedding: EmbeddingLike = "mean_state",
        eval_freq: int = 10_000,
        n_eval_episodes: int = 30,
        level: float = 0.99,
        on_drift: str = "warn",
        min_distance: float = 0.0,
        deterministic: bool = False,
        seed: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.reference = reference
        self.eval_env = eval_env
        self.embedding = make_embedding(embedding)
        self.eval_freq = check_count("eval_freq", eval_freq)
        self.n_eval_episodes = check_count("n_eval_episodes", n_eval_episodes, 4)
        self.level = check_level(level)
        self.on_drift = check_choice("on_drift", on_drift, ON_DRIFT)
        self.min_distance = check_number("min_distance", min_distance)
        self.deterministic = check_flag("deterministic", deterministic)
        self.seed = check_seed(seed)
        #: the last comparison, None before the first
        self.last: Comparison | None = None

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq:
            return True
        if isinstance(self.eval_env, VecEnv) and self.model.get_vec_normalize_env() is not None:
            sync_envs_normalization(self.training_env, self.eval_env)
        found = compare(
            self.reference,
            self.model,
            self.eval_env,
            embedding=self.embedding,
            n_episodes=self.n_eval_episodes,
            level=self.level,
            deterministic=self.deterministic,
            names=("the reference", "the policy"),
            seed=self.seed,
        )
        # The reference stays as it is: its episodes need not be collected again.
        self.reference, self.last = found.behaviours[0], found
        for name, value in (("distance", found.distance), ("low", found.interval[0]), ("high", found.interval[1])):
            self.logger.record(f"drift/{name}", value)
        self.logger.record("drift/p_value", found.p_value)
        if self.verbose:
            print(found)
        if found.p_value >= 1.0 - self.level or found.distance < self.min_distance:
            return True
        if self.on_drift == "warn":
            warnings.warn(
                f"the policy has drifted from the reference after {self.num_timesteps} steps:\n{found}", stacklevel=2
            )
        return self.on_drift != "stop"
