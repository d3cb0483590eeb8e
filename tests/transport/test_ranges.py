"""Numbers at the ends of their ranges, and clouds that are too large for a square matrix."""

import tracemalloc
import warnings

import numpy as np
import pytest

from sb3_wasserstein import Target, behaviour_distance
from sb3_wasserstein.cloud import Cloud
from sb3_wasserstein.duals import SaturatingCost, SinkhornDual, batched_sinkhorn
from sb3_wasserstein.transport.costs import Cost

X, Y = (np.random.default_rng(seed).normal(size=(40, 3)) + seed for seed in (0, 1))


@pytest.mark.parametrize("s", [1e-100, 1e-25, 1e-3, 1e3, 1e19, 1e20, 1e38, 1e100])
@pytest.mark.parametrize("cost", ["euclidean", "cityblock", SaturatingCost()])
def test_a_distance_scales_with_its_unit(cost: Cost, s: float) -> None:
    expected = behaviour_distance(X, Y, cost=cost)
    assert behaviour_distance(s * X, s * Y, cost=cost) / s == pytest.approx(expected, rel=1e-4)
    (potential,), (distance,) = batched_sinkhorn([X], [Y], cost=cost, debias=True, tol=1e-5)
    (scaled,), (scaled_distance,) = batched_sinkhorn([s * X], [s * Y], cost=cost, debias=True, tol=1e-5)
    assert scaled_distance / s == pytest.approx(distance, rel=1e-4)
    np.testing.assert_allclose(scaled / s, potential, atol=1e-4)


@pytest.mark.parametrize("s", [1e-25, 1e20])
def test_potentials_scale_with_their_unit(s: float) -> None:
    one, other = SinkhornDual(), SinkhornDual()
    one.update(X, Y)
    other.update(s * X, s * Y)
    np.testing.assert_allclose(other.potential(s * Y) / s, one.potential(Y), atol=1e-4)
    np.testing.assert_allclose(other.coupling(), one.coupling(), atol=1e-6)


@pytest.mark.parametrize("s", [1e-60, 1e60])
def test_a_cost_scales_with_its_unit(s: float) -> None:
    def cost(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(s * np.abs(x[:, None] - y).sum(2))

    assert behaviour_distance(X, Y, cost=cost) / s == pytest.approx(behaviour_distance(X, Y, cost="cityblock"), rel=1e-4)


@pytest.mark.parametrize("epsilon", [1e3, 1e6, 1e12, 1e300])
def test_a_large_epsilon_leaves_the_energy_distance(epsilon: float) -> None:
    """
    Feydy et al. 2019: S_ε goes to half of 2 E c(x, y) − E c(x, x') − E c(y, y'); of two samples that is over pairs of
    different points.
    """
    from scipy.spatial.distance import cdist

    pairs, cross = 40 * 39, cdist(X, Y).mean()
    for dual, within in (
        ((X, Y), cdist(X, X).sum() / pairs + cdist(Y, Y).sum() / pairs),
        ((Target(X), Target(Y)), cdist(X, X).mean() + cdist(Y, Y).mean()),
    ):
        found = SinkhornDual(epsilon)
        found.update(*dual)
        assert found.distance == pytest.approx(cross - 0.5 * within, rel=1e-2)


def test_an_epsilon_below_rounding_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="`epsilon` is 1e-300 in the cost's unit, below rounding"):
        behaviour_distance(X, Y, epsilon=1e-300, relative=False)


@pytest.mark.parametrize("s", [1e-320, 1e-30, 1e300])
def test_weights_of_any_size(s: float) -> None:
    weights = np.ones(40) * s
    plain, weighted = SinkhornDual(), SinkhornDual()
    plain.update(Target(X), Target(Y))
    weighted.update(X, Y, weights, weights)
    assert weighted.distance == pytest.approx(plain.distance, rel=1e-6)


@pytest.mark.parametrize(("scale", "name"), [(1e300, "euclidean"), (1e-300, None)])
def test_a_cost_that_saturates_at_once_or_never(scale: float, name: str | None) -> None:
    dual = SinkhornDual(cost=SaturatingCost(scale=scale), debias=False)
    dual.update(X, Y)
    if name:
        assert dual.distance == pytest.approx(behaviour_distance(X, Y, cost=name, debias=False), rel=1e-4)
    else:
        # All points of x are equally far from all points of y.
        limit = dual.ground_cost.limit
        assert limit is not None
        assert dual.distance / limit == pytest.approx(1.0, rel=1e-4)


def test_thinned_clouds_keep_their_law() -> None:
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(20_000, 1)), rng.random(20_000)
    law = Cloud.of(points, weights)
    thinned = law.thinned(500)
    assert len(thinned) <= 500
    assert thinned.weights.sum() == pytest.approx(1.0)
    assert law.thinned(20_000) is law
    assert thinned.weights @ thinned.points == pytest.approx(law.weights @ law.points, abs=0.1)
    heavy = Cloud.of(np.arange(1000.0)[:, None], np.r_[np.ones(999), 999.0]).thinned(100)
    assert heavy.weights[heavy.points[:, 0] == 999.0] == pytest.approx(0.5)


def test_a_large_cloud_is_represented_by_some_of_its_points() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 2)), rng.normal(size=(2500, 2)) + 1.0
    dual = SinkhornDual(max_points=1000)
    with pytest.warns(UserWarning, match=r"`max_points`=1000 of them represent it"):
        dual.update(x, y)
    assert dual.coupling().shape == (1000, 1000)
    assert dual.distance == pytest.approx(behaviour_distance(x, y), rel=0.1)
    few_x, few_y = (Cloud.of(cloud).thinned(1000).points for cloud in (x, y))
    few = SinkhornDual()
    few.update(few_x, few_y)
    assert dual.distance == pytest.approx(few.distance, rel=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dual.update(x + 0.1, y)


def test_a_hundred_thousand_points_take_bounded_memory() -> None:
    x = np.random.default_rng(0).normal(size=(100_000, 4))
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match="`max_points`=1000"):
            distance = behaviour_distance(x[:50_000], x[50_000:], max_points=1000)
        assert abs(distance) < 0.4
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
