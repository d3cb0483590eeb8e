"""Many pairs at once against POT's log-domain Sinkhorn in float64, pair by pair."""

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

from sb3_wasserstein.cloud import Cloud
from sb3_wasserstein.duals import SaturatingCost, SinkhornDual, batched_sinkhorn
from sb3_wasserstein.transport.batched import solve_self
from sb3_wasserstein.transport.costs import Cost, GroundCost

COSTS = {
    "euclidean": ("euclidean", cdist),
    "sqeuclidean": ("sqeuclidean", lambda x, y: cdist(x, y, "sqeuclidean")),
    "cityblock": ("cityblock", lambda x, y: cdist(x, y, "cityblock")),
}


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
@pytest.mark.parametrize("name", COSTS)
def test_they_are_pots_solutions(name: str, epsilon: float) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(n, 3)) for n in (1, 30, 40, 55, 90)]
    ys = [rng.normal(size=(n, 3)) + 0.5 for n in (7, 40, 1, 20, 30)]
    x_weights, y_weights = ([rng.dirichlet(np.full(len(cloud), 5.0)) for cloud in side] for side in (xs, ys))
    cost, dense = COSTS[name]
    potentials, distances = batched_sinkhorn(
        xs, ys, epsilon=epsilon, cost=cost, relative=False, x_weights=x_weights, y_weights=y_weights, tol=1e-5
    )
    for x, y, p, q, f, distance in zip(xs, ys, x_weights, y_weights, potentials, distances, strict=True):
        costs = dense(x, y)
        plan, log = ot.bregman.sinkhorn_log(p, q, costs, epsilon, numItermax=50_000, stopThr=1e-9, log=True)
        expected = epsilon * (log["log_u"] - np.log(p))
        value = float((plan * costs).sum() + epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(p, q))).sum())
        np.testing.assert_allclose(f, expected - p @ expected, atol=3e-4)
        assert distance == pytest.approx(value, abs=3e-4)


@pytest.mark.parametrize("cost", ["euclidean", SaturatingCost(scale=1.0)])
@pytest.mark.parametrize("debias", [False, True])
def test_they_are_what_one_dual_each_gives(cost: Cost, debias: bool) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(n, 3)) for n in (1, 5, 20, 33, 80)]
    ys = [rng.normal(size=(n, 3)) + 1 for n in (4, 1, 20, 25, 90)]
    weights = [rng.random(len(x)) + 0.1 for x in xs]
    weights[2][3] = 0.0
    for k in range(5):
        settings = {"epsilon": 0.2, "cost": cost, "relative": False, "debias": debias}
        potentials, distances = batched_sinkhorn(
            xs[k : k + 1], ys[k : k + 1], x_weights=weights[k : k + 1], tol=1e-5, **settings
        )
        dual = SinkhornDual(tol=1e-6, dtype="float64", **settings)
        # (The dual's saturation is measured on points that have weight.)
        dual.update(xs[k], ys[k])
        dual.update(xs[k], ys[k], weights[k])
        np.testing.assert_allclose(potentials[0], dual.potential(xs[k]), atol=1e-3)
        assert distances[0] == pytest.approx(dual.distance, abs=1e-3)


@pytest.mark.parametrize("far", [2.0, 10.0, 50.0, 1000.0])
def test_a_point_far_from_all_others_costs_what_it_costs(far: float) -> None:
    rng = np.random.default_rng(0)
    xs, ys = list(rng.normal(size=(6, 25, 2))), list(rng.normal(size=(6, 25, 2)))
    ys[2][0] = [far, 0.0]
    xs[4][3:6] = [[-far, 0.0], [-far, 0.1], [-far, 0.2]]
    epsilon = 0.05
    _, distances = batched_sinkhorn(xs, ys, epsilon=epsilon, relative=False)
    for x, y, distance in zip(xs, ys, distances, strict=True):
        # The regulariser is the plan's information, which is at most log n.
        exact = ot.emd2([], [], cdist(x, y))
        assert exact * (1 - 1e-3) <= distance <= (exact + epsilon * np.log(25)) * (1 + 1e-3)


@pytest.mark.parametrize("per_draw", [1, 4])
def test_a_sample_against_itself_without_a_points_own_draw(per_draw: int) -> None:
    """The cost within a draw is +∞, and the reference is normalised: against POT's plan on such a matrix."""
    rng, epsilon = np.random.default_rng(0), 0.5
    x, p = rng.normal(size=(40, 2)), rng.random(40) + 0.5
    p /= p.sum()
    draws = np.arange(40) // per_draw
    within = draws[:, None] == draws
    costs = np.where(within, 1e4, cdist(x, x))
    reference = np.where(within, 0.0, np.outer(p, p))
    reference /= reference.sum()
    plan, log = ot.bregman.sinkhorn_log(p, p, costs, epsilon, numItermax=50_000, stopThr=1e-11, log=True)
    mass = 1.0 - sum(p[draws == draw].sum() ** 2 for draw in range(draws[-1] + 1))
    expected = epsilon * ((log["log_u"] + log["log_v"]) / 2 - np.log(p) + 0.5 * np.log(mass))
    f, half = solve_self(Cloud.sample(x, p, draws), GroundCost(), epsilon, 1e-7, 10_000)
    np.testing.assert_allclose(f + half, expected, atol=1e-5)
    off = plan > 1e-30
    value = (plan * costs)[off].sum() + epsilon * (plan[off] * np.log(plan[off] / reference[off])).sum()
    assert 2 * half == pytest.approx(value, abs=1e-5)


def test_a_draw_of_more_than_half_of_the_mass_makes_a_law() -> None:
    x, p = np.arange(4.0)[:, None], np.full(4, 0.25)
    assert Cloud.sample(x).is_sample
    assert Cloud.sample(x, p, np.array([0, 0, 1, 1])).is_sample
    assert not Cloud.sample(x, p, np.array([0, 0, 0, 1])).is_sample
    assert not Cloud.sample(x[:1]).is_sample
