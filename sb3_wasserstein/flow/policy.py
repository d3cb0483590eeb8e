"""A particle policy behind SB3's ``predict``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from sb3_wasserstein._validation import check_array

if TYPE_CHECKING:
    from sb3_wasserstein.flow.particles import ParticleFlow

# observations (B, obs) -> states (B, d)
ObservationToState: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class GridPolicy:
    """
    A snapshot of a flow's policy, between its nodes as well.

    Deterministic: the mean action of each node, interpolated multilinearly. Stochastic: a corner of the state's cell is drawn
    with those weights, then one of its particles.

    :param flow: whose particles are copied
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

    def __init__(self, flow: ParticleFlow, observation_to_state: ObservationToState | None, seed: int | None) -> None:
        self.grid = flow.grid
        self.particles = flow.particles.clone()
        self.weights = flow.weights.clone()
        self.mean = (self.particles * self.weights[..., None]).sum(1)
        self._observation_to_state = observation_to_state
        self._rng = np.random.default_rng(seed)

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
            # Python evaluates the two `next` in order: cos comes first, as in Pendulum-v1.
            read = [_angle(next(columns), next(columns)) if angle else next(columns) for angle in angles]
            return torch.stack(read, dim=1)
        raise ValueError(
            f"observation has {observations.shape[1]} entries, the flow's state {d}: pass as_policy(observation_to_state=...)"
        )

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        SB3's signature: actions for one observation (obs,) or a batch (B, obs), and the recurrent state, passed through.

        :return: float32 actions, (k,) or (B, k)
        """
        array = check_array("observation", observation)
        single = array.ndim <= 1
        corners, shares = self.grid.linear_weights(self.states(torch.as_tensor(array.reshape(1, -1) if single else array)))
        if deterministic:
            actions = (shares[..., None] * self.mean[corners]).sum(1)
        else:
            nodes = corners.gather(1, self._draw(shares)).squeeze(1)
            chosen = self._draw(self.weights[nodes]).squeeze(1)
            actions = self.particles[nodes, chosen]
        found = actions.numpy().astype(np.float32)
        return (found[0] if single else found), state

    def _draw(self, law: torch.Tensor) -> torch.Tensor:
        level = torch.as_tensor(self._rng.random((len(law), 1)))
        return (law.cumsum(1) < level).sum(1, keepdim=True).clamp(max=law.shape[1] - 1)


def _angle(cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    return torch.atan2(sine, cosine)
