"""Potentials at many points at once against the formula, entry by entry."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from sb3_wasserstein.cloud import Kind
from sb3_wasserstein.duals import SaturatingCost
from sb3_wasserstein.transport.costs import GroundCost
from sb3_wasserstein.transport.potentials import BLOCK, Transforms


def clouds(rng, dim, sizes):
    made = []
    for size, sign in zip(sizes, (1.0, -1.0), strict=False):
        weights = rng.dirichlet(np.ones(size))
        made.append((rng.normal(size=(size, dim)), weights, rng.normal(size=size), sign))
    return made


def by_hand(x, parts, epsilon, cost):
    values = np.zeros(len(x))
    for y, q, g, sign in parts:
        values -= sign * epsilon * logsumexp((g - cost(x, y)) / epsilon + np.log(q), axis=1)
    return values


COSTS = {
    "euclidean": cdist,
    "sqeuclidean": lambda x, y: cdist(x, y, "sqeuclidean"),
    "cityblock": lambda x, y: cdist(x, y, "cityblock"),
    "saturating": lambda x, y: 2.0 * (1.0 - np.exp(-cdist(x, y) / 2.0)),
}


@pytest.mark.parametrize("dim", [3, 6, 30])
@pytest.mark.parametrize("sizes", [(30,), (30, 50), (1, 40)])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
@pytest.mark.parametrize("name", COSTS)
def test_the_formula(name, epsilon, sizes, dim, loops):
    rng = np.random.default_rng(0)
    parts = clouds(rng, dim, sizes)
    cost = GroundCost(SaturatingCost("euclidean", 2.0) if name == "saturating" else name)
    cost.base_median = 1.0
    # Points of the clouds themselves, points between, and points far away, whose exponentials vanish.
    x = np.concatenate([parts[0][0], rng.normal(size=(200, dim)), 30.0 * rng.normal(size=(7, dim))])
    expected = by_hand(x, parts, epsilon, COSTS[name])
    for dtype, accuracy in (("float64", 1e-7), ("float32", 3e-5)):
        values = Transforms(parts, epsilon, cost, Kind(dtype))(x)
        np.testing.assert_allclose(values, expected, atol=accuracy * np.abs(expected).max())


def test_an_outlier_costs_the_others_nothing():
    rng = np.random.default_rng(1)
    parts = clouds(rng, 2, (40, 40))
    parts[0][0][0] = 1e6
    x = np.concatenate([rng.normal(size=(20, 2)), [[1e6, 0.0]]])
    values = Transforms(parts, 0.05, GroundCost("euclidean"), Kind("float64"))(x)
    np.testing.assert_allclose(values[:-1], by_hand(x, parts, 0.05, cdist)[:-1], atol=1e-6)


@pytest.mark.parametrize("dim", [3, 6, 30])
def test_points_out_of_reach_leave_the_others_as_they_are(dim, monkeypatch, loops):
    """In float32 rows are gone through for the points alone whose exponentials vanish."""
    rng = np.random.default_rng(4)
    parts = clouds(rng, dim, (30, 50))
    x = rng.normal(size=(40, dim))
    x[7] *= 100.0
    transforms = Transforms(parts, 0.1, GroundCost("euclidean"), Kind("float32"))
    asked, by_rows = [], Transforms._by_rows
    monkeypatch.setattr(Transforms, "_by_rows", lambda self, rest: asked.append(rest) or by_rows(self, rest))
    np.testing.assert_allclose(transforms(x), by_hand(x, parts, 0.1, cdist), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(asked), x[7:8])


@pytest.mark.parametrize("dim", [21, 70, 300])
def test_points_next_to_a_cloud_far_from_the_centre(dim, loops):
    """Where the product in float32 has nothing left of a distance; here one at 1 / 1000 of the cloud's size decides."""
    rng = np.random.default_rng(5)
    parts = clouds(rng, dim, (60, 250))
    y = np.concatenate([part[0] for part in parts])
    directions = rng.normal(size=y.shape)
    x = y + directions / np.linalg.norm(directions, axis=1)[:, None] * np.geomspace(1e-8, 1.0, len(y))[:, None]
    size = float(np.median(cdist(x, y)))
    epsilon = 0.05 * size
    values = Transforms(parts, epsilon, GroundCost("euclidean"), Kind("float32"))(x)
    np.testing.assert_allclose(values, by_hand(x, parts, epsilon, cdist), atol=1e-3 * epsilon)


def test_clouds_far_apart_are_not_blurred(loops):
    """Their coordinates, from the common centre, have no decimals left in float32."""
    rng = np.random.default_rng(3)
    parts = clouds(rng, 2, (200,))
    parts[0][0][:100] -= 1e5
    parts[0][0][100:] += 1e5
    x = np.concatenate([rng.normal(size=(60, 2)) - 1e5, rng.normal(size=(60, 2)) + 1e5])
    values, expected = Transforms(parts, 0.5, GroundCost("euclidean"), Kind("float32"))(x), by_hand(x, parts, 0.5, cdist)
    np.testing.assert_allclose(values, expected, atol=1e-3)


def test_blocks_are_seamless():
    rng = np.random.default_rng(2)
    parts = clouds(rng, 4, (100, 60))
    transforms = Transforms(parts, 0.1, GroundCost("euclidean"), Kind("float64"))
    x = rng.normal(size=(2 * BLOCK // 160 + 3, 4))
    np.testing.assert_allclose(transforms(x), np.concatenate([transforms(row[None]) for row in x]), atol=1e-12)
