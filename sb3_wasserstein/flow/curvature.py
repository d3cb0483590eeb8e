"""Second derivatives of J along displacements of the particles: a local part and a transport part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.flow.steps import differentiate

if TYPE_CHECKING:
    from sb3_wasserstein.flow.evaluation import Evaluation
    from sb3_wasserstein.flow.particles import ParticleFlow

# ρ' / ρ is round-off where ρ is below this share of its maximum.
_UNVISITED = 1e-14


@dataclass(frozen=True)
class ConvexityReport:
    """
    J along a geodesic a + t v, at every t: ``curvature = local + transport = d²J/dt²`` exactly.

    :param t: where, in [0, 1]
    :param J: the cost there
    :param slope: dJ/dt
    :param local: Σ ρ E⟨v, ∂²_a Q v⟩
    :param transport: 2 ρ P' V'

    Example:
        >>> from sb3_wasserstein.flow import Grid, ParticleFlow
        >>> dynamics, cost = (lambda s, a: s + 0.1 * a), (lambda s, a: (s**2 + a**2)[:, 0])
        >>> flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 31), -2, 2, n_particles=2, noise=0.3)
        >>> other = flow.copy()
        >>> _ = other.solve()
        >>> report = flow.convexity(other, points=5)
        >>> report.t.shape, report.convex
        ((5,), True)
    """

    t: np.ndarray
    J: np.ndarray
    slope: np.ndarray
    local: np.ndarray
    transport: np.ndarray

    @property
    def curvature(self) -> np.ndarray:
        """d²J/dt²."""
        return np.asarray(self.local + self.transport)

    @property
    def convex(self) -> bool:
        """Whether J is convex at all the places looked at."""
        return bool(np.all(self.curvature >= -1e-12 * max(1.0, float(np.abs(self.curvature).max()))))


def _value_derivative(at: Evaluation, g: torch.Tensor) -> torch.Tensor:
    """γ N V', V' = A⁻¹ g: the derivative of Q in the law of states, for g(s) = E⟨∇Q, v⟩."""
    V, _ = at.chain.value(g.numpy().copy())
    gamma = 1.0 if at.chain.discount is None else at.chain.discount
    return torch.as_tensor(gamma * at.mdp.axis_noise.expect(V))


def _row_derivative(flow: ParticleFlow, at: Evaluation, v: torch.Tensor) -> np.ndarray:
    """γ ρ P', P' = E⟨∂_a P, v⟩, as a row on the nodes, (n,)."""
    probe = torch.zeros(flow.grid.size, dtype=torch.float64, requires_grad=True)
    actions = flow.particles.detach().requires_grad_(True)
    value = at.mdp.future_value(actions, probe)
    (slope,) = torch.autograd.grad(value.sum(), actions, create_graph=True, allow_unused=True)
    row = torch.zeros_like(probe)
    if slope is not None and slope.requires_grad:
        paired = (((slope * v).sum(-1) * flow.weights).sum(1) * at.rho).sum()
        (row,) = torch.autograd.grad(paired, probe)
    gamma = 1.0 if at.chain.discount is None else at.chain.discount
    return np.asarray(gamma * at.mdp.axis_noise.spread(row.detach().numpy()))


def hessian_vector(flow: ParticleFlow, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The Riesz vectors of the second derivative. With V' the change of V and ρ' that of ρ along v,

        local = ∂²_a Q v,    transport = ∇_a (γ E V'(s')) + (ρ'/ρ) ∇_a Q

    so that ``g_π(w, transport) = γ ρ (P'_w V'_v + P'_v V'_w)``: symmetric, and 2 γ ρ P' V' for w = v.
    """
    at = flow.evaluation(flow.discount)
    found = differentiate(at.q, flow.particles, second=True)
    assert found.hessian is not None
    local = (found.hessian @ v[..., None]).squeeze(-1)

    g = ((found.gradient * v).sum(-1) * flow.weights).sum(1)
    ahead = _value_derivative(at, g)
    moved = differentiate(lambda actions: at.mdp.future_value(actions, ahead), flow.particles).gradient

    rho_derivative = torch.as_tensor(at.chain.adjoint(_row_derivative(flow, at, v)))
    visited = at.rho > _UNVISITED * at.rho.max()
    relative = torch.where(visited, rho_derivative / at.rho.clamp(min=1e-300), torch.zeros_like(at.rho))
    return local, moved + relative[:, None, None] * found.gradient


def convexity(flow: ParticleFlow, other: ParticleFlow, points: int) -> ConvexityReport:
    """See :meth:`ParticleFlow.convexity`."""
    check_count("points", points, 2)
    start, end, _ = flow.coupling(other)
    v = end - start
    rows = []
    for t in np.linspace(0.0, 1.0, points):
        policy = flow.geodesic(other, float(t))
        local, transport = policy.hessian_vector(v)
        J = policy.evaluation(flow.discount).J
        rows.append((t, J, policy.inner(policy.gradient(), v), policy.inner(v, local), policy.inner(v, transport)))
    return ConvexityReport(*(np.array(column) for column in zip(*rows, strict=True)))
