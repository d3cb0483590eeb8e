"""Potentials at any points against the formula, entry by entry."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from sb3_wasserstein.cloud import FLOAT32, FLOAT64, Cloud
from sb3_wasserstein.duals import GroundCost, SaturatingCost
from sb3_wasserstein.transport.potentials import soft_c_transform

COSTS = {
    "euclidean": cdist,
    "sqeuclidean": lambda x, y: cdist(x, y, "sqeuclidean"),
    "cityblock": lambda x, y: cdist(x, y, "cityblock"),
    "saturating": lambda x, y: 2.0 * (1.0 - np.exp(-cdist(x, y) / 2.0)),
}


def partner(rng: np.random.Generator, size: int, dim: int) -> tuple[Cloud, np.ndarray]:
    return Cloud(rng.normal(size=(size, dim)), rng.dirichlet(np.ones(size))), rng.normal(size=size)


def by_hand(x: np.ndarray, y: Cloud, g: np.ndarray, epsilon: float, name: str = "euclidean") -> np.ndarray:
    return np.asarray(-epsilon * logsumexp((g - COSTS[name](x, y.points)) / epsilon + np.log(y.weights), axis=1))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("dim", [3, 30])
@pytest.mark.parametrize("size", [1, 30, 400])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
@pytest.mark.parametrize("name", COSTS)
def test_the_formula(name: str, epsilon: float, size: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    y, g = partner(rng, size, dim)
    cost = GroundCost(SaturatingCost("euclidean", 2.0) if name == "saturating" else name)
    cost.base_median = 1.0
    # Points of the cloud itself, points between, and points far away, whose exponentials vanish.
    x = np.concatenate([y.points, rng.normal(size=(200, dim)), 30.0 * rng.normal(size=(7, dim))])
    expected = by_hand(x, y, g, epsilon, name)
    for backend, accuracy in ((FLOAT64, 1e-7), (FLOAT32, 3e-5)):
        values = soft_c_transform(x, y, g, epsilon, cost, backend)
        np.testing.assert_allclose(values, expected, atol=accuracy * np.abs(expected).max())


def test_an_outlier_costs_the_others_nothing() -> None:
    rng = np.random.default_rng(1)
    y, g = partner(rng, 40, 2)
    y.points[0] = 1e6
    x = np.concatenate([rng.normal(size=(20, 2)), [[1e6, 0.0]]])
    for backend in (FLOAT32, FLOAT64):
        values = soft_c_transform(x, y, g, 0.05, GroundCost(), backend)
        np.testing.assert_allclose(values[:-1], by_hand(x, y, g, 0.05)[:-1], atol=1e-6)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("dim", [21, 300])
def test_points_next_to_a_cloud_far_from_the_centre(dim: int) -> None:
    """A matrix product in float32 has nothing left of such a distance; here one at 1 / 1000 of the cloud's size decides."""
    rng = np.random.default_rng(5)
    y, g = partner(rng, 250, dim)
    directions = rng.normal(size=y.points.shape)
    x = y.points + directions / np.linalg.norm(directions, axis=1)[:, None] * np.geomspace(1e-8, 1.0, len(y))[:, None]
    epsilon = 0.05 * float(np.median(cdist(x, y.points)))
    values = soft_c_transform(x, y, g, epsilon, GroundCost(), FLOAT32)
    np.testing.assert_allclose(values, by_hand(x, y, g, epsilon), atol=1e-3 * epsilon)


@pytest.mark.usefixtures("loops")
def test_clouds_far_apart_are_not_blurred() -> None:
    """Their coordinates, from the common centre, have no decimals left in float32."""
    rng = np.random.default_rng(3)
    y, g = partner(rng, 200, 2)
    y.points[:100] -= 1e5
    y.points[100:] += 1e5
    x = np.concatenate([rng.normal(size=(60, 2)) - 1e5, rng.normal(size=(60, 2)) + 1e5])
    np.testing.assert_allclose(soft_c_transform(x, y, g, 0.5, GroundCost(), FLOAT32), by_hand(x, y, g, 0.5), atol=1e-3)
