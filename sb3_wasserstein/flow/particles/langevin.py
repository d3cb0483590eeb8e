"""The entropy-regularised flow: velocity −∇_a Q − τ ∇_a log π, whose stationary law is Gibbs, π ∝ exp(−Q/τ)."""

from __future__ import annotations

import math

import torch

from sb3_wasserstein._validation import check_count, check_positive, check_seed
from sb3_wasserstein.flow.particles.mdp import Derivatives, Evaluation, GridMDP, differentiate, evaluate
from sb3_wasserstein.flow.particles.policy import ParticlePolicy


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
    digamma = torch.digamma(torch.tensor([float(m), 1.0], dtype=torch.float64))
    # Particles that coincide after a rejected move have no distance: they are counted at the smallest one there is.
    return -(float(digamma[0] - digamma[1]) + math.log(ball) + k * nearest.clamp(min=1e-12).log().mean(1))


class _Sampler:
    """Metropolis-adjusted Langevin moves of every particle towards exp(−Q/τ), the step size fitted in each state."""

    def __init__(self, mdp: GridMDP, temperature: float, seed: int | None) -> None:
        self.mdp, self.temperature = mdp, temperature
        self.generator = torch.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)
        # The first moves span an eighth of the box.
        spread = float((mdp.high - mdp.low).min()) / 8
        self.step = torch.full((mdp.grid.size, 1, 1), spread**2 / (2 * temperature), dtype=torch.float64)

    def uniform(self, shape: torch.Size) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def normal(self, shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def run(self, at: Evaluation, actions: torch.Tensor, moves: int, fit: bool) -> torch.Tensor:
        """``moves`` of every particle at one Q; with ``fit`` the step sizes follow the acceptance."""
        low, high = self.mdp.low, self.mdp.high
        here = differentiate(at.q, actions)
        for i in range(1, moves + 1):
            # Every fifth proposal comes from all over the box: mass crosses between wells that diffusion would keep apart.
            hop = i % 5 == 0
            if hop:
                trial = low + (high - low) * self.uniform(actions.shape)
            else:
                noise = self.normal(actions.shape)
                trial = actions - self.step * here.gradient + (2 * self.step * self.temperature).sqrt() * noise
            clipped = self.mdp.project(trial)
            there = differentiate(at.q, clipped)
            ratio = (here.value - there.value) / self.temperature
            if not hop:
                back = ((actions - trial + self.step * there.gradient) ** 2).sum(-1)
                forth = ((trial - actions + self.step * here.gradient) ** 2).sum(-1)
                ratio = ratio + (forth - back) / (4 * self.step[..., 0] * self.temperature)
            accepted = (trial == clipped).all(-1) & (self.uniform(ratio.shape).log() < ratio)
            if fit and not hop:
                # Langevin proposals do best where 0.574 of them are accepted (Roberts and Rosenthal 1998).
                rate = accepted.double().mean(1)[:, None, None]
                self.step = self.step * torch.exp(0.3 * (rate - 0.574))
            actions = torch.where(accepted[..., None], clipped, actions)
            here = Derivatives(
                torch.where(accepted, there.value, here.value),
                torch.where(accepted[..., None], there.gradient, here.gradient),
                here.hessian,
            )
        return actions


def langevin(
    mdp: GridMDP, policy: ParticlePolicy, temperature: float, sweeps: int, steps: int, seed: int | None
) -> tuple[ParticlePolicy, float]:
    """The particles and J + τ E log π that the flow ends with; see :meth:`ParticleFlow.langevin`."""
    for name, count in (("sweeps", sweeps), ("steps", steps)):
        check_count(name, count)
    check_seed(seed)
    temperature = check_positive("temperature", temperature)
    m = policy.weights.shape[1]
    if m < 2:
        raise ValueError(f"n_particles must be at least 2 for an entropy, got {m}")
    if float((policy.weights - 1 / m).abs().max()) > 1e-12:
        raise ValueError("weights must be equal for the entropy-regularised flow")
    sampler = _Sampler(mdp, temperature, seed)

    def soft_evaluation(at: ParticlePolicy) -> Evaluation:
        return evaluate(mdp, at, extra=temperature * negative_entropy(at.particles))

    # Particles that start together are taken apart: a Dirac has no entropy.
    jitter = 1e-3 * (mdp.high - mdp.low) * sampler.normal(policy.particles.shape)
    policy = policy.moved(mdp.project(policy.particles + jitter))
    for sweep in range(sweeps):
        at = soft_evaluation(policy)
        policy = policy.moved(sampler.run(at, policy.particles, steps, fit=sweep < sweeps // 2))
    return policy, soft_evaluation(policy).J
