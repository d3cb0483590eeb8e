"""What a policy costs on the grid, and whether that answer can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sb3_wasserstein.flow.chain import Chain
from sb3_wasserstein.flow.mdp import GridMDP

# A chain that mixes slower than this, in steps, has a J that the grid's round-off and diffusion decide.
MINIMUM_SPECTRAL_GAP = 1e-6
# Probability per step of falling off the grid: ergodic, where 1e-3 moved J by .7 % on a linear plant, and discounted, where
# the start may already lie at the edge.
MAXIMUM_LEAVING, MAXIMUM_LEAVING_DISCOUNTED = 1e-3, 1e-2


@dataclass(frozen=True)
class Evaluation:
    """
    A policy at one discount.

    :param J: its cost
    :param V: relative or discounted value, (n,)
    :param rho: stationary law or discounted occupancy, (n,)
    :param scale: the size of its costs, E_ρ |c_π|
    :param future: γ N V, what arriving at a node is worth before the noise N acts, (n,)
    """

    mdp: GridMDP
    chain: Chain
    J: float
    V: torch.Tensor
    rho: torch.Tensor
    scale: float
    future: torch.Tensor

    def q(self, actions: torch.Tensor) -> torch.Tensor:
        """Q(s, a) up to the constant J, (n, m) for actions (n, m, k)."""
        return self.mdp.action_value(actions, self.future)

    def complaints(self, particles: torch.Tensor, weights: torch.Tensor) -> list[str]:
        """What speaks against J: mass that falls off the grid, a chain in parts. Empty when nothing does."""
        grid, discount = self.mdp.grid, self.chain.discount
        found = []
        below, above = self.mdp.leaving(particles, weights)
        # The start's own mass may lie at the edge: what counts is where the chain goes.
        law = self.rho if discount is None else self.rho - (1 - discount) * torch.as_tensor(self.chain.initial)
        low_share, high_share = (law @ below).numpy(), (law @ above).numpy()
        share = float((low_share + high_share).sum())
        limit = MAXIMUM_LEAVING if discount is None else MAXIMUM_LEAVING_DISCOUNTED
        if share > limit:
            width = grid.high - grid.low
            low = grid.low - 0.5 * width * (low_share > limit / 10)
            high = grid.high + 0.5 * width * (high_share > limit / 10)
            found.append(
                f"the chain leaves mass at the grid's edge: {share:.2%} of its steps end outside. Try "
                f"Grid(low={np.round(low, 6).tolist()}, high={np.round(high, 6).tolist()}, ...), or, where "
                "the physics itself stops at the edge, clip the next state to the grid's bounds in dynamics"
            )
        if (discount is None or self.chain.restarted) and (gap := self.chain.spectral_gap()) < MINIMUM_SPECTRAL_GAP:
            found.append(
                f"the chain is reducible, or nearly: its spectral gap is {gap:.1e}, so J depends on where it starts. "
                "Use more noise, a discount, or a grid that covers one of its parts"
            )
        return found


def evaluate(
    mdp: GridMDP,
    particles: torch.Tensor,
    weights: torch.Tensor,
    discount: float | None,
    initial: torch.Tensor,
    extra: torch.Tensor | None = None,
) -> Evaluation:
    """
    Solve for V, J and ρ of weighted particles.

    :param particles: (n, m, k)
    :param weights: (n, m)
    :param discount: γ, or None for the ergodic cost, with V = 0 at the grid's centre
    :param initial: μ₀ (n,)
    :param extra: cost per state on top of the actions', (n,)
    """
    transition, cost = mdp.chain(particles, weights)
    if extra is not None:
        cost = cost + extra.numpy()
    centre = int(np.ravel_multi_index([n // 2 for n in mdp.grid.cells], mdp.grid.cells))
    chain = Chain(transition, discount, initial.numpy(), centre)
    V, J = chain.value(cost)
    rho = chain.occupancy()
    future = torch.as_tensor((1.0 if discount is None else discount) * mdp.axis_noise.expect(V))
    scale = float(rho @ np.abs(cost)) or 1.0
    return Evaluation(mdp, chain, J, torch.as_tensor(V), torch.as_tensor(rho), scale, future)
