"""
First and second derivatives of the cost J in the space of policies, after Dus 2026.

In the metric g_π(v, w) = Σ_s ρ(s) E_π ⟨v, w⟩ the gradient of J is ∇_a Q_π. The second derivative along straight displacements
a + t v has a local part, from the curvature of Q, and a transport part, from the change of the law of states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.flow.particles.geodesics import optimal_coupling
from sb3_wasserstein.flow.particles.mdp import Evaluation, GridMDP, evaluate
from sb3_wasserstein.flow.particles.policy import ParticlePolicy

# (n, m, k) actions -> (n, m) action values
ActionValue: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class Derivatives(NamedTuple):
    """Q (n, m), ∇_a Q (n, m, k) and, where it was asked for, ∂²_a Q (n, m, k, k), else an empty tensor."""

    value: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor


def differentiate(q: ActionValue, actions: torch.Tensor, second: bool = False) -> Derivatives:
    """
    Q and its derivatives in the action, particle by particle. Actions that do not enter have derivative 0 exactly.

    :param second: whether the Hessian is wanted
    """
    actions = actions.detach().requires_grad_(True)
    value = q(actions)
    k = actions.shape[-1]
    gradient = torch.zeros_like(actions)
    hessian = torch.zeros(*actions.shape, k, dtype=torch.float64) if second else torch.empty(0)
    if value.requires_grad:
        (found,) = torch.autograd.grad(value.sum(), actions, create_graph=second, allow_unused=True)
        gradient = gradient if found is None else found
    if second and gradient.requires_grad:
        for i in range(k):
            (row,) = torch.autograd.grad(gradient[..., i].sum(), actions, retain_graph=i < k - 1, allow_unused=True)
            if row is not None:
                hessian[..., i, :] = row
    return Derivatives(value.detach(), gradient.detach(), hessian)


def gradient(at: Evaluation) -> torch.Tensor:
    """grad J = ∇_a Q_π at every particle, (n, m, k); dJ/da_si = ρ(s) w_si ∇_a Q(s, a_si)."""
    return differentiate(at.q, at.policy.particles).gradient


def inner(at: Evaluation, v: torch.Tensor, w: torch.Tensor) -> float:
    """The metric g_π(v, w) = Σ_s ρ(s) E_π ⟨v, w⟩ of two displacements of the particles."""
    return float(at.policy.mean((v * w).sum(-1)) @ at.rho)


def hessian_vector(at: Evaluation, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The Riesz vectors of the second derivative. With V' the change of V and ρ' that of ρ along v,

        local = ∂²_a Q v,    transport = ∇_a (γ E V'(s')) + (ρ'/ρ) ∇_a Q

    so that ``g_π(w, transport) = γ ρ (P'_w V'_v + P'_v V'_w)``: symmetric, and 2 γ ρ P' V' for w = v.
    """
    mdp, policy = at.mdp, at.policy
    found = differentiate(at.q, policy.particles, second=True)
    local = (found.hessian @ v[..., None]).squeeze(-1)

    # V' is the value of the cost g(s) = E⟨∇Q, v⟩.
    g = policy.mean((found.gradient * v).sum(-1))
    V_derivative, _ = at.chain.value(g.numpy().copy())
    ahead = torch.as_tensor(mdp.gamma * mdp.axis_noise.expect(V_derivative))
    moved = differentiate(lambda actions: mdp.future_value(actions, ahead), policy.particles).gradient

    rho_derivative = torch.as_tensor(at.chain.adjoint(_law_derivative(at, v)))
    # ρ' / ρ is round-off where ρ is.
    visited = at.rho > 1e-14 * at.rho.max()
    relative = torch.where(visited, rho_derivative / at.rho.clamp(min=1e-300), torch.zeros_like(at.rho))
    return local, moved + relative[:, None, None] * found.gradient


def _law_derivative(at: Evaluation, v: torch.Tensor) -> np.ndarray:
    """γ ρ P', P' = E⟨∂_a P, v⟩, as a row on the nodes, (n,)."""
    probe = torch.zeros(at.mdp.grid.size, dtype=torch.float64, requires_grad=True)
    actions = at.policy.particles.detach().requires_grad_(True)
    value = at.mdp.future_value(actions, probe)
    (slope,) = torch.autograd.grad(value.sum(), actions, create_graph=True, allow_unused=True)
    row = torch.zeros_like(probe)
    if slope is not None and slope.requires_grad:
        (row,) = torch.autograd.grad(at.policy.mean((slope * v).sum(-1)) @ at.rho, probe)
    return np.asarray(at.mdp.gamma * at.mdp.axis_noise.spread(row.detach().numpy()))


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
        """Whether J is convex at all these places, up to round-off."""
        return bool(np.all(self.curvature >= -1e-12 * max(1.0, float(np.abs(self.curvature).max()))))


def convexity(mdp: GridMDP, policy: ParticlePolicy, other: ParticlePolicy, points: int) -> ConvexityReport:
    """J and its curvature at ``points`` places along the geodesic from one policy to another."""
    if check_count("points", points, 2) > 1_000_000:
        raise ValueError(f"points must be at most a million, each of which takes an evaluation; got {points}")
    start, end, mass = optimal_coupling(policy, other)
    v = end - start
    rows = []
    for t in np.linspace(0.0, 1.0, points):
        at = evaluate(mdp, ParticlePolicy((1 - float(t)) * start + float(t) * end, mass))
        local, transport = hessian_vector(at, v)
        rows.append((t, at.J, inner(at, gradient(at), v), inner(at, v, local), inner(at, v, transport)))
    return ConvexityReport(*(np.array(column) for column in zip(*rows, strict=True)))
