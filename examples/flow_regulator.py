"""A scalar nonlinear regulator, solved as a Wasserstein gradient flow of particles; after Dus (arXiv 2604.14765)."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from sb3_wasserstein.flow import Grid, ParticleFlow

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="a coarse grid")
parser.add_argument("--figure", type=Path, default=Path("runs/flow_regulator.png"))
args = parser.parse_args()

dt, cells = 0.1, 51 if args.quick else 201
flow = ParticleFlow(
    dynamics=lambda s, a: s + dt * (s - s**3 + a),
    cost=lambda s, a: dt * (s[:, 0] ** 2 + 0.1 * a[:, 0] ** 2),
    grid=Grid(-3, 3, cells),
    action_low=-10,
    action_high=10,
    n_particles=8,
    noise=0.5 * dt**0.5,
)
flow.particles = 3 * torch.randn(flow.particles.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
start, (J, _, rho_start) = flow.copy(), flow.evaluate()
print(f"random particles: J = {J:.6f}, |grad J| = {flow.inner(flow.gradient(), flow.gradient()) ** 0.5:.1e}")
result = flow.solve()
_, _, rho = flow.evaluate()
print(f"Newton: J = {result.J:.12f} after {result.iterations} iterations, gap {result.gap:.0e}")
print(f"W_π(random, optimal) = {start.distance(flow):.4f}")
report = start.convexity(flow, points=21)
print(f"along the geodesic between them J is {'convex' if report.convex else 'not convex'}")

figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
a.semilogy([abs(j - result.J) + 1e-17 for j in result.history], "o-", ms=3)
a.set(title="J over iterations, continuation in γ first", xlabel="iteration", ylabel="J − J*")
x = flow.grid.nodes[:, 0].numpy()
b.plot(x.repeat(8), start.particles.flatten().numpy(), ".", color="0.75", ms=2, label="particles at the start")
b.plot(x, flow.particles[:, :, 0].numpy(), color="C0", label=["particles at the end"] + [None] * 7)
b.set(title="policy", xlabel="state", ylabel="action", ylim=(-10, 10))
b.legend()
c.plot(x, rho_start.numpy(), color="0.6", label="start")
c.plot(x, rho.numpy(), label="end")
c.set(title="stationary law ρ", xlabel="state")
c.legend()
for name in ("local", "transport", "curvature"):
    d.plot(report.t, getattr(report, name), label=name if name != "curvature" else "d²J/dt²")
d.axhline(0, color="0.8", lw=0.8)
d.set(title="curvature along the geodesic", xlabel="t")
d.legend()
args.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
