"""The entropy-regularised flow against Gibbs laws by quadrature."""

import numpy as np
import pytest
import torch

from benchmarks.flow.problems import decoupled, normal, regulator, two_wells, uniform, w1
from sb3_wasserstein.flow import Grid, ParticleFlow
from sb3_wasserstein.flow.particles.langevin import negative_entropy
from sb3_wasserstein.flow.particles.mdp import evaluate
from sb3_wasserstein.flow.particles.policy import ParticlePolicy


@pytest.mark.parametrize("start", [-1.0, 1.0])
def test_two_wells_end_at_gibbs_from_either(start) -> None:
    flow, tau = decoupled(two_wells, 9, 1000, 0.5), 0.15
    flow.particles = torch.full_like(flow.particles, start)
    flow.langevin(tau, sweeps=8, steps=40, seed=0)
    actions = torch.linspace(-2, 2, 2001, dtype=torch.float64)
    law = torch.softmax(-flow.action_value(actions[None, :, None].expand(9, -1, -1)) / tau, 1)
    rho = flow.evaluate()[2]
    assert float(rho @ w1(flow.particles, law, actions)) <= 0.05
    # The law of another temperature is further away.
    assert float(rho @ w1(flow.particles, torch.softmax(law.log() / 2, 1), actions)) > 0.1


def test_coupled_flow_ends_at_the_soft_optimum() -> None:
    """Soft policy iteration on a fine grid of actions is the oracle for law and free energy."""
    flow, tau = regulator(25, 800, bound=4.0), 0.01
    free_energy = flow.langevin(tau, sweeps=16, steps=20, seed=1)
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    actions = line[None, :, None].expand(25, -1, -1).contiguous()
    law = torch.full((25, 401), 1 / 401, dtype=torch.float64)
    for _ in range(20):
        entropy = tau * (law * (law.clamp(min=1e-300) / (line[1] - line[0])).log()).sum(1)
        at = evaluate(flow.mdp, ParticlePolicy(actions, law), extra=entropy)
        law = torch.softmax(-at.q(actions) / tau, 1)
    assert free_energy == pytest.approx(at.J, abs=0.1 * tau)
    assert float(at.rho @ w1(flow.particles, law, line)) <= 0.06
    assert flow.evaluate()[0] > regulator(25, 1, bound=4.0).solve().J


def test_two_actions_end_at_the_gaussian_of_a_quadratic_cost() -> None:
    def cost(s, a):
        return s[:, 0] ** 2 + a[:, 0] ** 2 + 2 * a[:, 1] ** 2

    flow, tau = ParticleFlow(lambda s, a: 0.7 * s, cost, Grid(-3, 3, 9), [-3, -3], [3, 3], 300, 0.5), 0.5
    free_energy = flow.langevin(tau, sweeps=8, steps=40, seed=0)
    # π ∝ exp(−(a² + 2 b²) / τ), and x has variance .5² / (1 − .7²)
    np.testing.assert_allclose(flow.particles.var(1).mean(0), [tau / 2, tau / 4], rtol=0.1)
    assert free_energy == pytest.approx(0.25 / 0.51 - tau * np.log(np.pi * tau / 2**0.5), abs=0.15 * tau)


@pytest.mark.parametrize("k", [1, 2])
def test_entropy_of_known_laws(k) -> None:
    np.testing.assert_allclose(negative_entropy(normal((4, 2000, k), 0)), -k * 0.5 * np.log(2 * np.pi * np.e), atol=0.1)
    np.testing.assert_allclose(negative_entropy(3 * uniform((4, 2000, k), 0)), -k * np.log(3), atol=0.1)


def test_an_entropy_needs_equal_particles() -> None:
    with pytest.raises(ValueError, match="n_particles"):
        regulator(9, 1).langevin(0.1)
    flow = regulator(9, 3)
    flow.weights = torch.tensor([[1.0, 2.0, 3.0]]).expand(9, 3)
    with pytest.raises(ValueError, match="weights"):
        flow.langevin(0.1)
