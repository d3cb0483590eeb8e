"""Small control problems with known answers."""

import numpy as np
import scipy.linalg
import torch

from sb3_wasserstein.flow import Grid, ParticleFlow

DT = 0.1


def regulator(cells=201, n_particles=8, bound=10.0, discount=None, low=-3.0, high=3.0):
    """x⁺ = x + dt (x − x³ + a) + .5 √dt w, cost dt (x² + .1 a²)."""
    return ParticleFlow(
        lambda s, a: s + DT * (s - s**3 + a),
        lambda s, a: DT * (s[:, 0] ** 2 + 0.1 * a[:, 0] ** 2),
        Grid(low, high, cells),
        -bound,
        bound,
        n_particles,
        0.5 * DT**0.5,
        discount=discount,
    )


def planar(cells=(11, 9), n_particles=3, discount=None, action_dim=2):
    """Two states, one or two actions, everything nonlinear."""

    def dynamics(s, a):
        push = torch.stack([a[:, 0], a[:, -1] * torch.cos(s[:, 0])], dim=1)
        return 0.7 * s + 0.2 * torch.stack([torch.sin(s[:, 1]), -s[:, 0] * s[:, 1]], dim=1) + 0.15 * torch.tanh(push)

    def cost(s, a):
        return (s**2).sum(1) + 0.2 * (a**2).sum(1) + 0.1 * s[:, 0] * a[:, 0]

    return ParticleFlow(
        dynamics,
        cost,
        Grid([-2.6, -2.4], [2.6, 2.4], cells),
        [-2] * action_dim,
        [2] * action_dim,
        n_particles,
        [0.35, 0.3],
        discount,
    )


def riccati(A, B, Q, R):
    """The optimal quadratic value and gain: V = xᵀ P x, a = −K x."""
    A, B, Q, R = (np.atleast_2d(np.asarray(x, dtype=float)) for x in (A, B, Q, R))
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    return P, scipy.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)


def scalar_lq(cells, low=-3.0, high=3.0, n_particles=4, bound=40.0):
    """The regulator without its cubic term, and its exact J and gain."""
    A, B, q, r, std = 1 + DT, DT, DT, 0.1 * DT, 0.5 * DT**0.5
    flow = ParticleFlow(
        lambda s, a: A * s + B * a,
        lambda s, a: q * s[:, 0] ** 2 + r * a[:, 0] ** 2,
        Grid(low, high, cells),
        -bound,
        bound,
        n_particles,
        std,
    )
    P, K = riccati(A, B, q, r)
    return flow, float(P[0, 0] * std**2), float(K[0, 0])


def random_policy(flow, seed=0, spread=1.0):
    """Random particles with unequal weights."""
    generator = torch.Generator().manual_seed(seed)
    flow.particles = spread * torch.randn(flow.particles.shape, generator=generator, dtype=torch.float64)
    flow.weights = 0.1 + torch.rand(flow.weights.shape, generator=generator, dtype=torch.float64)
    return flow


def displacement(flow, seed):
    """A random displacement like the particles."""
    return torch.randn(flow.particles.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
