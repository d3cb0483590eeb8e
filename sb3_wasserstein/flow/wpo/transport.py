"""WPO's update on laws of latent actions u, the action being tanh u: a velocity at samples, and the loss that carries it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Draw(NamedTuple):
    """
    Latent actions u (S, B, k) drawn by reparametrisation, differentiable in the law's means and widths, and their weights
    (S, B), which sum to one over S and are differentiable in the law's weights.
    """

    latents: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class LatentLaw:
    """
    A mixture of K diagonal Gaussians on latent actions u; the action is tanh u. K = 1 is a Gaussian policy.

    :param means: (B, K, k)
    :param stds: (B, K, k)
    :param log_weights: (B, K), normalised
    :param noise: draws (B, 1, k) centred noise with these ``stds`` where it is not independent of everything else (gSDE)
    """

    means: torch.Tensor
    stds: torch.Tensor
    log_weights: torch.Tensor
    noise: Callable[[], torch.Tensor] | None = None

    def detach(self) -> LatentLaw:
        """The same law, constant."""
        return LatentLaw(self.means.detach(), self.stds.detach(), self.log_weights.detach())

    def draw(self, samples: int) -> Draw:
        """
        As many samples from every component, about ``samples`` in all, each with its share of the component's weight.

        Antithetic: with every sample goes the one on the other side of its component's centre. What of a velocity is odd
        about the centre, the entropy's above all, then cancels out of the mean's step instead of averaging out.

        :param samples: at least one a component is drawn
        """
        _, components, _ = self.means.shape
        rounds = max(1, round(samples / components))
        half = (rounds + 1) // 2
        if self.noise is not None:
            noise = torch.stack([self.noise() for _ in range(half)])
        else:
            shape = (half, *self.means.shape)
            noise = self.stds * torch.randn(shape, dtype=self.means.dtype, device=self.means.device)
        latents = self.means + torch.cat([noise, -noise])[:rounds]
        latents = latents.transpose(0, 1).flatten(1, 2)
        weights = (self.log_weights.exp() / rounds).repeat(1, rounds)
        return Draw(latents.transpose(0, 1), weights.transpose(0, 1))

    def log_prob(self, latents: torch.Tensor) -> torch.Tensor:
        """
        The log density of the action tanh u, (S, B).

        :param latents: u (S, B, k)
        """
        standard = (latents[:, :, None] - self.means) / self.stds
        each = (-0.5 * standard**2 - self.stds.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
        density = torch.logsumexp(each + self.log_weights, -1)
        return density - _log_slope(latents)

    def mode(self) -> torch.Tensor:
        """The centre where the latent density is highest, (B, k)."""
        if self.means.shape[1] == 1:
            return self.means[:, 0]
        centres = self.means.transpose(0, 1)
        best = (self.log_prob(centres) + _log_slope(centres)).argmax(0)
        return self.means[torch.arange(len(best)), best]

    def coordinates(self) -> torch.Tensor:
        """
        √w (μ, σ) by component, (B, 2 K k): their squared distance is W₂² between Gaussians, and between mixtures of equal
        weights that of the coupling by component, an upper bound.
        """
        scale = (0.5 * self.log_weights.detach()).exp()[..., None]
        return torch.cat([scale * self.means, scale * self.stds], 1).flatten(1)


def _log_slope(latents: torch.Tensor) -> torch.Tensor:
    """The logarithm of tanh's slope, summed over the dimensions of the action, with SB3's guard of 1e-6."""
    return torch.log(1 - torch.tanh(latents) ** 2 + 1e-6).sum(-1)


def w2_to(law: LatentLaw, other: LatentLaw) -> torch.Tensor:
    """W₂² of latent actions by component, averaged over states."""
    share = law.log_weights.detach().exp()
    apart = ((law.means - other.means) ** 2 + (law.stds - other.stds) ** 2).sum(-1)
    return (share * apart).sum(1).mean()


def kl_to(law: LatentLaw, other: LatentLaw) -> torch.Tensor:
    """KL(law ‖ other) of component and latent action together, averaged over states; an upper bound of that of actions."""
    ratio = law.stds / other.stds
    apart = (0.5 * (ratio**2 + ((law.means - other.means) / other.stds) ** 2 - 1) - ratio.log()).sum(-1)
    share = law.log_weights.exp()
    return (share * (apart + law.log_weights - other.log_weights)).sum(1).mean()


class Velocity(NamedTuple):
    """The velocity of sampled latent actions (S, B, k), and Q − τ log π and log π at them, (S, B) each."""

    field: torch.Tensor
    value: torch.Tensor
    log_prob: torch.Tensor


def velocity(
    q: Callable[[torch.Tensor], torch.Tensor],
    law: LatentLaw,
    latents: torch.Tensor,
    temperature: torch.Tensor | float,
    cube_root: bool = False,
) -> Velocity:
    """
    ∇_a Q − τ ∇_a log π, the Langevin velocity whose stationary law is π ∝ exp(Q/τ), in the coordinates u of a = tanh u.

    :param q: actions (S, B, k) -> (S, B)
    :param law: π
    :param latents: u (S, B, k)
    :param temperature: τ
    :param cube_root: whether to take that of every entry of ∇_a Q, which tames the scale of rewards
    """
    u = latents.detach().requires_grad_(True)
    actions = torch.tanh(u)
    value = q(actions)
    (slope,) = torch.autograd.grad(value.sum(), actions)
    if cube_root:
        slope = slope.sign() * slope.abs() ** (1 / 3)
    log_prob = law.detach().log_prob(u)
    (score,) = torch.autograd.grad(log_prob.sum(), u)
    pulled = slope * (1 - actions.detach() ** 2)
    return Velocity(pulled - temperature * score, (value - temperature * log_prob).detach(), log_prob.detach())


def transport_loss(draw: Draw, at: Velocity) -> torch.Tensor:
    """
    The scalar whose gradient is −dθ: means and widths follow the velocity, E[J_θ uᵀ v] (transport), and the weights of a
    mixture the value of their component, E_k[Q − τ log π] (reaction). For one Gaussian there is no second part.
    """
    carried = (draw.weights.detach() * (draw.latents * at.field).sum(-1)).sum(0)
    grown = (draw.weights * (at.value - at.value.mean(0))).sum(0)
    return -(carried + grown).mean()
