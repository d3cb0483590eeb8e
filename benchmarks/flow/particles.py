"""
What the particle flow shows, measured: derivatives, the regulator, Riccati, meshes, Pendulum-v1, Gibbs laws, geodesics.

    python -m benchmarks.flow.particles         # about one CPU-minute

One line a claim, with its figure and its bound; ``--quick`` takes coarser grids, and looser bounds where those depend on it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import gymnasium as gym
import numpy as np
import scipy.linalg
import scipy.sparse as sparse
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from benchmarks._lib.study import measure_at_once
from sb3_wasserstein.flow import Grid, ParticleFlow, mountain_car, pendulum

DT = 0.1
ROWS: list[dict[str, object]] = []


def line(claim, figure, bound, at_least=False) -> None:
    """Record and print one claim."""
    passed = bool(figure >= bound if at_least else figure <= bound)
    ROWS.append(
        {"claim": claim, "measured": f"{figure:.4g}", "bound": ("≥ " if at_least else "≤ ") + f"{bound:g}", "passed": passed}
    )
    print(f"{'pass' if passed else 'MISS':4}  {claim:78} {figure:12.4g}  {ROWS[-1]['bound']}", flush=True)


def normal(shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regulator(cells=201, n_particles=8, bound=10.0, discount=None):
    return ParticleFlow(
        lambda s, a: s + DT * (s - s**3 + a),
        lambda s, a: DT * (s[:, 0] ** 2 + 0.1 * a[:, 0] ** 2),
        Grid(-3, 3, cells),
        -bound,
        bound,
        n_particles,
        0.5 * DT**0.5,
        discount,
    )


def planar(discount=None):
    """Two states, two actions, everything nonlinear."""

    def dynamics(s, a):
        push = torch.stack([a[:, 0], a[:, 1] * torch.cos(s[:, 0])], dim=1)
        return 0.7 * s + 0.2 * torch.stack([torch.sin(s[:, 1]), -s[:, 0] * s[:, 1]], dim=1) + 0.15 * torch.tanh(push)

    def cost(s, a):
        return (s**2).sum(1) + 0.2 * (a**2).sum(1) + 0.1 * s[:, 0] * a[:, 0]

    return ParticleFlow(dynamics, cost, Grid([-2.6, -2.4], [2.6, 2.4], (15, 13)), [-2] * 2, [2] * 2, 4, [0.35, 0.3], discount)


def central(function, start, v, h=1e-3):
    """(f(a + h v) − f(a − h v)) / 2h by Richardson extrapolation."""

    def difference(step):
        return (function(start + step * v) - function(start - step * v)) / (2 * step)

    return (4 * difference(h) - difference(2 * h)) / 3


def derivatives() -> None:
    gradient, hessian, symmetry = 0.0, 0.0, 0.0
    problems = (regulator, lambda discount=None: planar(discount))
    for build in problems:
        for discount in (None, 0.95):
            flow = build(discount=discount)
            flow.particles = normal(flow.particles.shape, 0, 0.5)
            flow.weights = 0.1 + uniform(flow.weights.shape, 1)
            start = flow.particles.clone()
            v, w = normal(start.shape, 2), normal(start.shape, 3)

            def J(particles, flow=flow):
                flow.particles = particles
                return flow.evaluation().J

            def slope(particles, flow=flow):
                flow.particles = particles
                rho = flow.evaluation().rho
                return (rho[:, None] * flow.weights)[..., None] * flow.gradient()

            found, curved = central(J, start, v), central(slope, start, v)
            flow.particles = start
            exact = flow.inner(flow.gradient(), v)
            gradient = max(gradient, abs(found - exact) / abs(exact))
            one, two = sum(flow.hessian_vector(v)), sum(flow.hessian_vector(w))
            whole = (flow.evaluation().rho[:, None] * flow.weights)[..., None] * one
            hessian = max(hessian, float((curved - whole).norm() / whole.norm()))
            scale = (flow.inner(one, one) * flow.inner(w, w)) ** 0.5
            symmetry = max(symmetry, abs(flow.inner(one, w) - flow.inner(two, v)) / scale)
    line("1 gradient against differences, worst of 4 problems, unequal weights, relative", gradient, 1e-7)
    line("1 Hessian–vector product against differences of the gradient, relative", hessian, 1e-5)
    line("1 symmetry of the Hessian, relative", symmetry, 1e-12)
    flow = regulator()
    flow.solve()
    v = normal(flow.particles.shape, 4)
    local, transport = flow.hessian_vector(v)
    line("1 transport / local curvature at the optimum", abs(flow.inner(v, transport)) / flow.inner(v, local), 1e-10)
    free = ParticleFlow(
        lambda s, a: 0.8 * s, lambda s, a: s[:, 0] ** 2 + (a[:, 0] - torch.sin(s[:, 0])) ** 2, Grid(-3, 3, 41), -3, 3, 4, 0.4
    )
    free.particles = normal(free.particles.shape, 5)
    largest = float(free.hessian_vector(normal(free.particles.shape, 6))[1].abs().max())
    line("1 transport where the dynamics do without the action, exactly 0", largest, 0.0)


def dynamic_programme(flow, count):
    """Policy iteration over ``count`` fixed actions: the optimum of the same finite MDP without any derivative."""
    n, rows = flow.grid.size, np.arange(flow.grid.size)
    actions = torch.linspace(float(flow.mdp.low[0]), float(flow.mdp.high[0]), count, dtype=torch.float64)[:, None]
    with torch.no_grad():
        states, tiled = flow.grid.nodes.repeat_interleave(count, 0), actions.repeat(n, 1)
        indices, weights = (x.numpy() for x in flow.grid.weights(flow.mdp.step(states, tiled)))
        cost = flow.mdp.stage_cost(states, tiled).reshape(n, count).numpy()
    policy = np.full(n, count // 2)
    while True:
        chosen = rows * count + policy
        at = (np.repeat(rows, weights.shape[1]), indices[chosen].ravel())
        A = np.eye(n) - sparse.csr_matrix((weights[chosen].ravel(), at), shape=(n, n)) @ flow.mdp.axis_noise.matrix
        A[:, n // 2] = 1
        V = np.linalg.solve(np.asarray(A), cost[rows, policy])
        J, V[n // 2] = V[n // 2], 0
        Q = cost + (weights * (flow.mdp.axis_noise.matrix @ V)[indices]).sum(1).reshape(n, count)
        better = np.where(Q.min(1) < Q[rows, policy] - 1e-12, Q.argmin(1), policy)
        if (better == policy).all():
            return J
        policy = better


def initialisations(quick):
    shape = (201, 8, 1)
    yield from (normal(shape, seed, 9.0**power) for seed, power in ((0, 0.5), (1, 0.5), (2, 1.0)))
    yield from (20 * uniform(shape, seed) - 10 for seed in (3, 4))
    yield 5 * torch.sign(normal(shape, 5))
    yield from (torch.full(shape, float(a), dtype=torch.float64) for a in ((10,) if quick else (-10, -2, 3, 10)))


def nonlinear(quick) -> None:
    found, iterations, seconds = [], 0, 0.0
    for particles in initialisations(quick):
        flow = regulator(bound=30.0)
        flow.particles = particles
        clock = time.process_time()
        result = flow.solve()
        seconds = max(seconds, time.process_time() - clock)
        iterations = max(iterations, result.iterations)
        found.append(result.J)
    line(f"2 regulator: J from {len(found)} initialisations, relative spread", np.ptp(found) / found[0], 1e-10)
    line("2 regulator: most Newton-type iterations", iterations, 60)
    line("2 regulator: most CPU seconds", seconds, 3)
    optimum, start = flow.particles.clone(), 5 + 3 * torch.cos(flow.grid.nodes[:, None])
    flow.particles = start.expand_as(optimum)
    errors: list[float] = []
    while not errors or errors[-1] > 1e-9:
        flow.step()
        errors.append(float((flow.evaluate()[2] @ ((flow.particles - optimum) ** 2).mean((1, 2))).sqrt()))
    logs = np.log(errors[-3:])
    print(f"      last errors of the particles: {', '.join(f'{e:.1e}' for e in errors[-4:])}")
    line("2 regulator: order of convergence in the last three errors", (logs[2] - logs[1]) / (logs[1] - logs[0]), 1.8, True)
    count = 801 if quick else 8001
    line(
        f"2 regulator: J − J of a dense dynamic programme ({count} actions)",
        found[0] - dynamic_programme(regulator(), count),
        1e-10,
    )


def riccati(A, B, Q, R):
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    return P, scipy.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)


def linear(A, B, Q, R, grid, noise, bound):
    """CPU seconds, relative error of J, and the largest error of the action over |x| < 1, against Riccati."""
    A, B, Q, R = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (A, B, Q, R))
    tA, tB, tQ, tR = (torch.tensor(x) for x in (A, B, Q, R))

    def cost(s, a):
        return ((s @ tQ) * s).sum(1) + ((a @ tR) * a).sum(1)

    k = B.shape[1]
    flow = ParticleFlow(lambda s, a: s @ tA.T + a @ tB.T, cost, grid, [-bound] * k, [bound] * k, 2, noise)
    clock = time.process_time()
    J = flow.solve().J
    seconds = time.process_time() - clock
    P, K = riccati(A, B, Q, R)
    exact = float(np.diag(P) @ flow.mdp.effective_noise**2)
    inner = (flow.grid.nodes.abs() < 1).all(1)
    wrong = flow.particles[inner] + (flow.grid.nodes[inner] @ torch.tensor(K).T)[:, None]
    return seconds, abs(J / exact - 1), float(wrong.abs().max())


def linear_quadratic(quick) -> None:
    for cells in (101, 401) if quick else (101, 401, 1601):
        seconds, J, gain = linear(1 + DT, DT, DT, 0.1 * DT, Grid(-3, 3, cells), 0.5 * DT**0.5, 40.0)
        line(f"3 scalar linear–quadratic, {cells} cells: J against Riccati, relative", J, 1e-8)
        line(f"3 scalar linear–quadratic, {cells} cells: gain against Riccati", gain, 1e-6)
        if cells == 1601:
            line("3 scalar linear–quadratic, 1601 cells: CPU seconds", seconds, 30)
    A, B = np.array([[1, DT], [0, 1]]), np.array([[DT**2 / 2], [DT]])
    grid = Grid([-3, -4], [3, 4], 31 if quick else 41)
    _, _, gain = linear(A, B, np.diag([1, 0.5]), 0.1, grid, [0.12, 0.3], 30.0)
    line("3 double integrator: gain against Riccati", gain, 1e-3)
    if not quick:
        A = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.1, 0.0, 0.7]])
        seconds, J, gain = linear(
            A, np.eye(3)[:, :2] * 0.5, np.eye(3), 0.2 * np.eye(2), Grid([-3] * 3, [3] * 3, 19), 0.35, 5.0
        )
        line("  three states, two actions, 19³ nodes: J against Riccati, relative", J, 1e-6)
        line("  three states, two actions, 19³ nodes: gain against Riccati", gain, 1e-6)
        line("  three states, two actions, 19³ nodes: CPU seconds", seconds, 120)


def mesh() -> None:
    line("4 J at 51 cells against 801, relative", abs(regulator(51).solve().J / regulator(801).solve().J - 1), 2e-4)


class FixedStarts(gym.Wrapper):
    """Episode i starts from seed i."""

    episode = -1

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        return self.env.reset(seed=self.episode, options=options)


def play(flow, name, episodes):
    ends = []

    def look(variables, _) -> None:
        if variables["done"]:
            ends.append(variables["info"]["terminal_observation"])

    mean, _ = evaluate_policy(flow.as_policy(), Monitor(FixedStarts(gym.make(name))), n_eval_episodes=episodes, callback=look)
    assert isinstance(mean, float)
    return mean, np.array(ends)


def physics(quick) -> None:
    cells, episodes = (31, 10) if quick else (61, 100)
    flow = pendulum(cells).flow(4)
    flow.particles = 4 * uniform(flow.particles.shape, 0) - 2
    cpu, wall = time.process_time(), time.perf_counter()
    flow.solve()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    mean, ends = play(flow, "Pendulum-v1", episodes)
    line(f"5 Pendulum-v1, {cells}² nodes, {episodes} starts: mean return", mean, -250 if quick else -138, True)
    line("5 Pendulum-v1: share of episodes that end upright (cos θ > .99)", (ends[:, 0] > 0.99).mean(), 1.0, True)
    line("5 Pendulum-v1: CPU seconds from random particles", cpu, 60)
    line("5 Pendulum-v1: wall-clock seconds from random particles", wall, 60)
    if not quick:
        flow = mountain_car().flow(2)
        flow.solve()
        mean, _ = play(flow, "MountainCarContinuous-v0", 100)
        line("  MountainCarContinuous-v0, 61² nodes, 100 starts: mean return", mean, 90, True)


def gibbs(quick) -> None:
    tau, m = 0.15, 1000 if quick else 4000
    flow = ParticleFlow(
        lambda s, a: 0.7 * s,
        lambda s, a: s[:, 0] ** 2 + (a[:, 0] ** 2 - 1) ** 2 + 0.2 * a[:, 0] + 0.1 * a[:, 0] * s[:, 0],
        Grid(-3, 3, 21),
        -2,
        2,
        m,
        0.4,
    )
    flow.particles = torch.full_like(flow.particles, 1.0)
    flow.langevin(tau, sweeps=10, steps=40, seed=0)
    line_ = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    law = torch.softmax(-flow.action_value(line_[None, :, None].expand(21, -1, -1)) / tau, 1)
    ranked = flow.particles[:, :, 0].sort(1).values.contiguous()
    below = torch.searchsorted(ranked, line_.expand(21, -1).contiguous(), right=True) / m
    w1 = (below - law.cumsum(1)).abs().sum(1) * (line_[1] - line_[0])
    line(f"6 Gibbs, two wells, τ = {tau}, {m} particles from one well: E_ρ W1", float(flow.evaluate()[2] @ w1), 0.05)
    line("6 Gibbs: W1 in the worst state", float(w1.max()), 0.1 if quick else 0.05)


def separable(s: torch.Tensor, a: torch.Tensor, well: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return s[:, 0] ** 2 + well(a[:, 0])


def geodesics() -> None:
    worst = 0.0
    for build, weighted in ((regulator, False), (regulator, True), (lambda: planar(), False)):
        start, end = build(), build()
        for seed, flow in enumerate((start, end)):
            flow.particles = normal(flow.particles.shape, seed, 0.5)
            if weighted:
                flow.weights = 0.1 + uniform(flow.weights.shape, seed)
        whole = start.distance(end)
        speeds = [start.distance(start.geodesic(end, t)) / t for t in (0.1, 0.35, 0.5, 0.8, 1.0)]
        worst = max(worst, max(abs(speed / whole - 1) for speed in speeds))
    line("7 geodesics: speed, relative deviation from constant", worst, 1e-12)
    verdicts = []
    wells: tuple[tuple[Callable[[torch.Tensor], torch.Tensor], bool], ...]
    wells = (torch.cosh, True), (lambda a: (a**2 - 1) ** 2, False)
    for well, convex in wells:
        flow = ParticleFlow(lambda s, a: 0.7 * s, partial(separable, well=well), Grid(-3, 3, 31), -2, 2, 3, 0.4)
        other = flow.copy()
        flow.particles, other.particles = torch.full_like(flow.particles, -1.2), torch.full_like(flow.particles, 1.2)
        verdicts.append(flow.convexity(other).convex is convex)
    line("7 convexity report on decoupled problems, convex and two-well: right of 2", sum(verdicts), 2, True)


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    derivatives()
    nonlinear(args.quick)
    linear_quadratic(args.quick)
    mesh()
    physics(args.quick)
    gibbs(args.quick)
    geodesics()
    return ROWS


if __name__ == "__main__":
    sys.exit(measure_at_once(__doc__, "flow", measure))
