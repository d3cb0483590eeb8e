"""The ergodic cost of a neural policy and its derivatives, from chains that go on from update to update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from sb3_wasserstein._validation import check_array
from sb3_wasserstein.flow.neural.metric import Parameters
from sb3_wasserstein.flow.particles.mdp import Dynamics

# (n, generator) -> n initial states (n, d)
Initial: TypeAlias = Callable[[int, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Window:
    """
    One window of all chains.

    :param cost: average cost of a step, each step as often as any other
    :param gradient: of the ergodic cost, by parameter
    :param arguments: what the policy was called with, (T · chains, ·) each
    :param weights: of these rows in the gradient, summing to one
    :param diverged: number of chains that left and start anew
    """

    cost: float
    gradient: Parameters
    arguments: tuple[torch.Tensor, ...]
    weights: torch.Tensor
    diverged: int


class Chains:
    """
    Chains ``s' = dynamics(s, a) + noise w`` that persist: each window starts where the last one ended, but for a share of
    restarts from the initial law and for those that diverged. Backpropagation through the window, discounted with
    γ = 1 − 1/T, estimates the gradient of the ergodic cost; the states are those of the policy's own stationary law.

    :param policy: states (B, d) -> actions (B, k), or (states, noise (B, m)) with an attribute ``noise_dim`` = m
    :param dynamics: states (B, d), actions (B, k) -> next states (B, d) without the noise
    :param cost: states, actions -> (B,)
    :param noise: standard deviation per step, (d,), or a matrix (d, m)
    :param initial: (n, generator) -> states (n, d)
    :param n_chains: number of chains
    :param restart: share of chains that start anew with each window
    :param seed: of the chains
    """

    def __init__(
        self,
        policy: nn.Module,
        dynamics: Dynamics,
        cost: Dynamics,
        noise: torch.Tensor,
        initial: Initial,
        n_chains: int,
        restart: float,
        seed: int | None,
    ) -> None:
        self.policy, self.dynamics, self.cost, self.initial = policy, dynamics, cost, initial
        self.example = next(policy.parameters())
        self.noise = (torch.diag(noise) if noise.ndim == 1 else noise).to(self.example)
        self.noise_dim = int(getattr(policy, "noise_dim", 0))
        self.n_chains, self.restart = n_chains, restart
        self.generator = torch.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)
        sample = self.starts(1024, torch.Generator().manual_seed(0))
        self.centre, self.spread = sample.mean(0), float(sample.std(0).max())
        self.states = self.starts(n_chains, self.generator)

    def starts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n states of the initial law."""
        return self.initial(n, generator).to(self.example)

    def parameters(self) -> dict[str, torch.Tensor]:
        """The policy's parameters without their gradients."""
        return {name: value.detach() for name, value in self.policy.named_parameters()}

    def act(self, parameters: Parameters, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The policy's actions at other parameters than its own."""
        return torch.as_tensor(functional_call(self.policy, dict(parameters), arguments))

    def arguments(self, states: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """What the policy is called with: states, and noise if it takes any."""
        if self.noise_dim == 0:
            return (states,)
        return (states, torch.randn((len(states), self.noise_dim), generator=generator).to(self.example))

    def advance(self, states: torch.Tensor, actions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The next states with their disturbance, (B, d)."""
        shock = torch.randn((len(states), self.noise.shape[1]), generator=generator).to(self.example) @ self.noise.T
        # An exploding chain would end in NaN before the window does.
        limit = 100 * self.spread
        return (self.dynamics(states, actions) + shock).clamp(self.centre - limit, self.centre + limit)

    def _roll(
        self, parameters: Parameters, states: torch.Tensor, length: int, nudge: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, ...]], torch.Tensor]:
        """Discounted cost (B,) of a window, costs (T, B), the policy's arguments, and where the window ends (B, d)."""
        costs, called = [], []
        for t in range(length):
            arguments = self.arguments(states, self.generator)
            called.append(arguments)
            actions = self.act(parameters, arguments)
            if t == 0 and nudge is not None:
                actions = actions + nudge
            costs.append(self.cost(states, actions))
            states = self.advance(states, actions, self.generator)
        stacked = torch.stack(costs)
        return self._discounts(length) @ stacked, stacked.detach(), called, states

    def _discounts(self, length: int) -> torch.Tensor:
        return (1 - 1 / length) ** torch.arange(length).to(self.example)

    def window(self, length: int) -> Window:
        """Advance all chains by T = ``length`` steps and differentiate their cost."""
        count = round(self.restart * self.n_chains)
        chosen = torch.randperm(self.n_chains, generator=self.generator)[:count]
        self.states[chosen] = self.starts(count, self.generator)
        parameters = dict(self.policy.named_parameters())
        total, costs, called, ends = self._roll(parameters, self.states, length)
        weights = self._discounts(length) / self._discounts(length).sum()
        found = torch.autograd.grad(total.mean() * weights[0], list(parameters.values()))
        self.states = ends.detach()
        # Chains 20 spreads of the initial law away from its centre say nothing about the stationary law.
        gone = ~((self.states - self.centre).abs().amax(1) < 20 * self.spread)
        self.states[gone] = self.starts(int(gone.sum()), self.generator)
        return Window(
            cost=float(costs.mean()),
            gradient=dict(zip(parameters, found, strict=True)),
            arguments=tuple(torch.cat([part.detach() for part in parts]) for parts in zip(*called, strict=True)),
            weights=(weights / self.n_chains).repeat_interleave(self.n_chains),
            diverged=int(gone.sum()),
        )

    def curvature(self, length: int) -> float:
        """tr(∂²Q/∂a²) / k at the chains' states, by Hutchinson's estimate: one action is nudged, T steps follow."""
        # Sixteen chains: the estimate is averaged over updates as well.
        start, fixed = self.states[:16], self.parameters()
        with torch.no_grad():
            shape = self.act(fixed, self.arguments(start, torch.Generator().manual_seed(0))).shape
        nudge = start.new_zeros(shape).requires_grad_(True)
        total, *_ = self._roll(fixed, start, length, nudge)
        (slope,) = torch.autograd.grad(total.sum(), nudge, create_graph=True)
        sign = torch.randint(0, 2, shape, generator=self.generator).to(start) * 2 - 1
        (bent,) = torch.autograd.grad((slope * sign).sum(), nudge)
        return float((sign * bent).sum(1).mean()) / shape[1]

    def state_dict(self) -> dict[str, Any]:
        """Where the chains stand, and their generator."""
        return {"states": self.states, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave; a ValueError where it is of other chains."""
        states = state["states"]
        if states.shape != self.states.shape or not bool(torch.isfinite(states).all()):
            raise ValueError(f"chains must be finite and of shape {tuple(self.states.shape)}, got {tuple(states.shape)}")
        self.states = states.to(self.example)
        self.generator.set_state(state["generator"])


def gaussian(std: float | Sequence[float] | np.ndarray, dim: int) -> Initial:
    """The initial law N(0, std²) in ``dim`` coordinates."""
    array = check_array("initial", std)
    if array.shape not in ((), (1,), (dim,)):
        raise ValueError(f"initial must be a number or one per state dimension ({dim}), got shape {array.shape}")
    scale = torch.as_tensor(np.broadcast_to(array, (dim,)).copy())
    return lambda n, generator: scale * torch.randn((n, dim), generator=generator, dtype=torch.float64)
