"""Where the flow ends: Riccati, dense dynamic programming, every initialisation the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.flow.problems import (
    decoupled,
    double_integrator,
    dynamic_programme,
    normal,
    planar,
    random_policy,
    regulator,
    scalar_lq,
    three_states,
    uniform,
    wrong_by,
)
from sb3_wasserstein.flow import Grid, ParticleFlow

STARTS = {
    "normal": normal((201, 8, 1), 0, 3.0),
    "uniform": 20 * uniform((201, 8, 1), 0) - 10,
    "bimodal": 5 * torch.sign(normal((201, 8, 1), 0)),
    **{str(a): torch.full((201, 8, 1), a) for a in (-10.0, -5.0, 0.0, 1.0, 5.0, 10.0)},
}


@pytest.mark.parametrize("kind", STARTS)
def test_every_initialisation_of_the_regulator_ends_at_the_same_j(kind) -> None:
    reference = regulator(n_particles=1).solve().J
    flow = regulator()
    flow.particles = STARTS[kind]
    result = flow.solve()
    assert pytest.approx(reference, rel=1e-10) == result.J
    assert result.iterations <= 60
    assert len(result.history) == result.iterations
    assert result.gap <= 1e-12


def test_no_dynamic_programme_over_fixed_actions_is_better() -> None:
    flow = regulator(101)
    J = flow.solve().J
    coarse, fine = dynamic_programme(flow, 101), dynamic_programme(flow, 2001)
    assert fine + 1e-10 >= J
    assert fine - J < coarse - fine
    assert pytest.approx(fine, rel=1e-4) == J


@pytest.mark.parametrize("seed", range(6))
def test_no_wrong_basin_in_random_nonconvex_problems(seed) -> None:
    """Costs and dynamics with several wells in the action, drawn at random: policy iteration over 501 actions is no better."""
    generator = torch.Generator().manual_seed(seed)
    p = 2 * torch.rand(12, generator=generator, dtype=torch.float64) - 1

    def dynamics(s, a):
        pushed = 0.4 * p[2] * torch.tanh(2 * a) + 0.2 * p[3] * torch.sin(3 * a + p[4] * s)
        return 0.8 * s + 0.3 * p[0] * torch.sin(3 * s + p[1]) + pushed

    def cost(s, a):
        x, u = s[:, 0], a[:, 0]
        wells = 0.3 * torch.cos(5 * p[7] * u + p[8] * x) + 0.2 * p[9] * u + 0.05 * u**2
        return (x - p[5]) ** 2 + p[6] * torch.cos(4 * x) + wells

    flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 61), -2, 2, 6, 0.3)
    flow.particles = 4 * torch.rand(flow.particles.shape, generator=generator, dtype=torch.float64) - 2
    result = flow.solve()
    assert dynamic_programme(flow, 501) + 1e-10 >= result.J
    assert result.gap <= 1e-10


def test_newton_converges_quadratically() -> None:
    flow = regulator()
    flow.solve()
    optimum = flow.particles.clone()
    flow.particles = (5 + 3 * torch.cos(flow.grid.nodes[:, None])).expand_as(optimum)
    errors: list[float] = []
    while not errors or errors[-1] > 1e-10:
        flow.step()
        _, _, rho = flow.evaluate()
        errors.append(float((rho @ ((flow.particles - optimum) ** 2).mean((1, 2))).sqrt()))
    logs = np.log(errors[-4:-1])
    assert (logs[2] - logs[1]) / (logs[1] - logs[0]) >= 1.8, errors


@pytest.mark.parametrize(
    ("problem", "of_J", "of_actions"),
    [
        (lambda: scalar_lq(101), 1e-8, 1e-6),
        (lambda: scalar_lq(401), 1e-8, 1e-6),
        (lambda: scalar_lq(1601), 1e-8, 1e-6),
        (lambda: double_integrator(31), 1e-6, 1e-3),
        (lambda: three_states(11, 2.5, 1), 1e-4, 1e-3),
    ],
    ids=["1-D", "1-D, fine", "1-D, from a coarse grid", "2-D", "3-D, 2 actions"],
)
def test_linear_quadratic_is_riccati(problem, of_J, of_actions) -> None:
    flow, J, gain = problem()
    result = flow.solve()
    assert pytest.approx(J, rel=of_J) == result.J
    assert result.iterations <= 60
    assert wrong_by(flow, gain) <= of_actions


def test_two_states_and_two_actions() -> None:
    flow = planar((13, 13))
    result = flow.solve()
    other = random_policy(planar((13, 13), 5), 3, 2.0)
    assert pytest.approx(result.J, rel=1e-10) == other.solve().J
    assert result.gap <= 1e-12


@pytest.mark.parametrize("discount", [None, 0.9])
def test_gmres_and_factorisation_agree(discount) -> None:
    """The same chain by GMRES, whose matrix is never multiplied out, and by sparse LU."""
    found = []
    for nonzeros in (0, 10**9):
        flow = random_policy(planar(discount=discount))
        flow.mdp = replace(flow.mdp, factorised_nonzeros=nonzeros)
        J, V, rho = flow.evaluate()
        moved = sum(flow.hessian_vector(normal(flow.particles.shape, 1)))
        found.append((J, V, rho, moved * rho[:, None, None]))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-11)


def test_discounted_regulator_is_value_iteration() -> None:
    flow = regulator(61, 2, discount=0.9)
    result = flow.solve()
    actions = torch.linspace(-10, 10, 1001, dtype=torch.float64)[None, :, None].expand(61, -1, -1)
    V = np.zeros(61)
    with torch.no_grad():
        for _ in range(200):
            V = flow.mdp.action_value(actions, torch.as_tensor(0.9 * (flow.mdp.axis_noise.matrix @ V))).min(1).values.numpy()
    assert pytest.approx(0.1 * V.mean(), rel=1e-5) == result.J
    assert 0.1 * V.mean() + 1e-10 >= result.J


def test_initial_law_weighs_the_discounted_cost() -> None:
    flow = regulator(61, 2, discount=0.9)
    start = torch.zeros(61)
    start[10] = 2.0
    other = regulator(61, 2, discount=0.9, initial=start)
    _, V, _ = flow.evaluate()
    assert other.evaluate()[0] == pytest.approx(0.1 * float(V[10]), rel=1e-12)


def test_gradient_flow_descends_to_the_same_optimum() -> None:
    flow = regulator(61, 2)
    best = regulator(61, 2).solve().J
    result = flow.solve(method="gradient")
    assert pytest.approx(best, rel=1e-8) == result.J


def test_plain_gradient_steps_never_raise_j() -> None:
    flow = random_policy(regulator(61, 4), 0, 2.0)
    history = flow.solve(method="gradient", continuation=False, max_iterations=20_000).history
    assert (np.diff(history) <= 1e-14).all()


def test_unstable_plant_is_not_left_alone() -> None:
    """Where the next state is clamped, Q would not depend on the action: doing nothing must not look optimal."""
    flow, J, _ = scalar_lq(101)
    flow.particles = torch.zeros_like(flow.particles)
    assert flow.gradient()[-3:].abs().min() > 0.1
    assert pytest.approx(J, rel=1e-8) == flow.solve().J


def test_actions_stop_at_their_bounds() -> None:
    flow = regulator(101, 3, bound=0.5)
    result = flow.solve()
    assert result.gap <= 1e-12
    assert flow.particles.abs().max() == 0.5
    assert result.J > regulator(101, 3).solve().J
    projected = flow.gradient() * (flow.particles.abs() < 0.5)
    assert (projected[:, 0, 0].abs() * flow.evaluate()[2]).max() <= 1e-10


def test_greedy_gap_sees_what_the_gradient_does_not() -> None:
    """Two wells in the action: the shallow one is critical, and only a jump leaves it."""

    local = decoupled(lambda s, a: (a**2 - 1) ** 2 + 0.3 * a)
    local.particles = torch.ones_like(local.particles)
    full = local.copy()
    stuck = local.solve(continuation=False)
    assert local.gradient().abs().max() < 1e-6
    assert stuck.gap > 1e-3
    best = full.solve()
    assert best.gap <= 1e-12
    assert best.J < stuck.J - 0.5
    assert (full.particles < 0).all()


def test_mesh() -> None:
    fine = regulator(401, 2).solve().J
    assert pytest.approx(fine, rel=2e-4) == regulator(51, 2).solve().J


def test_particles_start_at_the_midpoints_of_equal_intervals() -> None:
    flow, _, _ = scalar_lq(4)
    low, high = float(flow.mdp.low), float(flow.mdp.high)
    np.testing.assert_allclose(flow.particles[0, :, 0], low + (high - low) * np.array([0.125, 0.375, 0.625, 0.875]))
    assert torch.equal(flow.particles[0], flow.particles[-1])
