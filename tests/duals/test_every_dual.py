"""What every dual does: degenerate but legal clouds, costs of users, copies, units."""

import copy
import json
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from sb3_wasserstein.duals import (
    AlternatingDual,
    GroundCost,
    RKHSDual,
    SaturatingCost,
    SemiDiscreteDual,
    SinkhornDual,
)

ALL = [SinkhornDual, RKHSDual, AlternatingDual, SemiDiscreteDual]
GOOD = np.random.default_rng(0).normal(size=(6, 2))


def test_a_cost_of_the_wrong_shape_or_not_finite() -> None:
    with pytest.raises(ValueError, match="shape"):
        SinkhornDual(cost=lambda x, y: x @ x.T).update(GOOD, GOOD[:3])
    with pytest.raises(ValueError, match="not finite"):
        SinkhornDual(cost=lambda x, y: cdist(x, y) * np.nan).update(GOOD, GOOD[:3])


@pytest.mark.parametrize("function", [lambda x, y: cdist(x, y, "cityblock"), lambda x, y: torch.cdist(x, y, p=1)])
def test_callables_of_arrays_and_of_tensors(function: Any) -> None:
    mine, named = SinkhornDual(cost=function), SinkhornDual(cost="cityblock")
    mine.update(GOOD, GOOD + 1)
    named.update(GOOD, GOOD + 1)
    assert mine.distance == pytest.approx(named.distance, rel=1e-6)
    assert mine.config()["cost"]["callable"]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_fast_distances_are_scipys(metric: str, offset: float) -> None:
    x = np.vstack([GOOD, GOOD + 1e-7, GOOD]) + offset
    ours = GroundCost(metric).matrix(x, x)
    np.testing.assert_allclose(ours, cdist(x, x, metric), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(7, 9), (300, 400), (1200, 1000)])
def test_median_is_numpys_up_to_all_pairs(shape: tuple[int, int]) -> None:
    from sb3_wasserstein.transport.costs import median_of

    values = np.random.default_rng(0).gamma(2.0, size=shape)
    exact = shape[0] * shape[1] <= 2**20
    assert median_of(values) == pytest.approx(np.median(values), rel=1e-12 if exact else 2e-2)
    assert median_of(np.round(values)) == np.median(np.round(values))


def test_saturating_cost_is_in_units_of_the_median() -> None:
    dual = SinkhornDual(cost=SaturatingCost(scale=2.0), debias=False)
    dual.update(GOOD, GOOD + 1)
    base = np.median(cdist(GOOD, GOOD + 1))
    assert dual.ground_cost.base_median == pytest.approx(base)
    limit = 2 * base
    assert dual.scale == pytest.approx(limit * (1 - np.exp(-base / limit)))
    costs = dual.ground_cost.matrix(GOOD, GOOD + 50)
    np.testing.assert_allclose(costs, limit * (1 - np.exp(-cdist(GOOD, GOOD + 50) / limit)))


@pytest.mark.parametrize("dual", ALL)
def test_all_points_equal(dual: Any) -> None:
    fresh = dual()
    fresh.update(np.ones((5, 2)), np.ones((3, 2)))
    assert fresh.scale == 1
    assert np.isfinite(fresh.shaping(GOOD)).all()
    assert np.isfinite(fresh.distance)


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("dual", ALL)
def test_points_that_only_rounding_tells_apart_are_no_scale(dual: Any, cost: Any) -> None:
    fresh = dual(cost=cost)
    fresh.update(np.full((5, 2), 0.3), np.full((3, 2), 0.1 + 0.2))
    assert fresh.scale == 1


@pytest.mark.parametrize("dual", ALL)
def test_copies_pickles_tensors_and_config(dual: Any) -> None:
    fresh = dual()
    fresh.update(GOOD, GOOD + 1)
    for other in (copy.deepcopy(fresh), pickle.loads(pickle.dumps(fresh))):
        np.testing.assert_array_equal(other.potential(GOOD), fresh.potential(GOOD))
    tensor = fresh.shaping(torch.from_numpy(GOOD))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), fresh.shaping(GOOD))
    assert json.loads(json.dumps(fresh.config()))["class"] == dual.__name__
    with pytest.raises(ValueError, match="epsilon"):
        dual(epsilon=0.9).load_state_dict(fresh.state_dict())


def test_scale_is_frozen_until_reset() -> None:
    dual = SinkhornDual()
    dual.update(GOOD, GOOD + 1)
    scale = dual.scale
    dual.update(10 * GOOD, 10 * GOOD + 10)
    assert dual.scale == scale
    dual.reset_scale()
    dual.update(10 * GOOD, 10 * GOOD + 10)
    assert dual.scale == pytest.approx(10 * scale)


def test_entropy_reference_is_s1s_u() -> None:
    import ot

    x, y = GOOD, GOOD[:4] + 1
    p = np.array([3.0, 1, 1, 2, 2, 1]) / 10
    dual = SinkhornDual(reference="entropy", debias=False, relative=False, epsilon=0.3, dtype="float64", tol=1e-10)
    dual.update(x, y, p)
    log = ot.sinkhorn(p, np.full(4, 0.25), cdist(x, y), 0.3, stopThr=1e-13, numItermax=100_000, log=True)[1]
    u = 0.3 * np.log(log["u"])
    np.testing.assert_allclose(dual.potential(x), u - p @ u, atol=1e-7)
    with pytest.raises(ValueError, match="reference='product'"):
        dual.potential(x + 0.5)


def test_an_indefinite_cost_warns_when_debiased() -> None:
    with pytest.warns(UserWarning, match="`debias`=True with `cost`='chebyshev'"):
        SinkhornDual(cost="chebyshev").update(GOOD, GOOD + 1)
    SinkhornDual(cost="chebyshev", debias=False).update(GOOD, GOOD + 1)


clouds = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-3, 3).map(lambda v: round(v, 2))))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(x=clouds, y=clouds, cost=st.sampled_from(["euclidean", "sqeuclidean", "cityblock", SaturatingCost()]))
def test_metric_properties(x: np.ndarray, y: np.ndarray, cost: Any) -> None:
    def distance(a: np.ndarray, b: np.ndarray, p: np.ndarray | None = None) -> float:
        dual = SinkhornDual(cost=cost, epsilon=0.3, relative=False, tol=1e-7, dtype="float64", max_iterations=50_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dual.update(a, b, np.ones(len(a)) if p is None else p, np.ones(len(b)))
        return dual.distance

    base = distance(x, y)
    assert base >= -1e-6
    assert distance(y, x) == pytest.approx(base, abs=1e-5)
    assert distance(x[::-1], y) == pytest.approx(base, abs=1e-5)
    assert distance(x + 5.0, y + 5.0) == pytest.approx(base, abs=1e-5)
    assert distance(np.repeat(x, 2, axis=0), y) == pytest.approx(base, abs=1e-5)
    if not isinstance(cost, SaturatingCost):
        # (A saturating cost's unit is the unweighted median, which duplicates move.)
        doubled = distance(np.vstack([x, x[:1]]), y)
        assert doubled == pytest.approx(distance(x, y, np.r_[2.0, np.ones(len(x) - 1)]), abs=1e-5)
    assert distance(x, x) == 0


@pytest.mark.parametrize("dual", ALL)
def test_a_dual_without_samples_says_so(dual: Any) -> None:
    with pytest.raises(RuntimeError, match="update"):
        dual().potential(GOOD)
