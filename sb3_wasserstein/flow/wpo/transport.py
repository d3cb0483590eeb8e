"""WPO's update: a velocity at sampled actions, and the change of the policy's parameters that carries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import Actor
from torch import nn
from torch.func import functional_call

from sb3_wasserstein.flow.neural.metric import Parameters, WassersteinMetric, natural_direction
from sb3_wasserstein.flow.wpo.laws import Draw, LatentLaw
from sb3_wasserstein.flow.wpo.policies import latent_law

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


class _Coordinates(nn.Module):
    """An actor as a map of its parameters to the coordinates of its laws."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, observations: PyTorchObs) -> torch.Tensor:
        return latent_law(self.actor, observations).coordinates()


def move_naturally(
    actor: Actor, observations: PyTorchObs, rate: float, damping: float, iterations: int, max_displacement: float
) -> float:
    """
    Move an actor against the gradient of its parameters: θ − rate (G + δI)⁻¹ ∇, cut to a longest displacement.

    :param actor: with gradients
    :param observations: of the batch, where G is estimated
    :param rate: the flow's time step
    :param damping: δ
    :param iterations: conjugate gradients
    :param max_displacement: of the latent actions' law, W₂ per state, root mean square
    :return: the displacement
    """
    module = _Coordinates(actor)
    learned = {name: p for name, p in module.named_parameters() if p.requires_grad and p.grad is not None}
    gradient = {name: p.grad for name, p in learned.items() if p.grad is not None}

    def coordinates(at: Parameters) -> torch.Tensor:
        return torch.as_tensor(functional_call(module, dict(at), (observations,)))

    found = natural_direction(WassersteinMetric(coordinates, learned), gradient, damping, iterations)
    step = min(rate, max_displacement / max(found.length, 1e-300))
    with torch.no_grad():
        for name, parameter in learned.items():
            parameter.sub_(step * found.vector[name])
    return step * found.length
