"""Pairwise distances and potentials against duals solved one by one, and against POT."""

from functools import partial

import numpy as np
import ot
import pytest

from sb3_wasserstein.duals import SaturatingCost, SinkhornDual
from sb3_wasserstein.population.pairwise import MAX_POINTS, Pairwise, thin


def clouds(n_members=3, sizes=(40, 55, 90), dim=3, seed=0):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=(sizes[k % len(sizes)], dim)) + k * np.arange(dim) / 2 for k in range(n_members)}


def solved(made, cost="euclidean", epsilon=0.1, **kwargs):
    pairwise = Pairwise(SinkhornDual(epsilon=epsilon, cost=cost, tol=1e-5, **kwargs))
    pairwise.measure(np.concatenate(list(made.values())))
    return pairwise, pairwise.solve(made)


def test_distances_are_sinkhorn_divergences_by_pot() -> None:
    made = clouds()
    # POT's plain iteration on a law against itself is slow where ε is small.
    pairwise, _ = solved(made, epsilon=0.5)

    def transport(x, y):
        costs = ot.dist(x, y, metric="euclidean")
        p, q = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
        reference = np.outer(p, q)
        if x is y:
            # A sample's point does not count for itself.
            np.fill_diagonal(costs, 1e3)
            np.fill_diagonal(reference, 0.0)
        plan = ot.sinkhorn(p, q, costs, pairwise.epsilon, method="sinkhorn_log", stopThr=1e-9, numItermax=20_000)
        moved = plan > 1e-30
        density = (plan / reference.clip(1e-300) * reference.sum())[moved]
        return (plan * costs)[moved].sum() + pairwise.epsilon * (plan[moved] * np.log(density)).sum()

    for k, l in [(0, 1), (0, 2), (1, 2)]:
        x, y = made[k], made[l]
        divergence = transport(x, y) - transport(x, x) / 2 - transport(y, y) / 2
        assert pairwise.distances[k, l] == pytest.approx(divergence, abs=2e-5)
        assert pairwise.distances[l, k] == pairwise.distances[k, l]


def saturated(x, y, limit):
    return limit * -np.expm1(-ot.dist(x, y, metric="euclidean") / limit)


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("cost", ["euclidean", SaturatingCost(scale=1.0), "cityblock"])
def test_a_potential_is_the_one_of_a_single_dual(cost, debias) -> None:
    made = clouds()
    pairwise, _ = solved(made, cost, debias=debias)
    new = np.random.default_rng(9).normal(size=(20, 3)) * 2
    for member, other in [(0, 2), (2, 0)]:
        dual = SinkhornDual(epsilon=pairwise.epsilon, relative=False, cost=cost, tol=1e-6, debias=debias)
        if isinstance(cost, SaturatingCost):
            # The saturation's unit is the population's, not the pair's.
            unit = pairwise.cost.base_median
            limit = cost.scale * unit
            dual = SinkhornDual(
                epsilon=pairwise.epsilon,
                relative=False,
                cost=partial(saturated, limit=limit),
                tol=1e-6,
                debias=debias,
            )
        dual.update(made[member], made[other])
        expected = dual.potential(new)
        found = pairwise.potential(member, {other: 1.0})(new)
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.ptp(expected))


def test_a_potential_is_the_weighted_sum_and_centred() -> None:
    made = clouds()
    pairwise, _ = solved(made)
    new = np.random.default_rng(9).normal(size=(20, 3))
    both = pairwise.potential(1, {0: 0.25, 2: 0.75})
    apart = 0.25 * pairwise.potential(1, {0: 1.0})(new) + 0.75 * pairwise.potential(1, {2: 1.0})(new)
    np.testing.assert_allclose(both(new), apart, atol=1e-9)
    assert both(made[1], np.arange(len(made[1]))).mean() == pytest.approx(0.0, abs=1e-5)


def test_features_are_brought_to_their_unit() -> None:
    made = clouds()
    unit = np.array([1.0, 10.0, 0.1])
    pairwise, _ = solved(made)
    new = np.random.default_rng(9).normal(size=(5, 3))
    plain, scaled = pairwise.potential(0, {1: 1.0}), pairwise.potential(0, {1: 1.0}, feature_scale=unit)
    np.testing.assert_allclose(scaled(new * unit), plain(new))


def test_the_way_from_a_reference_is_a_divergence() -> None:
    made = clouds(2)
    pairwise = Pairwise(SinkhornDual(epsilon=0.1, tol=1e-5))
    pairwise.measure(np.concatenate(list(made.values())))
    travelled = pairwise.solve(made, {0: made[1], 1: made[1]})
    assert travelled[0] == pytest.approx(pairwise.distances[0, 1], abs=1e-5)
    assert travelled[1] == pytest.approx(0.0, abs=1e-5)


def test_large_clouds_are_thinned_at_a_stride() -> None:
    cloud = np.arange(4 * MAX_POINTS + 3, dtype=float)[:, None]
    kept = thin(cloud)
    assert len(kept) <= MAX_POINTS
    assert np.unique(np.diff(kept[:, 0])).size == 1
    assert thin(cloud[:10]) is not None
    assert len(thin(cloud[:10])) == 10
