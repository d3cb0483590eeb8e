"""Gradient and Hessian against finite differences, the classical forms, and each other."""

import numpy as np
import pytest
import torch

from benchmarks.flow.problems import along, normal, planar, random_policy, regulator, weighted
from sb3_wasserstein.flow import Grid, ParticleFlow
from sb3_wasserstein.flow.particles.mdp import Derivatives
from sb3_wasserstein.flow.particles.solver import newton_direction

CASES = {
    "1-D ergodic": lambda: regulator(61, 4),
    "1-D discounted": lambda: regulator(61, 4, discount=0.9),
    "2-D ergodic, 1 action": lambda: planar(action_dim=1),
    "2-D ergodic, 2 actions": lambda: planar(),
    "2-D discounted, 2 actions": lambda: planar(discount=0.95),
}


@pytest.fixture(params=CASES, name="flow")
def _flow(request):
    return random_policy(CASES[request.param]())


def test_evaluate_agrees_with_dense_linear_algebra(flow) -> None:
    J, V, rho = (np.asarray(x) for x in flow.evaluate())
    transition, cost = flow.mdp.chain(flow.policy)
    P = transition.matrix.toarray()
    np.testing.assert_allclose(P.sum(1), 1, atol=1e-13)
    assert P.min() >= 0
    assert pytest.approx(rho @ cost, rel=1e-12) == J
    if flow.discount is None:
        values, vectors = np.linalg.eig(P.T)
        stationary = np.real(vectors[:, np.argmax(values.real)])
        np.testing.assert_allclose(rho, stationary / stationary.sum(), atol=1e-10)
        np.testing.assert_allclose(V - P @ V, cost - J, atol=1e-11)
        assert V[np.ravel_multi_index([n // 2 for n in flow.grid.cells], flow.grid.cells)] == 0
    else:
        np.testing.assert_allclose(V, np.linalg.solve(np.eye(len(P)) - flow.discount * P, cost), rtol=1e-11)
        assert pytest.approx((1 - flow.discount) * V.mean(), rel=1e-12) == J


def test_gradient_against_central_differences(flow) -> None:
    for seed in range(3):
        v = normal(flow.particles.shape, seed)
        exact = flow.inner(flow.gradient(), v)
        assert along(flow, lambda at: at.evaluate()[0], v) == pytest.approx(exact, rel=1e-7)


def test_hessian_vector_against_differences_of_the_gradient(flow) -> None:
    v = normal(flow.particles.shape, 5)
    local, transport = flow.hessian_vector(v)
    exact = weighted(flow, local + transport)
    found = along(flow, lambda at: weighted(at, at.gradient()), v)
    assert (found - exact).norm() <= 1e-6 * exact.norm()
    # The transport part is not a detail that the tolerance would hide.
    assert transport.norm() > 1e-2 * local.norm()


def test_hessian_is_symmetric(flow) -> None:
    v, w = normal(flow.particles.shape, 1), normal(flow.particles.shape, 2)
    one, two = (sum(flow.hessian_vector(x)) for x in (v, w))
    norm = (flow.inner(one, one) * flow.inner(w, w)) ** 0.5
    assert abs(flow.inner(one, w) - flow.inner(two, v)) <= 1e-12 * norm


def test_transport_is_2_rho_dP_dV(flow) -> None:
    """The closed form, with P' and V' from dense matrices."""
    v = normal(flow.particles.shape, 3)
    exact = flow.inner(v, flow.hessian_vector(v)[1])
    rho = flow.evaluate()[2].numpy()
    P = along(flow, lambda at: at.mdp.chain(at.policy)[0].matrix.toarray(), v, 1e-5)
    V = along(flow, lambda at: at.evaluate()[1].numpy(), v, 1e-5)
    gamma = 1.0 if flow.discount is None else flow.discount
    assert exact == pytest.approx(2 * gamma * rho @ P @ V, rel=1e-4)


def test_transport_vanishes_at_the_optimum() -> None:
    flow = regulator()
    flow.solve()
    v = normal(flow.particles.shape, 0)
    local, transport = flow.hessian_vector(v)
    assert abs(flow.inner(v, transport)) <= 1e-10 * flow.inner(v, local)


@pytest.mark.parametrize("discount", [None, 0.9])
def test_transport_is_exactly_zero_where_the_action_does_not_enter_the_dynamics(discount) -> None:
    def cost(s, a):
        return s[:, 0] ** 2 + (a[:, 0] - torch.sin(s[:, 0])) ** 2

    flow = random_policy(ParticleFlow(lambda s, a: 0.8 * s, cost, Grid(-3, 3, 41), -3, 3, 4, 0.4, discount))
    assert not flow.hessian_vector(normal(flow.particles.shape, 1))[1].any()


def test_costs_may_ignore_the_action() -> None:
    flow = ParticleFlow(lambda s, a: 0.5 * s + a, lambda s, a: s[:, 0] ** 2, Grid(-3, 3, 41), -1, 1, 2, 0.4)
    assert pytest.approx(0.16, rel=1e-6) == flow.solve().J


def test_in_place_changes_of_the_particles_are_noticed() -> None:
    flow = regulator(61, 2)
    before = flow.evaluate()[0]
    flow.particles[30] += 0.5
    assert flow.evaluate()[0] != before


def test_a_bound_holds_what_would_leave_the_box() -> None:
    """However small the slope is that pushes against it."""
    at = regulator(11, 1, bound=1.0).evaluation()
    actions, gradient = torch.tensor([[[-1.0, -1.0, 1.0, 1.0, 0.0]], [[0.2, -0.2, -0.2, 0.2, 0.2]]]).double().mT
    direction = newton_direction(at, Derivatives(torch.zeros(5), gradient, torch.full((5, 1, 1), 2.0).double()), actions)
    torch.testing.assert_close(direction[:, 0], torch.tensor([0.0, 0.1, 0.0, -0.1, -0.1], dtype=torch.float64))
