"""The entropy-regularised flow: velocity −∇_a Q − τ ∇_a log π, whose stationary law is Gibbs, π ∝ exp(−Q/τ)."""

from __future__ import annotations

import math

import torch

from sb3_wasserstein._validation import check_count, check_positive, check_seed
from sb3_wasserstein.flow.particles.mdp import Evaluation, GridMDP, differentiate, evaluate
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


def langevin(
    mdp: GridMDP, policy: ParticlePolicy, temperature: float, sweeps: int, moves: int, seed: int | None
) -> tuple[ParticlePolicy, float]:
    """The particles and J + τ E log π that the flow ends with; see :meth:`ParticleFlow.langevin`."""
    check_count("sweeps", sweeps)
    check_count("steps", moves)
    temperature = check_positive("temperature", temperature)
    m = policy.weights.shape[1]
    if m < 2:
        raise ValueError(f"n_particles must be at least 2 for an entropy, got {m}")
    if float((policy.weights - 1 / m).abs().max()) > 1e-12:
        raise ValueError("weights must be equal for the entropy-regularised flow")
    generator, given = torch.Generator(), check_seed(seed)
    generator.manual_seed(generator.seed() if given is None else given)
    # The first moves span an eighth of the box.
    spread = float((mdp.high - mdp.low).min()) / 8
    step = torch.full((mdp.grid.size, 1, 1), spread**2 / (2 * temperature), dtype=torch.float64)
    # Particles that start together are taken apart: a Dirac has no entropy.
    jitter = torch.randn(policy.particles.shape, generator=generator, dtype=torch.float64)
    policy = policy.moved(mdp.project(policy.particles + 1e-3 * (mdp.high - mdp.low) * jitter))

    def soft_evaluation(at: ParticlePolicy) -> Evaluation:
        return evaluate(mdp, at, extra=temperature * negative_entropy(at.particles))

    for sweep in range(sweeps):
        at = soft_evaluation(policy)
        actions, step = _sweep(at, step, temperature, moves, generator, fit=sweep < sweeps // 2)
        policy = policy.moved(actions)
    return policy, soft_evaluation(policy).J


def _sweep(
    at: Evaluation, step: torch.Tensor, temperature: float, moves: int, generator: torch.Generator, fit: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Metropolis-adjusted Langevin moves of every particle towards exp(−Q/τ) at one Q.

    :param step: step size in each state, (n, 1, 1)
    :param fit: whether step sizes follow the acceptance
    :return: the particles, and the step sizes
    """
    mdp, actions = at.mdp, at.policy.particles
    value, slope, _ = differentiate(at.q, actions)
    for i in range(1, moves + 1):
        # Every fifth proposal comes from all over the box: mass crosses between wells that diffusion would keep apart.
        hop = i % 5 == 0
        if hop:
            trial = mdp.low + (mdp.high - mdp.low) * torch.rand(actions.shape, generator=generator, dtype=torch.float64)
        else:
            noise = torch.randn(actions.shape, generator=generator, dtype=torch.float64)
            trial = actions - step * slope + (2 * step * temperature).sqrt() * noise
        clipped = mdp.project(trial)
        there = differentiate(at.q, clipped)
        ratio = (value - there.value) / temperature
        if not hop:
            back = ((actions - trial + step * there.gradient) ** 2).sum(-1)
            forth = ((trial - actions + step * slope) ** 2).sum(-1)
            ratio = ratio + (forth - back) / (4 * step[..., 0] * temperature)
        level = torch.rand(ratio.shape, generator=generator, dtype=torch.float64)
        accepted = (trial == clipped).all(-1) & (level.log() < ratio)
        if fit and not hop:
            # Langevin proposals do best where 0.574 of them are accepted (Roberts and Rosenthal 1998).
            step = step * torch.exp(0.3 * (accepted.double().mean(1)[:, None, None] - 0.574))
        value = torch.where(accepted, there.value, value)
        actions, slope = (
            torch.where(accepted[..., None], new, old) for new, old in ((clipped, actions), (there.gradient, slope))
        )
    return actions, step
