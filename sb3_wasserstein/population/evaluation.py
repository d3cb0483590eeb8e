"""What a population has come to: returns, and how far apart its members are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein.cloud import Floats
from sb3_wasserstein.compare import Behaviour, Comparison, compare
from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.recording.collect import collect_episodes


@dataclass(frozen=True)
class Evaluation:
    """
    What the members of a population do when they are not trained.

    :param returns: (K,) mean return of each member
    :param distances: (K, K) distances of :func:`~sb3_wasserstein.compare`: 0 on average between equals, in standard deviations
    :param p_values: (K, K) of its permutation tests; 1 on the diagonal
    :param noise: (K,) how far apart two halves of a member's own episodes are at most, at level 0.95

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.population import Evaluation
        >>> apart = np.array([[0.0, 2.0], [2.0, 0.0]])
        >>> print(Evaluation(np.array([9.0, 8.0]), apart, np.array([[1.0, 0.01], [0.01, 1.0]]), np.ones(2)))
        member 0: return 9, nearest other 2 away (p = 0.01)
        member 1: return 8, nearest other 2 away (p = 0.01)
    """

    returns: Floats
    distances: Floats
    p_values: Floats
    noise: Floats

    def __str__(self) -> str:
        others = self.distances + np.diag(np.full(len(self.returns), np.inf))
        nearest = others.argmin(axis=1)
        return "\n".join(
            f"member {k}: return {value:.4g}, nearest other {others[k, l]:.3g} away (p = {self.p_values[k, l]:.2g})"
            for k, (value, l) in enumerate(zip(self.returns, nearest, strict=True))
        )


def evaluate_members(
    models: Sequence[OnPolicyAlgorithm],
    make_env: Callable[[], VecEnv],
    embedding: Embedding,
    n_episodes: int,
    deterministic: bool,
    seed: int | None,
) -> Evaluation:
    """
    :param models: K members
    :param make_env: makes the environments that they are tried in
    :param embedding: what a behaviour is
    :param n_episodes: number of episodes of each member, 4 at least
    :param deterministic: whether they act without noise
    :param seed: of environments, actions and comparisons
    :return: what was found
    """
    behaviours = []
    for k, model in enumerate(models):
        env = make_env()
        try:
            # Members that start alike would not be independent samples.
            own_seed = None if seed is None else seed + k
            episodes = collect_episodes(model, env, embedding, n_episodes, deterministic, own_seed)
        finally:
            env.close()
        returns = np.array([episode.episode_return for episode in episodes])
        behaviours.append(Behaviour([episode.points for episode in episodes], returns, str(k)))
    n = len(behaviours)
    distances, p_values, noise = np.zeros((n, n)), np.ones((n, n)), np.zeros(n)
    for k, l in combinations(range(n), 2):
        found: Comparison = compare(behaviours[k], behaviours[l], embedding=embedding, seed=seed)
        distances[k, l] = distances[l, k] = found.distance
        p_values[k, l] = p_values[l, k] = found.p_value
        noise[k], noise[l] = found.noise
    means = np.array([float(np.mean(behaviour.returns)) for behaviour in behaviours if behaviour.returns is not None])
    return Evaluation(means, distances, p_values, noise)
