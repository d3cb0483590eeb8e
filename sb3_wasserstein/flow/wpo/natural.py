"""The natural gradient step of an SB3 actor."""

from __future__ import annotations

import torch
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import Actor
from torch import nn
from torch.func import functional_call

from sb3_wasserstein.flow.neural.metric import Parameters, WassersteinMetric, natural_direction
from sb3_wasserstein.flow.wpo.policies import latent_law


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
    Move an actor against the gradient that its parameters hold: θ − rate (G + δI)⁻¹ ∇, cut to a longest displacement.

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
