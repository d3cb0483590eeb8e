"""The entropy-regularised flow: velocity −∇_a Q − τ ∇_a log π, whose stationary law is Gibbs, π ∝ exp(−Q/τ)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy.special import digamma

from sb3_wasserstein._validation import check_count, check_number, check_seed
from sb3_wasserstein.flow.evaluation import Evaluation, evaluate
from sb3_wasserstein.flow.steps import Derivatives, differentiate

if TYPE_CHECKING:
    from sb3_wasserstein.flow.particles import ParticleFlow

# The acceptance that Langevin proposals do best at (Roberts and Rosenthal 1998).
_ACCEPTANCE = 0.574
# Every so many steps a proposal comes from all over the box: mass crosses between wells that diffusion alone would keep apart.
_HOP = 5


def negative_entropy(particles: torch.Tensor) -> torch.Tensor:
    """
    E log π in every state, from the distances to the nearest neighbours (Kozachenko and Leonenko 1987), (n,).

    :param particles: (n, m, k), equally weighted
    """
    n, m, k = particles.shape
    if k == 1:
        steps = particles.squeeze(-1).sort(1).values.diff(dim=1)
        edge = torch.full((n, 1), math.inf, dtype=torch.float64)
        nearest = torch.minimum(torch.cat([edge, steps], 1), torch.cat([steps, edge], 1))
    else:
        far = torch.diag(torch.full((m,), math.inf, dtype=torch.float64))
        nearest = torch.stack([(torch.cdist(cloud, cloud) + far).amin(1) for cloud in particles])
    ball = math.pi ** (k / 2) / math.gamma(k / 2 + 1)
    # Particles that coincide after a rejected move have no distance: they are counted at the smallest one there is.
    return -(float(digamma(m) - digamma(1)) + math.log(ball) + k * nearest.clamp(min=1e-12).log().mean(1))


def soft_evaluation(flow: ParticleFlow, temperature: float) -> Evaluation:
    """The policy's evaluation with τ log π added to the cost."""
    entropy = temperature * negative_entropy(flow.particles)
    return evaluate(flow.mdp, flow.particles, flow.weights, flow.discount, flow.initial, extra=entropy)


class _Sampler:
    """Metropolis-adjusted Langevin moves of every particle towards exp(−Q/τ), the step size fitted in each state."""

    def __init__(self, flow: ParticleFlow, temperature: float, seed: int | None) -> None:
        self.low, self.high, self.temperature = flow.mdp.low, flow.mdp.high, temperature
        self.generator = torch.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)
        spread = float((self.high - self.low).min()) / 8
        self.step = torch.full((flow.grid.size, 1, 1), spread**2 / (2 * temperature), dtype=torch.float64)

    def _random(self, shape: torch.Size) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def _accept(self, here: Derivatives, there: Derivatives, trial: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        inside = ((trial >= self.low) & (trial <= self.high)).all(-1)
        ratio = (here.value - there.value) / self.temperature + bias
        return inside & (self._random(ratio.shape).log() < ratio)

    def run(self, at: Evaluation, actions: torch.Tensor, steps: int, fit: bool) -> torch.Tensor:
        """``steps`` moves at one Q; with ``fit`` the step sizes follow the acceptance."""
        here = differentiate(at.q, actions)
        for i in range(steps):
            hop = i % _HOP == _HOP - 1
            if hop:
                trial = self.low + (self.high - self.low) * self._random(actions.shape)
            else:
                noise = torch.randn(actions.shape, generator=self.generator, dtype=torch.float64)
                trial = actions - self.step * here.gradient + (2 * self.step * self.temperature).sqrt() * noise
            clipped = torch.minimum(torch.maximum(trial, self.low), self.high)
            there = differentiate(at.q, clipped)
            bias = torch.zeros_like(here.value)
            if not hop:
                back = ((actions - trial + self.step * there.gradient) ** 2).sum(-1)
                forth = ((trial - actions + self.step * here.gradient) ** 2).sum(-1)
                bias = (forth - back) / (4 * self.step[..., 0] * self.temperature)
            accepted = self._accept(here, there, trial, bias)
            if fit and not hop:
                rate = accepted.double().mean(1)[:, None, None]
                self.step = self.step * torch.exp(0.3 * (rate - _ACCEPTANCE))
            actions = torch.where(accepted[..., None], clipped, actions)
            here = Derivatives(
                torch.where(accepted, there.value, here.value),
                torch.where(accepted[..., None], there.gradient, here.gradient),
                None,
            )
        return actions


def langevin(flow: ParticleFlow, temperature: float, sweeps: int, steps: int, seed: int | None) -> float:
    """See :meth:`ParticleFlow.langevin`."""
    for name, count in (("sweeps", sweeps), ("steps", steps)):
        check_count(name, count)
    check_seed(seed)
    if check_number("temperature", temperature) <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    m = flow.particles.shape[1]
    if m < 2:
        raise ValueError(f"n_particles must be at least 2 for an entropy, got {m}")
    if float((flow.weights - 1 / m).abs().max()) > 1e-12:
        raise ValueError("weights must be equal for the entropy-regularised flow")
    sampler = _Sampler(flow, temperature, seed)
    # Particles that start together are taken apart: a Dirac has no entropy.
    jitter = 1e-3 * (flow.mdp.high - flow.mdp.low)
    flow.particles = flow.particles + jitter * torch.randn(
        flow.particles.shape, generator=sampler.generator, dtype=torch.float64
    )
    for sweep in range(sweeps):
        at = soft_evaluation(flow, temperature)
        flow.particles = sampler.run(at, flow.particles, steps, fit=sweep < sweeps // 2)
    return soft_evaluation(flow, temperature).J
