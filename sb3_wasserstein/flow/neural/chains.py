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

# Chains further than _DIVERGED spreads of the initial law from its centre start anew; inside a window, states are held at
# _STOPPED spreads, where an exploding chain would otherwise end in NaN.
_DIVERGED, _STOPPED = 20.0, 100.0
# Chains that the curvature of Q is estimated from.
_CURVATURE_CHAINS = 16


@dataclass(frozen=True)
class Window:
    """
    One window of all chains.

    :param cost: average cost of a step, each step as often as any other
    :param gradient: of the ergodic cost, by parameter
    :param arguments: what the policy was called with, (T · chains, ·) each
    :param weights: of these rows in the gradient, summing to one
    :param diverged: chains that left and will start anew
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
    γ = 1 − 1/T, estimates the gradient of the ergodic cost; the states are the policy's own stationary law's.

    :param policy: states (B, d) -> actions (B, k), or (states, noise (B, m)) with an attribute ``noise_dim`` = m
    :param dynamics: states (B, d), actions (B, k) -> next states (B, d) without the noise
    :param cost: states, actions -> (B,)
    :param noise: standard deviation per step, a number, (d,) or a matrix (d, m)
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
        self.noise = noise.to(self.example)
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

    def normal(self, *shape: int, generator: torch.Generator) -> torch.Tensor:
        """Standard normal numbers of the policy's dtype."""
        return torch.randn(shape, generator=generator).to(self.example)

    def shock(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """The disturbance of one step, (n, d)."""
        if self.noise.ndim == 2:
            return self.normal(n, self.noise.shape[1], generator=generator) @ self.noise.T
        return self.noise * self.normal(n, len(self.centre), generator=generator)

    def act(self, parameters: Parameters, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The policy's actions at other parameters than its own."""
        return torch.as_tensor(functional_call(self.policy, dict(parameters), arguments))

    def arguments(self, states: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """What the policy is called with: states, and noise if it takes any."""
        if self.noise_dim == 0:
            return (states,)
        return (states, self.normal(len(states), self.noise_dim, generator=generator))

    def _hold(self, states: torch.Tensor, spreads: float) -> torch.Tensor:
        limit = spreads * self.spread
        return torch.maximum(torch.minimum(states, self.centre + limit), self.centre - limit)

    def _refresh(self) -> None:
        """Restart a share of the chains."""
        count = round(self.restart * self.n_chains)
        chosen = torch.randperm(self.n_chains, generator=self.generator)[:count]
        self.states[chosen] = self.starts(count, self.generator)

    def _roll(
        self, parameters: Parameters, start: torch.Tensor, length: int, nudge: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, ...]], torch.Tensor]:
        """Discounted cost (B,) of a window, costs (T, B), the policy's arguments, and where the window ends (B, d)."""
        states, costs, called = start, [], []
        for t in range(length):
            arguments = self.arguments(states, self.generator)
            called.append(arguments)
            actions = self.act(parameters, arguments)
            if t == 0 and nudge is not None:
                actions = actions + nudge
            costs.append(self.cost(states, actions))
            states = self.dynamics(states, actions) + self.shock(len(states), self.generator)
            states = self._hold(states, _STOPPED)
        stacked = torch.stack(costs)
        discounts = (1 - 1 / length) ** torch.arange(length).to(stacked)
        return discounts @ stacked, stacked.detach(), called, states

    def window(self, length: int) -> Window:
        """
        Advance all chains and differentiate their cost.

        :param length: T, steps
        """
        self._refresh()
        parameters = dict(self.policy.named_parameters())
        total, costs, called, ends = self._roll(parameters, self.states, length)
        weights = (1 - 1 / length) ** torch.arange(length).to(total)
        weights = weights / weights.sum()
        found = torch.autograd.grad(total.mean() * weights[0], list(parameters.values()))
        arguments = tuple(torch.cat([call[i].detach() for call in called]) for i in range(len(called[0])))
        ends = ends.detach()
        gone = ~((ends - self.centre).abs().amax(1) < _DIVERGED * self.spread)
        count = int(gone.sum())
        ends[gone] = self.starts(count, self.generator)
        self.states = ends
        return Window(
            cost=float(costs.mean()),
            gradient=dict(zip(parameters, found, strict=True)),
            arguments=arguments,
            weights=(weights / self.n_chains).repeat_interleave(self.n_chains),
            diverged=count,
        )

    def curvature(self, length: int) -> float:
        """
        tr(∂²Q/∂a²) / k at the chains' states, by Hutchinson's estimate: one action is nudged, the policy plays on.

        :param length: T, the window that stands for Q
        """
        fixed = {name: value.detach() for name, value in self.policy.named_parameters()}
        start = self.states[:_CURVATURE_CHAINS]
        with torch.no_grad():
            shape = self.act(fixed, self.arguments(start, torch.Generator().manual_seed(0))).shape
        nudge = start.new_zeros(shape).requires_grad_(True)
        total, *_ = self._roll(fixed, start, length, nudge)
        (slope,) = torch.autograd.grad(total.sum(), nudge, create_graph=True)
        sign = torch.randint(0, 2, shape, generator=self.generator).to(start) * 2 - 1
        (bent,) = torch.autograd.grad((slope * sign).sum(), nudge)
        return float((sign * bent).sum(1).mean()) / shape[1]

    def evaluate(self, n_chains: int, burn_in: int, steps: int, low: torch.Tensor, high: torch.Tensor, seed: int) -> float:
        """Average cost of a step from fresh chains, actions clipped to their bounds."""
        generator = torch.Generator().manual_seed(seed)
        states, total = self.starts(n_chains, generator), 0.0
        with torch.no_grad():
            for t in range(burn_in + steps):
                actions = self.policy(*self.arguments(states, generator)).clamp(low, high)
                if t >= burn_in:
                    total += float(self.cost(states, actions).mean())
                states = self._hold(self.dynamics(states, actions) + self.shock(n_chains, generator), _STOPPED)
        return total / steps

    def state_dict(self) -> dict[str, Any]:
        """Where the chains stand, and their generator."""
        return {"states": self.states, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave; ValueError where it is of other chains."""
        states = state["states"]
        if states.shape != self.states.shape or not bool(torch.isfinite(states).all()):
            raise ValueError(f"chains must be finite and of shape {tuple(self.states.shape)}, got {tuple(states.shape)}")
        self.states = states.to(self.example)
        self.generator.set_state(state["generator"])


def gaussian(std: float | Sequence[float] | np.ndarray, dim: int) -> Initial:
    """The initial law N(0, std²) in ``dim`` coordinates."""
    scale = torch.as_tensor(np.broadcast_to(check_array("initial", std), (dim,)).copy())

    def sample(n: int, generator: torch.Generator) -> torch.Tensor:
        return scale * torch.randn((n, dim), generator=generator, dtype=torch.float64)

    return sample
