"""Geodesics and distances of particle policies after Dus 2026: the W2-optimal coupling, state by state."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from sb3_wasserstein.flow.particles.policy import ParticlePolicy


class Coupling(NamedTuple):
    """Pairs of particles in every state: starts and ends (n, pairs, k), masses (n, pairs), 0 where a state needs fewer."""

    start: torch.Tensor
    end: torch.Tensor
    mass: torch.Tensor

    def at(self, t: float) -> ParticlePolicy:
        """The policy at t on the geodesic: (1 − t) a + t b in every state."""
        return ParticlePolicy((1 - t) * self.start + t * self.end, self.mass)


def optimal_coupling(policy: ParticlePolicy, other: ParticlePolicy) -> Coupling:
    """
    The W2-optimal coupling in every state.

    In one dimension quantiles are paired. Else equal numbers of equally weighted particles are assigned, and other cases are a
    linear programme a state.
    """
    from scipy.optimize import linear_sum_assignment

    a, b = policy.particles, other.particles
    weights = torch.cat([policy.weights, other.weights], dim=1)
    equal = b.shape == a.shape and bool((weights - 1 / a.shape[1]).abs().max() < 1e-15)
    if a.shape[2] == 1:
        return Coupling(a.sort(1).values, b.sort(1).values, policy.weights.clone()) if equal else _quantiles(policy, other)
    if not equal:
        return _programme(policy, other)
    orders = [linear_sum_assignment((torch.cdist(x, y) ** 2).numpy())[1] for x, y in zip(a, b, strict=True)]
    return Coupling(a, torch.stack([y[order] for y, order in zip(b, orders, strict=True)]), policy.weights.clone())


def _quantiles(policy: ParticlePolicy, other: ParticlePolicy) -> Coupling:
    sides = []
    for side in (policy, other):
        points, order = side.particles.squeeze(-1).sort(1)
        sides.append((points, side.weights.gather(1, order).cumsum(1)[:, :-1].contiguous()))
    levels = torch.cat([sides[0][1], sides[1][1]], dim=1).sort(1).values.clamp(0, 1)
    edge = torch.ones(len(levels), 1, dtype=torch.float64)
    levels = torch.cat([0 * edge, levels, edge], dim=1)
    middle = ((levels[:, 1:] + levels[:, :-1]) / 2).contiguous()
    start, end = (points.gather(1, torch.searchsorted(steps, middle)) for points, steps in sides)
    mass = levels.diff(dim=1)
    # Round-off between equal levels would pair the wrong particles, and a distance is a square root.
    return Coupling(start[..., None], end[..., None], torch.where(mass < 1e-14, torch.zeros_like(mass), mass))


def _programme(policy: ParticlePolicy, other: ParticlePolicy) -> Coupling:
    import scipy.sparse as sparse
    from scipy.optimize import linprog

    a, b = policy.particles, other.particles
    (n, m, _), l = a.shape, b.shape[1]
    pairs = m + l - 1
    start, end = a[:, :1].repeat(1, pairs, 1), b[:, :1].repeat(1, pairs, 1)
    mass = torch.zeros(n, pairs, dtype=torch.float64)
    rows = sparse.kron(sparse.identity(m), np.ones((1, l)))
    columns = sparse.kron(np.ones((1, m)), sparse.identity(l))
    # The last row follows from the others; left in, round-off in the weights can make the programme infeasible.
    marginals = sparse.csr_matrix(sparse.vstack([rows, columns]))[:-1]
    for s in range(n):
        cost = (torch.cdist(a[s], b[s]) ** 2).flatten().numpy()
        right = torch.cat([policy.weights[s], other.weights[s]]).numpy()[:-1]
        plan = linprog(cost, A_eq=marginals, b_eq=right, method="highs-ds").x  # type: ignore[call-overload]
        used = np.argsort(-plan)[:pairs]
        start[s], end[s] = a[s, used // l], b[s, used % l]
        mass[s] = torch.as_tensor(np.maximum(plan[used], 0.0))
    return Coupling(start, end, mass / mass.sum(1, keepdim=True))
