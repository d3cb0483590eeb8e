"""Whether the distance that a training logs is more than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.cloud import Cloud
from sb3_wasserstein.compare import noise_of, permutation_p_value
from sb3_wasserstein.duals import Dual


def noise_and_p_value(
    episodes: list[NDArray[np.float64]], target: Cloud | None, dual: Dual, n_resamples: int, seed: int
) -> dict[str, float]:
    """
    Both by cross-fitted divergences of random halves, in which episodes stay whole (:func:`~sb3_wasserstein.compare`).

    :param episodes: (k_i, dim) points of each episode in the window
    :param target: that the dual was solved for; None where its points are no episodes, which could not be exchanged
    :param dual: whose ε and cost both are measured with
    :param n_resamples: number of pairs of halves, and of permutations
    :param seed: of a generator of its own
    :return: ``noise``: how far apart two halves of the window are at most, at level 0.95, in the unit of the distance;
        ``p_value`` of the permutation test between window and target; without what too few episodes cannot tell
    """
    rng = np.random.default_rng(seed)
    found = {}
    measure = {"epsilon": dual.epsilon_, "cost": dual.cost, "relative": False}
    if len(episodes) >= 4:
        found["noise"] = noise_of(episodes, n_resamples, 0.95, rng, measure)
    if target is not None and min(len(episodes), len(target.points)) >= 4:
        n = len(episodes)
        points = target.points
        if target.is_sample:
            points = points[rng.permutation(len(points))[:n]]
        else:
            points = points[rng.choice(len(points), n, p=target.weights)]
        found["p_value"] = permutation_p_value(episodes, list(points[:, None]), n_resamples, rng, measure)
    return found
