"""Small control problems with known answers, and the oracles: differences, Riccati, policy iteration over fixed actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
import torch

from sb3_wasserstein.flow import Grid, ParticleFlow

DT = 0.1


def normal(shape: Sequence[int], seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(shape: Sequence[int], seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_policy(flow: ParticleFlow, seed: int = 0, spread: float = 0.5, weighted: bool = True) -> ParticleFlow:
    """The flow with random particles, of unequal weights or as they are."""
    flow.particles = normal(flow.particles.shape, seed, spread)
    if weighted:
        flow.weights = 0.1 + uniform(flow.weights.shape, seed)
    return flow


def regulator(
    cells: int = 201, n_particles: int = 8, bound: float = 10.0, discount: float | None = None, **kwargs: Any
) -> ParticleFlow:
    """x⁺ = x + dt (x − x³ + a) + .5 √dt w, cost dt (x² + .1 a²)."""

    def dynamics(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return s + DT * (s - s**3 + a)

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return DT * (s[:, 0] ** 2 + 0.1 * a[:, 0] ** 2)

    return ParticleFlow(dynamics, cost, Grid(-3, 3, cells), -bound, bound, n_particles, 0.5 * DT**0.5, discount, **kwargs)


def planar(
    cells: tuple[int, int] = (11, 9), n_particles: int = 3, discount: float | None = None, action_dim: int = 2
) -> ParticleFlow:
    """Two states, one or two actions, everything nonlinear."""

    def dynamics(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        push = torch.stack([a[:, 0], a[:, -1] * torch.cos(s[:, 0])], dim=1)
        return 0.7 * s + 0.2 * torch.stack([torch.sin(s[:, 1]), -s[:, 0] * s[:, 1]], dim=1) + 0.15 * torch.tanh(push)

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return (s**2).sum(1) + 0.2 * (a**2).sum(1) + 0.1 * s[:, 0] * a[:, 0]

    bounds, grid = np.full(action_dim, 2.0), Grid([-2.6, -2.4], [2.6, 2.4], cells)
    return ParticleFlow(dynamics, cost, grid, -bounds, bounds, n_particles, [0.35, 0.3], discount)


def decoupled(
    well: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], cells: int = 31, n_particles: int = 3, noise: float = 0.4
) -> ParticleFlow:
    """The action a in [−2, 2] costs ``well(s, a)`` and does not move the state."""

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return s[:, 0] ** 2 + well(s[:, 0], a[:, 0])

    return ParticleFlow(lambda s, a: 0.7 * s, cost, Grid(-3, 3, cells), -2, 2, n_particles, noise)


def two_wells(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """The left well is a little deeper, and more so on the right."""
    return (a**2 - 1) ** 2 + 0.2 * a + 0.1 * a * s


def linear_quadratic(
    A: Any, B: Any, Q: Any, R: Any, grid: Grid, noise: Any, bound: float, n_particles: int = 2
) -> tuple[ParticleFlow, float, np.ndarray]:
    """x⁺ = A x + B a + noise, cost xᵀ Q x + aᵀ R a; Riccati's J for the noise that the grid has, and gain K, a = −K x."""
    A, B, Q, R = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (A, B, Q, R))
    tA, tB, tQ, tR = (torch.tensor(x) for x in (A, B, Q, R))

    def cost(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return ((s @ tQ) * s).sum(1) + ((a @ tR) * a).sum(1)

    bounds = np.full(B.shape[1], bound)
    flow = ParticleFlow(lambda s, a: s @ tA.T + a @ tB.T, cost, grid, -bounds, bounds, n_particles, noise)
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    return flow, float(np.diag(P) @ flow.mdp.effective_noise**2), scipy.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)


def scalar_lq(cells: int, low: float = -3.0, high: float = 3.0) -> tuple[ParticleFlow, float, np.ndarray]:
    """The regulator without its cubic term."""
    return linear_quadratic(1 + DT, DT, DT, 0.1 * DT, Grid(low, high, cells), 0.5 * DT**0.5, 40.0, 4)


def double_integrator(cells: int) -> tuple[ParticleFlow, float, np.ndarray]:
    """Position and velocity, one force."""
    A, B = [[1, DT], [0, 1]], [[DT**2 / 2], [DT]]
    return linear_quadratic(A, B, np.diag([1, 0.5]), 0.1, Grid([-3, -4], [3, 4], cells), [0.12, 0.3], 30.0)


def three_states(cells: int, width: float, n_particles: int) -> tuple[ParticleFlow, float, np.ndarray]:
    """Three states, two actions."""
    A, grid = [[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.1, 0.0, 0.7]], Grid([-width] * 3, [width] * 3, cells)
    return linear_quadratic(A, 0.5 * np.eye(3)[:, :2], np.eye(3), 0.2 * np.eye(2), grid, 0.35, 5.0, n_particles)


def wrong_by(flow: ParticleFlow, gain: np.ndarray) -> float:
    """The largest error of an action where all |x| < 1, against the gain."""
    inner = (flow.grid.nodes.abs() < 1).all(1)
    wrong = flow.particles[inner] + (flow.grid.nodes[inner] @ torch.tensor(gain).T)[:, None]
    return float(wrong.abs().max())


def along(flow: ParticleFlow, function: Callable[[ParticleFlow], Any], v: torch.Tensor, h: float = 1e-3) -> Any:
    """The derivative of a function of the flow along v, by central differences and Richardson extrapolation."""
    start = flow.particles.clone()

    def at(step: float) -> Any:
        flow.particles = start + step * v
        return function(flow)

    found = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    flow.particles = start
    return found


def weighted(flow: ParticleFlow, vector: torch.Tensor) -> torch.Tensor:
    """Of a vector of the metric, the differential: dJ/da_si = ρ(s) w_si ∇_a Q for the gradient."""
    return (flow.evaluation().rho[:, None] * flow.weights)[..., None] * vector


def dynamic_programme(flow: ParticleFlow, count: int) -> float:
    """J by policy iteration over ``count`` fixed actions: the optimum of the same finite MDP without any derivative."""
    n, rows = flow.grid.size, np.arange(flow.grid.size)
    actions = torch.linspace(float(flow.mdp.low[0]), float(flow.mdp.high[0]), count, dtype=torch.float64)[:, None]
    with torch.no_grad():
        states, tiled = flow.grid.nodes.repeat_interleave(count, 0), actions.repeat(n, 1)
        indices, weights = (x.numpy() for x in flow.grid.weights(flow.mdp.step(states, tiled)))
        cost = flow.mdp.stage_cost(states, tiled).reshape(n, count).numpy()
    policy = np.full(n, count // 2)
    for _ in range(100):
        chosen = rows * count + policy
        at = (np.repeat(rows, weights.shape[1]), indices[chosen].ravel())
        A = np.eye(n) - sparse.csr_matrix((weights[chosen].ravel(), at), shape=(n, n)) @ flow.mdp.axis_noise.matrix
        A[:, n // 2] = 1
        V = np.linalg.solve(np.asarray(A), cost[rows, policy])
        J, V[n // 2] = V[n // 2], 0
        Q = cost + (weights * (flow.mdp.axis_noise.matrix @ V)[indices]).sum(1).reshape(n, count)
        better = np.where(Q.min(1) < Q[rows, policy] - 1e-12, Q.argmin(1), policy)
        if (better == policy).all():
            return float(J)
        policy = better
    raise AssertionError("policy iteration did not end")


def w1(particles: torch.Tensor, law: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """W1 in every state between equal particles (n, m, 1) and a law (n, A) on a fine grid of actions (A,)."""
    ranked = particles[:, :, 0].sort(1).values.contiguous()
    below = torch.searchsorted(ranked, actions.expand(len(ranked), -1).contiguous(), right=True) / ranked.shape[1]
    return (below - law.cumsum(1)).abs().sum(1) * (actions[1] - actions[0])
