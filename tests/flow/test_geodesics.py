"""Couplings, distances and convexity against POT and closed forms."""

import numpy as np
import ot
import pytest
import torch

from benchmarks.flow.problems import decoupled, normal, planar, random_policy, regulator, uniform
from sb3_wasserstein.flow.particles.geodesics import optimal_coupling
from sb3_wasserstein.flow.particles.policy import ParticlePolicy


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("sizes", [(5, 5), (4, 7)])
@pytest.mark.parametrize("k", [1, 2])
def test_couplings_are_optimal(k, sizes, unequal) -> None:
    clouds = []
    for seed, m in enumerate(sizes):
        weights = uniform((6, m), seed) if unequal else torch.ones(6, m, dtype=torch.float64)
        clouds.append(ParticlePolicy(normal((6, m, k), seed), weights / weights.sum(1, keepdim=True)))
    one, other = clouds
    start, end, mass = optimal_coupling(one, other)
    np.testing.assert_allclose(mass.sum(1), 1, atol=1e-12)
    for s in range(6):
        paid = float((mass[s] * ((start[s] - end[s]) ** 2).sum(1)).sum())
        squared = ot.dist(one.particles[s].numpy(), other.particles[s].numpy())
        assert paid == pytest.approx(ot.emd2(one.weights[s].numpy(), other.weights[s].numpy(), squared), rel=1e-10)
        # The marginals: every test function has the same mean on the pairs as on the cloud.
        for side, cloud in ((start, one), (end, other)):
            means = mass[s] @ torch.sin(side[s]), cloud.weights[s] @ torch.sin(cloud.particles[s])
            np.testing.assert_allclose(*means, atol=1e-10)


CASES = {
    "1-D": lambda: (regulator(41, 5), regulator(41, 5)),
    "1-D, other number": lambda: (regulator(41, 5), regulator(41, 3)),
    "2-D": lambda: (planar(), planar()),
}


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_geodesics_have_constant_speed(case, unequal) -> None:
    start, end = (random_policy(flow, seed, weighted=unequal) for seed, flow in enumerate(CASES[case]()))
    whole = start.distance(end)
    assert whole > 0.1
    assert start.distance(start) == pytest.approx(0, abs=1e-12)
    for t in (0.0, 0.4, 1.0):
        middle = start.geodesic(end, t)
        assert start.distance(middle) == pytest.approx(t * whole, abs=1e-12)
        # The rest of the way, with the law of states at the start.
        a, b, mass = middle.coupling(end)
        rest = float((start.evaluate()[2] @ (((a - b) ** 2).sum(-1) * mass).sum(1)).sqrt())
        assert rest == pytest.approx((1 - t) * whole, abs=1e-12)


def test_distance_weighs_states_by_rho() -> None:
    flow = regulator(41, 1)
    moved = flow.particles.clone()
    moved[20] += 0.3
    assert flow.distance(moved) == pytest.approx(0.3 * float(flow.evaluate()[2][20]) ** 0.5, rel=1e-12)


def test_convexity_report_on_decoupled_problems() -> None:
    """J is geodesically convex iff every c(s, ·) is convex."""
    for well, expected in ((lambda s, a: torch.cosh(a - s), True), (lambda s, a: (a**2 - 1) ** 2, False)):
        flow = decoupled(well)
        flow.particles = torch.full_like(flow.particles, -1.2)
        report = flow.convexity(flow.geodesic(torch.full_like(flow.particles, 1.2), 1.0))
        assert report.convex is expected
        assert not report.transport.any()
        np.testing.assert_allclose(report.t, np.linspace(0, 1, 11))
    # 12 a² − 4 times the squared speed 2.4²
    np.testing.assert_allclose(report.curvature, (12 * (2.4 * report.t - 1.2) ** 2 - 4) * 2.4**2, rtol=1e-10)


def test_curvature_is_the_second_difference_of_j() -> None:
    start, end = (random_policy(regulator(41, 4), seed, 1.0) for seed in (1, 2))
    report = start.convexity(end, points=201)
    assert np.abs(report.transport).max() > 1e-3 * np.abs(report.local).max()
    step = report.t[1]
    second, first = np.diff(report.J, 2) / step**2, (report.J[2:] - report.J[:-2]) / (2 * step)
    np.testing.assert_allclose(second, report.curvature[1:-1], atol=1e-4 * np.abs(report.curvature).max())
    np.testing.assert_allclose(first, report.slope[1:-1], atol=1e-4 * np.abs(report.slope).max())


def test_inner_is_the_metric() -> None:
    flow = random_policy(planar((11, 9), 4))
    v, w = normal(flow.particles.shape, 1), normal(flow.particles.shape, 2)
    _, _, rho = flow.evaluate()
    expected = sum(float(rho[s] * flow.weights[s, i] * (v[s, i] @ w[s, i])) for s in range(99) for i in range(4))
    assert flow.inner(v, w) == pytest.approx(expected, rel=1e-12)
    assert flow.inner(v, v) > 0
