"""The ergodic cost of a neural policy and its derivatives, from chains that go on from update to update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from sb3_wasserstein.flow.grid.grid import per_dimension
from sb3_wasserstein.flow.neural.metric import Parameters
from sb3_wasserstein.flow.particles.mdp import Dynamics

# (n, generator) -> n initial states (n, d)
Initial: TypeAlias = Callable[[int, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Window:
    """
    One window of all chains.

    :param cost: average cost of a step, undiscounted
    :param gradient: of the ergodic cost, by parameter
    :param arguments: the policy's arguments in all steps, (T · chains, ·) each
    :param weights: of these rows in the gradient, (T · chains,), summing to one
    :param diverged: number of chains that diverged and were restarted
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

    Arguments are those of :class:`~sb3_wasserstein.flow.NaturalGradient`; the policy is a module and ``initial`` a callable.
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
        self.generator.manual_seed(self.generator.seed() if seed is None else seed)
        sample = self.starts(1024, torch.Generator().manual_seed(0))
        self.centre, self.spread = sample.mean(0), float(sample.std(0).max())
        self.states = self.starts(n_chains, self.generator)

    def starts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n states of the initial law."""
        return self.initial(n, generator).to(self.example)

    def roll(
        self, act: Callable[..., torch.Tensor], states: torch.Tensor, steps: int, generator: torch.Generator
    ) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]]:
        """
        Simulate chains.

        :param act: the policy: states, and noise if it takes any -> actions
        :param states: where the chains start, (B, d)
        :param steps: how many
        :param generator: of all noise
        :return: of each step what the policy was called with, the costs (B,), and the next states (B, d)
        """
        # An exploding chain would end in NaN before the window does.
        limit = 100 * self.spread
        for _ in range(steps):
            arguments: tuple[torch.Tensor, ...] = (states,)
            if self.noise_dim:
                arguments += (torch.randn((len(states), self.noise_dim), generator=generator).to(states),)
            actions = act(*arguments)
            costs = self.cost(states, actions)
            shock = torch.randn((len(states), self.noise.shape[1]), generator=generator).to(states) @ self.noise.T
            states = (self.dynamics(states, actions) + shock).clamp(self.centre - limit, self.centre + limit)
            yield arguments, costs, states

    def window(self, length: int) -> Window:
        """Advance all chains by T = ``length`` steps and differentiate their cost."""
        count = round(self.restart * self.n_chains)
        chosen = torch.randperm(self.n_chains, generator=self.generator)[:count]
        self.states[chosen] = self.starts(count, self.generator)
        parameters = dict(self.policy.named_parameters())
        called, costs, states = zip(*self.roll(self.policy, self.states, length, self.generator), strict=True)
        discounts = self._discounts(length)
        weights = discounts / discounts.sum()
        total = (discounts @ torch.stack(costs)).mean()
        found = torch.autograd.grad(total * weights[0], list(parameters.values()))
        self.states = states[-1].detach()
        # Chains 20 spreads of the initial law away from its centre say nothing about the stationary law.
        gone = ~((self.states - self.centre).abs().amax(1) < 20 * self.spread)
        self.states[gone] = self.starts(int(gone.sum()), self.generator)
        return Window(
            cost=float(torch.stack(costs).detach().mean()),
            gradient=dict(zip(parameters, found, strict=True)),
            arguments=tuple(torch.cat([part.detach() for part in parts]) for parts in zip(*called, strict=True)),
            weights=(weights / self.n_chains).repeat_interleave(self.n_chains),
            diverged=int(gone.sum()),
        )

    def _discounts(self, length: int) -> torch.Tensor:
        return (1 - 1 / length) ** torch.arange(length).to(self.example)

    def curvature(self, length: int) -> float:
        """tr(∂²Q/∂a²) / k at the chains' states, by Hutchinson's estimate: one action is nudged, T steps follow."""
        nudges: list[torch.Tensor] = []

        def nudged_at_first(*arguments: torch.Tensor) -> torch.Tensor:
            actions = torch.as_tensor(self.policy(*arguments))
            if nudges:
                return actions
            nudges.append(torch.zeros_like(actions).requires_grad_(True))
            return actions + nudges[0]

        # Sixteen chains: the estimate is averaged over updates as well.
        costs = torch.stack([costs for _, costs, _ in self.roll(nudged_at_first, self.states[:16], length, self.generator)])
        (slope,) = torch.autograd.grad((self._discounts(length) @ costs).sum(), nudges, create_graph=True)
        sign = torch.randint(0, 2, slope.shape, generator=self.generator).to(slope) * 2 - 1
        (bent,) = torch.autograd.grad((slope * sign).sum(), nudges)
        return float((sign * bent).sum(1).mean()) / slope.shape[1]

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
    scale = torch.as_tensor(per_dimension("initial", std, dim))
    return lambda n, generator: scale * torch.randn((n, dim), generator=generator, dtype=torch.float64)
