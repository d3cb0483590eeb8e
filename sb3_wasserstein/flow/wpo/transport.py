"""The flow's update: a velocity at sampled actions, and the change of the policy's parameters that carries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sb3_wasserstein.flow.wpo.laws import Draw, LatentLaw

SQUASHES = ("none", "cbrt")


@dataclass(frozen=True)
class Velocity:
    """
    Where the flow takes sampled actions.

    :param field: velocity of the latent actions, (S, B, k)
    :param value: Q − τ log π at them, (S, B)
    :param log_prob: log π at them, (S, B)
    """

    field: torch.Tensor
    value: torch.Tensor
    log_prob: torch.Tensor


def velocity(
    q: Callable[[torch.Tensor], torch.Tensor],
    law: LatentLaw,
    latents: torch.Tensor,
    temperature: torch.Tensor | float,
    squash: str = "none",
) -> Velocity:
    """
    ∇_a Q − τ ∇_a log π, the Langevin velocity whose stationary law is π ∝ exp(Q/τ), in the coordinates u of a = tanh u.

    :param q: actions (S, B, k) -> (S, B)
    :param law: π
    :param latents: u (S, B, k)
    :param temperature: τ
    :param squash: "cbrt": the cube root of every entry of ∇_a Q, which tames the scale of rewards
    """
    u = latents.detach().requires_grad_(True)
    actions = torch.tanh(u)
    value = q(actions)
    (slope,) = torch.autograd.grad(value.sum(), actions)
    if squash == "cbrt":
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
