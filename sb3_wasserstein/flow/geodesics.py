"""Optimal couplings of weighted particles, state by state: what geodesics and distances of policies are made of."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.optimize import linear_sum_assignment, linprog

_SLIVER = 1e-14

Pairs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def optimal_pairs(a: torch.Tensor, a_weights: torch.Tensor, b: torch.Tensor, b_weights: torch.Tensor) -> Pairs:
    """
    The W2-optimal coupling in every state, as pairs of particles with a mass.

    In one dimension quantiles are paired. Else equal numbers of equally weighted particles are assigned, and other cases are a
    linear programme a state.

    :param a: (n, m, k)
    :param a_weights: (n, m), rows summing to one
    :param b: (n, l, k)
    :param b_weights: (n, l)
    :return: starts (n, pairs, k), ends (n, pairs, k), masses (n, pairs); pairs of mass 0 pad states that need fewer
    """
    m, k = a.shape[1:]
    equal = b.shape[1] == m and _uniform(a_weights) and _uniform(b_weights)
    if equal and k == 1:
        return a.sort(1).values, b.sort(1).values, a_weights.clone()
    if k == 1:
        return _quantiles(a, a_weights, b, b_weights)
    if equal:
        return a, torch.stack([_assign(x, y) for x, y in zip(a, b, strict=True)]), a_weights.clone()
    return _programme(a, a_weights, b, b_weights)


def _uniform(weights: torch.Tensor) -> bool:
    return bool((weights - 1 / weights.shape[1]).abs().max() < 1e-15)


def _assign(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    _, columns = linear_sum_assignment((torch.cdist(x, y) ** 2).numpy())
    return y[torch.as_tensor(columns)]


def _quantiles(a: torch.Tensor, a_weights: torch.Tensor, b: torch.Tensor, b_weights: torch.Tensor) -> Pairs:
    sides = []
    for points, weights in ((a, a_weights), (b, b_weights)):
        points, order = points.squeeze(-1).sort(1)
        sides.append((points, weights.gather(1, order).cumsum(1)[:, :-1].contiguous()))
    levels = torch.cat([sides[0][1], sides[1][1]], dim=1).sort(1).values.clamp(0, 1)
    edge = torch.ones(len(a), 1, dtype=torch.float64)
    levels = torch.cat([0 * edge, levels, edge], dim=1)
    middle = ((levels[:, 1:] + levels[:, :-1]) / 2).contiguous()
    start, end = (points.gather(1, torch.searchsorted(steps, middle)) for points, steps in sides)
    mass = levels.diff(dim=1)
    # Slivers of round-off between equal levels would pair the wrong particles, and a distance is a square root.
    return start[..., None], end[..., None], torch.where(mass < _SLIVER, torch.zeros_like(mass), mass)


def _programme(a: torch.Tensor, a_weights: torch.Tensor, b: torch.Tensor, b_weights: torch.Tensor) -> Pairs:
    (n, m, _), other = a.shape, b.shape[1]
    pairs = m + other - 1
    start, end = a[:, :1].repeat(1, pairs, 1), b[:, :1].repeat(1, pairs, 1)
    mass = torch.zeros(n, pairs, dtype=torch.float64)
    rows = sparse.kron(sparse.identity(m), np.ones((1, other)))
    columns = sparse.kron(np.ones((1, m)), sparse.identity(other))
    # The last row follows from the others; left in, round-off in the weights can make the programme infeasible.
    marginals = sparse.csr_matrix(sparse.vstack([rows, columns]))[:-1]
    for s in range(n):
        cost = (torch.cdist(a[s], b[s]) ** 2).flatten().numpy()
        right = torch.cat([a_weights[s], b_weights[s]]).numpy()[:-1]
        plan = linprog(cost, A_eq=marginals, b_eq=right, method="highs-ds").x  # type: ignore[call-overload]
        used = np.argsort(-plan)[:pairs]
        start[s], end[s] = a[s, used // other], b[s, used % other]
        mass[s] = torch.as_tensor(np.maximum(plan[used], 0.0))
    return start, end, mass / mass.sum(1, keepdim=True)
