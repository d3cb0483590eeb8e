"""Potentials at running means of few points, from those points' products, against the formula at the means themselves."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from test_evaluation import by_hand, clouds

from sb3_wasserstein import extra
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.duals.clouds import Kind
from sb3_wasserstein.duals.costs import GroundCost
from sb3_wasserstein.duals.evaluation import Transforms
from sb3_wasserstein.means import RunningMeans

T, N, DIM, POINTS = 60, 4, 40, 12


def walks(rng, points, ends, sums=None, counts=None):
    """Means of what is added step by step, and what says so."""
    sums = np.zeros((N, DIM)) if sums is None else sums
    counts = np.zeros(N) if counts is None else counts
    index = rng.integers(0, len(points), ends.shape)
    fresh = rng.integers(0, len(points), ends.sum())
    means = RunningMeans(points, index, fresh, ends, sums.copy(), counts.copy())
    rows, begun = [], iter(fresh)
    for added, ended in zip(index, ends, strict=True):
        sums, counts = sums + points[added], counts + 1.0
        rows.append(sums / counts[:, None])
        for env in np.flatnonzero(ended):
            sums[env], counts[env] = points[next(begun)], 1.0
    return np.concatenate(rows), means


def ended(rng, rate):
    ends = rng.random((T, N)) < rate
    ends[-1, 0] = rate > 0
    return ends


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Loops of any size, and none by rows or by products."""
    pytest.importorskip("numba")
    monkeypatch.setattr(extra, "LEAST_ENTRIES", 0)
    monkeypatch.setattr(Transforms, "_compiled_block", None)
    monkeypatch.setattr(Transforms, "_block", None)


@pytest.mark.parametrize("name", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("carried", [False, True])
def test_means_against_the_formula(name, rate, shift, carried):
    rng = np.random.default_rng(0)
    parts = clouds(rng, DIM, (30, 50))
    parts = [(y + shift, q, g, sign) for y, q, g, sign in parts]
    points = shift + rng.normal(size=(POINTS, DIM))
    counts = np.arange(1.0, N + 1)
    before = (counts[:, None] * shift + rng.normal(size=(N, DIM)), counts) if carried else ()
    x, means = walks(rng, points, ended(rng, rate), *before)
    epsilon = 1.0 if name == "euclidean" else 20.0
    values = Transforms(parts, epsilon, GroundCost(name), Kind("float32"))(x, means)
    cost = cdist if name == "euclidean" else lambda a, b: cdist(a, b, "sqeuclidean")
    np.testing.assert_allclose(values, by_hand(x, parts, epsilon, cost), atol=1e-5 * epsilon)


def test_means_that_meet_a_cloud_s_points():
    """Distances of zero, which float32 products would leave nothing of."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(POINTS, DIM))
    x, means = walks(rng, points, ended(rng, 0.1))
    parts = [(x[::7].copy(), np.full(len(x[::7]), 1 / len(x[::7])), np.zeros(len(x[::7])), 1.0)]
    values = Transforms(parts, 0.02, GroundCost("euclidean"), Kind("float32"))(x, means)
    np.testing.assert_allclose(values, by_hand(x, parts, 0.02, cdist), atol=2e-6)


def test_means_out_of_the_exponentials_reach():
    rng = np.random.default_rng(2)
    parts = clouds(rng, DIM, (30,))
    points = rng.normal(size=(POINTS, DIM))
    points[0] = 1e3
    x, means = walks(rng, points, ended(rng, 0.1))
    values = Transforms(parts, 0.5, GroundCost("euclidean"), Kind("float32"))(x, means)
    expected = by_hand(x, parts, 0.5, cdist)
    assert np.abs(expected).max() > 50
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("debias", [False, True])
def test_a_dual_shapes_means_as_it_shapes_points(debias, monkeypatch):
    rng = np.random.default_rng(3)
    points = rng.dirichlet(np.ones(DIM), POINTS)
    x, means = walks(rng, points, ended(rng, 0.1))
    dual = SinkhornDual(debias=debias)
    dual.update(x[::3], rng.dirichlet(np.ones(DIM), 5))
    shaped = dual.shaping_at(x, means)
    monkeypatch.undo()
    np.testing.assert_allclose(shaped, dual.shaping(x), atol=2e-5 * dual.scale)


@pytest.mark.parametrize("why", ["many points", "few dimensions", "float64"])
def test_where_means_save_nothing_they_are_not_used(why, monkeypatch):
    rng = np.random.default_rng(4)
    monkeypatch.undo()
    monkeypatch.setattr(Transforms, "_of_means", None)
    dim = 5 if why == "few dimensions" else DIM
    points = rng.normal(size=(T * N if why == "many points" else POINTS, dim))
    index = rng.integers(0, len(points), (T, N))
    means = RunningMeans(points, index, index[0, :0], np.zeros((T, N), bool), np.zeros((N, dim)), np.zeros(N))
    x = (np.cumsum(points[index], axis=0) / np.arange(1, T + 1)[:, None, None]).reshape(-1, dim)
    parts = clouds(rng, dim, (30, 50))
    values = Transforms(parts, 1.0, GroundCost("euclidean"), Kind("float64" if why == "float64" else "float32"))(x, means)
    np.testing.assert_allclose(values, by_hand(x, parts, 1.0, cdist), atol=1e-4)
