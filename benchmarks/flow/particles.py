"""
What the particle flow shows, measured: derivatives, the regulator, Riccati, meshes, Pendulum-v1, Gibbs laws, geodesics.

    python -m benchmarks.flow.particles         # about one CPU-minute

One line a claim, with its figure and its bound; ``--quick`` takes coarser grids, and looser bounds where those depend on it.
"""

from __future__ import annotations

import argparse
import sys
import time

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from benchmarks._lib.study import measure_at_once
from benchmarks.flow.problems import (
    along,
    decoupled,
    double_integrator,
    dynamic_programme,
    normal,
    planar,
    random_policy,
    regulator,
    scalar_lq,
    three_states,
    two_wells,
    uniform,
    w1,
    weighted,
    wrong_by,
)
from sb3_wasserstein.flow import Grid, ParticleFlow, mountain_car, pendulum

ROWS: list[dict[str, object]] = []


def line(claim, figure, bound, at_least=False) -> None:
    """Record and print one claim."""
    passed = bool(figure >= bound if at_least else figure <= bound)
    ROWS.append(
        {"claim": claim, "measured": f"{figure:.4g}", "bound": ("≥ " if at_least else "≤ ") + f"{bound:g}", "passed": passed}
    )
    print(f"{'pass' if passed else 'MISS':4}  {claim:78} {figure:12.4g}  {ROWS[-1]['bound']}", flush=True)


def derivatives() -> None:
    gradient, hessian, symmetry = 0.0, 0.0, 0.0
    for discount in (None, 0.95):
        for flow in (regulator(discount=discount), planar((15, 13), 4, discount)):
            random_policy(flow)
            v, w = normal(flow.particles.shape, 2), normal(flow.particles.shape, 3)
            exact, found = flow.inner(flow.gradient(), v), along(flow, lambda at: at.evaluation().J, v)
            gradient = max(gradient, abs(found - exact) / abs(exact))
            one, two = (torch.add(*flow.hessian_vector(x)) for x in (v, w))
            whole, curved = weighted(flow, one), along(flow, lambda at: weighted(at, at.gradient()), v)
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


def solved(problem):
    """CPU seconds, relative error of J, and the largest error of the action over |x| < 1, against Riccati."""
    flow, exact, gain = problem
    clock = time.process_time()
    J = flow.solve().J
    return time.process_time() - clock, abs(J / exact - 1), wrong_by(flow, gain)


def linear_quadratic(quick) -> None:
    for cells in (101, 401) if quick else (101, 401, 1601):
        seconds, J, gain = solved(scalar_lq(cells))
        line(f"3 scalar linear–quadratic, {cells} cells: J against Riccati, relative", J, 1e-8)
        line(f"3 scalar linear–quadratic, {cells} cells: gain against Riccati", gain, 1e-6)
        if cells == 1601:
            line("3 scalar linear–quadratic, 1601 cells: CPU seconds", seconds, 30)
    _, _, gain = solved(double_integrator(31 if quick else 41))
    line("3 double integrator: gain against Riccati", gain, 1e-3)
    if not quick:
        seconds, J, gain = solved(three_states(19, 3.0, 2))
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
    flow = decoupled(two_wells, 21, m)
    flow.particles = torch.full_like(flow.particles, 1.0)
    flow.langevin(tau, sweeps=10, steps=40, seed=0)
    actions = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    law = torch.softmax(-flow.action_value(actions[None, :, None].expand(21, -1, -1)) / tau, 1)
    off = w1(flow.particles, law, actions)
    line(f"6 Gibbs, two wells, τ = {tau}, {m} particles from one well: E_ρ W1", float(flow.evaluate()[2] @ off), 0.05)
    line("6 Gibbs: W1 in the worst state", float(off.max()), 0.1 if quick else 0.05)


def geodesics() -> None:
    worst = 0.0
    for build, unequal in ((regulator, False), (regulator, True), (lambda: planar((15, 13), 4), False)):
        start, end = (random_policy(build(), seed, weighted=unequal) for seed in (0, 1))
        whole = start.distance(end)
        speeds = [start.distance(start.geodesic(end, t)) / t for t in (0.1, 0.35, 0.5, 0.8, 1.0)]
        worst = max(worst, max(abs(speed / whole - 1) for speed in speeds))
    line("7 geodesics: speed, relative deviation from constant", worst, 1e-12)
    verdicts = []
    for well, convex in ((lambda _, a: torch.cosh(a), True), (lambda _, a: (a**2 - 1) ** 2, False)):
        flow = decoupled(well)
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
