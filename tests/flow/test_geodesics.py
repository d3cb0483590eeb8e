"""Couplings, distances and convexity against POT and closed forms."""

import numpy as np
import ot
import pytest
import torch
from flow_problems import displacement, planar, random_policy, regulator

from sb3_wasserstein.flow import Grid, ParticleFlow
from sb3_wasserstein.flow.particles.geodesics import optimal_coupling
from sb3_wasserstein.flow.particles.policy import ParticlePolicy


def cloud(n, m, k, seed, weighted):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, m, k, generator=generator, dtype=torch.float64)
    weights = torch.rand(n, m, generator=generator, dtype=torch.float64) if weighted else torch.ones(n, m, dtype=torch.float64)
    return points, weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [(5, 5), (4, 7)])
@pytest.mark.parametrize("k", [1, 2])
def test_couplings_are_optimal(k, sizes, weighted) -> None:
    (a, wa), (b, wb) = (cloud(6, m, k, seed, weighted) for seed, m in enumerate(sizes))
    start, end, mass = optimal_coupling(ParticlePolicy(a, wa), ParticlePolicy(b, wb))
    np.testing.assert_allclose(mass.sum(1), 1, atol=1e-12)
    for s in range(6):
        paid = float((mass[s] * ((start[s] - end[s]) ** 2).sum(1)).sum())
        assert paid == pytest.approx(ot.emd2(wa[s].numpy(), wb[s].numpy(), ot.dist(a[s].numpy(), b[s].numpy())), rel=1e-10)
        # The marginals: every test function has the same mean on the pairs as on the cloud.
        for side, points, weights in ((start, a, wa), (end, b, wb)):
            np.testing.assert_allclose(mass[s] @ torch.sin(side[s]), weights[s] @ torch.sin(points[s]), atol=1e-10)


CASES = {
    "1-D": lambda: (regulator(41, 5), regulator(41, 5)),
    "1-D, other number": lambda: (regulator(41, 5), regulator(41, 3)),
    "2-D": lambda: (planar((11, 9), 3), planar((11, 9), 3)),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_geodesics_have_constant_speed(case, weighted) -> None:
    start, end = (random_policy(flow, seed, 0.5) for seed, flow in enumerate(CASES[case]()))
    if not weighted:
        for flow in (start, end):
            flow.weights = torch.ones_like(flow.weights)
    whole = start.distance(end)
    assert whole > 0.1
    assert start.distance(start) == pytest.approx(0, abs=1e-12)
    for t in (0.0, 0.4, 1.0):
        middle = start.geodesic(end, t)
        assert start.distance(middle) == pytest.approx(t * whole, abs=1e-12)
        # The other leg, with the law of states at the start.
        a, b, mass = middle.coupling(end)
        rest = float((start.evaluate()[2] @ (((a - b) ** 2).sum(-1) * mass).sum(1)).sqrt())
        assert rest == pytest.approx((1 - t) * whole, abs=1e-12)


def test_distance_weighs_states_by_rho() -> None:
    flow = regulator(41, 1)
    moved = flow.particles.clone()
    moved[20] += 0.3
    assert flow.distance(moved) == pytest.approx(0.3 * float(flow.evaluate()[2][20]) ** 0.5, rel=1e-12)


def decoupled(cost):
    """The action does not move the state: J is geodesically convex iff every c(s, ·) is convex."""
    return ParticleFlow(lambda s, a: 0.7 * s, cost, Grid(-3, 3, 31), -2, 2, 3, 0.4)


def test_convexity_report_on_decoupled_problems() -> None:
    convex = decoupled(lambda s, a: s[:, 0] ** 2 + torch.cosh(a[:, 0] - s[:, 0]))
    wells = decoupled(lambda s, a: s[:, 0] ** 2 + (a[:, 0] ** 2 - 1) ** 2)
    for flow, expected in ((convex, True), (wells, False)):
        flow.particles = torch.full_like(flow.particles, -1.2)
        other = flow.copy()
        other.particles = torch.full_like(flow.particles, 1.2)
        report = flow.convexity(other)
        assert report.convex is expected
        assert not report.transport.any()
        np.testing.assert_allclose(report.t, np.linspace(0, 1, 11))
    # 12 a² − 4 times the squared speed 2.4²
    np.testing.assert_allclose(report.curvature, (12 * (2.4 * report.t - 1.2) ** 2 - 4) * 2.4**2, rtol=1e-10)


def test_curvature_is_the_second_difference_of_j() -> None:
    start, end = (random_policy(regulator(41, 4), seed) for seed in (1, 2))
    report = start.convexity(end, points=201)
    assert np.abs(report.transport).max() > 1e-3 * np.abs(report.local).max()
    step = report.t[1]
    second, first = np.diff(report.J, 2) / step**2, (report.J[2:] - report.J[:-2]) / (2 * step)
    np.testing.assert_allclose(second, report.curvature[1:-1], atol=1e-4 * np.abs(report.curvature).max())
    np.testing.assert_allclose(first, report.slope[1:-1], atol=1e-4 * np.abs(report.slope).max())


def test_inner_is_the_metric() -> None:
    flow = random_policy(planar((11, 9), 4), spread=0.5)
    v, w = displacement(flow, 1), displacement(flow, 2)
    _, _, rho = flow.evaluate()
    expected = sum(float(rho[s] * flow.weights[s, i] * (v[s, i] @ w[s, i])) for s in range(99) for i in range(4))
    assert flow.inner(v, w) == pytest.approx(expected, rel=1e-12)
    assert flow.inner(v, v) > 0
