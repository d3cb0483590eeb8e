"""What mutations of the code have got past the other tests."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sb3_wasserstein.duals import AlternatingDual, GroundCost, RKHSDual, SemiDiscreteDual, SinkhornDual

X, Y = (np.random.default_rng(seed).normal(size=(5, 2)) for seed in (0, 1))


def entropic(x: np.ndarray, y: np.ndarray, epsilon: float) -> float:
    """W_ε by POT's dense solver."""
    import ot

    cost = cdist(x, y)
    p, q = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    plan = ot.bregman.sinkhorn_log(p, q, cost, epsilon, numItermax=100_000, stopThr=1e-12)
    positive = plan > 0
    return float((plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(p, q)))[positive].sum())


@pytest.mark.parametrize("cls", [AlternatingDual, SemiDiscreteDual])
def test_a_stochastic_duals_distance_is_pots(cls: Any) -> None:
    """Both potentials count, and the third term of the dual objective, which is small only at the optimum."""
    dual = cls(epsilon=0.5, relative=False, seed=0)
    draws = np.random.default_rng(2)
    for _ in range(150):
        if cls is SemiDiscreteDual:
            dual.update(X[draws.integers(5, size=64)], Y)
        else:
            dual.update(X[draws.integers(5, size=64)], Y[draws.integers(5, size=64)])
    expected = entropic(X, Y, 0.5)
    # The last 256 samples stand for μ.
    assert dual.distance == pytest.approx(expected, rel=0.1)
    assert dual.residual < 0.5


def test_before_it_has_converged_the_distance_is_the_dual_objective() -> None:
    dual = RKHSDual(epsilon=0.5, relative=False, seed=0)
    dual.update(X, Y)
    f, g = dual._f(dual._recent_x), dual._g(dual._recent_y)
    n, m = len(f), len(g)
    exponents = (f[:, None] + g[None, :] - cdist(dual._recent_x, dual._recent_y)) / 0.5
    mass = np.exp(np.minimum(exponents, dual._largest_exponent)).sum() / (n * m)
    assert dual.distance == pytest.approx(f.mean() + g.mean() - 0.5 * (mass - 1.0))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_median_within_few_points(n: int) -> None:
    cloud = np.array([[0.0], [3.0], [10.0]])[:n]
    assert GroundCost("euclidean").median_within(cloud) == {1: 1.0, 2: 3.0, 3: 7.0}[n]


@pytest.mark.parametrize("repeated", [0.3, 0.1 + 0.2 + np.arange(100)[:, None] % 2 * 5e-17])
def test_the_median_within_a_cloud_that_repeats_a_point(repeated: int) -> None:
    """Most pairs are of one point: the unit is what lies between those that differ."""
    others = np.random.default_rng(0).normal(size=(20, 1))
    cloud = np.concatenate([np.full((100, 1), repeated) if np.isscalar(repeated) else repeated, others])
    apart = cdist(cloud, cloud)
    assert GroundCost("euclidean").median_within(cloud) == pytest.approx(np.median(apart[apart > 1e-12]))
    assert GroundCost("euclidean").median_within(cloud[:100]) == 1.0


@pytest.mark.parametrize("most", [2, 12])
def test_no_more_iterations_than_asked_for(most: int) -> None:
    dual = SinkhornDual(epsilon=0.1, tol=1e-15, max_iterations=most, dtype="float64", debias=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dual.update(np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).normal(size=(50, 3)))
    assert dual.iterations == most
