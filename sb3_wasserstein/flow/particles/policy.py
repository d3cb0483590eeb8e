"""A policy of weighted particles at every node, and the same behind SB3's ``predict``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch

from sb3_wasserstein._validation import check_callable, check_seed
from sb3_wasserstein.flow.grid.grid import Grid
from sb3_wasserstein.flow.predicting import Predicting

# observations (B, obs) -> states (B, d)
ObservationToState: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class ParticlePolicy:
    """
    π(·|s) = Σ_i w_si δ(a_si) at every node.

    :param particles: the actions, float64 (n, m, k)
    :param weights: their probabilities (n, m), rows summing to one
    """

    particles: torch.Tensor
    weights: torch.Tensor

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """E_π of values per particle, (n, m) -> (n,), or vectors, (n, m, d) -> (n, d)."""
        return torch.einsum("nm...,nm->n...", values, self.weights)

    def moved(self, particles: torch.Tensor) -> ParticlePolicy:
        """The same weights at other actions."""
        return replace(self, particles=particles)


class GridPolicy(Predicting):
    """
    A snapshot of a particle policy, between the nodes as well.

    Deterministic: the mean action of each node, interpolated multilinearly. Stochastic: a corner of the state's cell is drawn
    with those weights, then one of its particles.

    :param policy: the particles and their weights, which are copied
    :param grid: the grid of states
    :param observation_to_state: (B, obs) -> (B, d); None where observations are the states
    :param seed: of the stochastic policy's draws

    Example:
        >>> from sb3_wasserstein.flow import Grid, ParticleFlow
        >>> dynamics, cost = (lambda s, a: s + 0.1 * a), (lambda s, a: (s**2 + a**2)[:, 0])
        >>> flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 31), -2, 2, n_particles=2, noise=0.3)
        >>> action, _ = flow.as_policy().predict([[0.5]], deterministic=True)
        >>> action.shape
        (1, 1)
    """

    def __init__(
        self, policy: ParticlePolicy, grid: Grid, observation_to_state: ObservationToState | None, seed: int | None
    ) -> None:
        self.policy = ParticlePolicy(policy.particles.clone(), policy.weights.clone())
        self.grid = grid
        self._mean = self.policy.mean(self.policy.particles)
        if observation_to_state is not None:
            check_callable("observation_to_state", observation_to_state, "(observations)")
        self._observation_to_state = observation_to_state
        self._rng = np.random.default_rng(check_seed(seed))

    def states(self, observations: torch.Tensor) -> torch.Tensor:
        """The states (B, d) that observations (B, obs) stand for."""
        if self._observation_to_state is not None:
            return self._observation_to_state(observations)
        d = self.grid.dim
        angles = self.grid.periodic if any(self.grid.periodic) else self.grid.full_turns()
        if observations.shape[1] == d:
            return observations
        if observations.shape[1] == d + sum(angles):
            columns = iter(observations.unbind(1))
            read = []
            for angle in angles:
                column = next(columns)
                # An angle comes as (cos, sin), as in Pendulum-v1.
                read.append(torch.atan2(next(columns), column) if angle else column)
            return torch.stack(read, dim=1)
        raise ValueError(
            f"observation has {observations.shape[1]} entries, the flow's state {d}: pass as_policy(observation_to_state=...)"
        )

    def actions(self, observations: torch.Tensor, deterministic: bool) -> torch.Tensor:
        """Actions (B, k) for observations (B, obs)."""
        corners, shares = self.grid.linear_weights(self.states(observations))
        if deterministic:
            return (shares[..., None] * self._mean[corners]).sum(1)
        nodes = corners.gather(1, self._draw(shares)).squeeze(1)
        return self.policy.particles[nodes, self._draw(self.policy.weights[nodes]).squeeze(1)]

    def _draw(self, law: torch.Tensor) -> torch.Tensor:
        """One index per row of probabilities, (B, 1)."""
        level = torch.as_tensor(self._rng.random((len(law), 1)))
        return (law.cumsum(1) < level).sum(1, keepdim=True).clamp(max=law.shape[1] - 1)
