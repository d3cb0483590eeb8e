"""The learner of Abdullah et al. 2018, §4.2: plain policy gradient in the plane, every population of a run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch as th

from benchmarks.repulsion.discriminators import Discriminators
from benchmarks.repulsion.layouts import HORIZON, Layout, Plane, outcome


@dataclass(frozen=True)
class Settings:
    """
    :param coef: λ in units of (spread of the untrained policies' returns) / (their embeddings' spread)
    :param mapping: "occupancy": the law of a policy lives on the positions; "path": on the whole paths; "discriminator": no
        law, the bonus is a discriminator's, in units of (spread of the untrained policies' returns)
    :param entropy: coefficient of an entropy bonus, the same all along
    :param iterations: steps of θ
    :param rollouts: episodes a policy an iteration
    :param hold: share of the training up to which λ is in full
    :param end: share of the training at which λ has gone down to 0
    :param learning_rate: Adam's
    :param width: of both hidden layers
    :param log_std: at the start, of both actions
    :param epsilon: ε in units of the median ground cost
    :param points: that an occupancy is thinned to, for the potentials
    :param temperature: T of the soft-min over the other policies, in units of the median ground cost
    :param release: distance, in units of the untrained policies' median ground cost, past which a pair no longer repels
    :param snapshots: iterations whose paths are kept
    """

    coef: float = 5.0
    mapping: str = "occupancy"
    entropy: float = 0.0
    iterations: int = 150
    rollouts: int = 100
    hold: float = 0.3
    end: float = 0.6
    learning_rate: float = 0.02
    width: int = 15
    log_std: float = -0.5
    epsilon: float = 0.1
    points: int = 64
    temperature: float = 0.1
    release: float = np.inf
    snapshots: tuple[int, ...] = ()

    def share(self, iteration: int) -> float:
        """What of λ is left."""
        done = iteration / self.iterations
        return float(np.clip((self.end - done) / max(self.end - self.hold, 1e-9), 0.0, 1.0))


def sinkhorn(costs: th.Tensor, epsilon: th.Tensor, iterations: int = 60) -> tuple[th.Tensor, th.Tensor]:
    """
    Entropic transport between equally weighted clouds, a batch of pairs at once.

    :param costs: (P, n, m) float64
    :param epsilon: (P,)
    :return: f (P, n) and g (P, m)
    """
    pairs, n, m = costs.shape
    kernel = th.exp(-costs / epsilon[:, None, None])
    v = th.ones(pairs, m, 1, dtype=costs.dtype)
    for _ in range(iterations):
        u = (1 / n) / (kernel @ v / m)
        v = 1 / (kernel.transpose(1, 2) @ u)
    u = 1 / (kernel @ v / m)
    return epsilon[:, None] * u[..., 0].log(), epsilon[:, None] * v[..., 0].log()


def sinkhorn_self(costs: th.Tensor, epsilon: th.Tensor, iterations: int = 30) -> th.Tensor:
    """The symmetric potential of clouds against themselves, (P, n)."""
    kernel = th.exp(-costs / epsilon[:, None, None])
    u = th.ones(costs.shape[0], costs.shape[1], 1, dtype=costs.dtype)
    for _ in range(iterations):
        u = (u / (kernel @ u).mul(1 / costs.shape[1])).sqrt()
    return epsilon[:, None] * u[..., 0].log()


def transform(costs: th.Tensor, g: th.Tensor, epsilon: th.Tensor) -> th.Tensor:
    """f at any points from g at the target's: costs (P, q, m), g (P, m) -> (P, q)."""
    exponent = ((g[:, None] - costs) / epsilon[:, None, None]).float()
    largest = exponent.amax(-1)
    mean = exponent.sub_(largest[..., None]).exp_().mean(-1)
    return -epsilon[:, None] * (largest + mean.log())


class Repulsion:
    """
    The potentials between the members of many populations.

    :param sizes: K of each population; their members follow each other
    """

    def __init__(self, sizes: list[int], settings: Settings) -> None:
        self.settings = settings
        first = np.concatenate([[0], np.cumsum(sizes)])
        pairs = [(a, b) for s in range(len(sizes)) for a in range(first[s], first[s + 1]) for b in range(a + 1, first[s + 1])]
        self.left, self.right = (th.tensor(side) for side in np.array(pairs).T)
        self.population = th.tensor(np.repeat(np.arange(len(sizes)), sizes))
        self.scale = th.zeros(len(sizes), dtype=th.float64)
        self.distances = th.zeros(len(pairs), dtype=th.float64)

    def bonus(self, clouds: th.Tensor, queries: th.Tensor) -> th.Tensor:
        """
        :param clouds: (B, n, d) the laws
        :param queries: (B, q, d)
        :return: (B, q) Σ_l p_kl h_kl, debiased, with soft-min weights
        """
        clouds, queries = clouds.double(), queries.double()
        x, y = clouds[self.left], clouds[self.right]
        costs = th.cdist(x, y)
        if not self.scale.any():
            medians = costs.flatten(1).median(1).values
            self.scale.index_add_(0, self.population[self.left], medians)
            self.scale /= th.bincount(self.population[self.left])
        epsilon = self.settings.epsilon * self.scale[self.population]
        f, g = sinkhorn(costs, epsilon[self.left])
        own = sinkhorn_self(th.cdist(clouds, clouds), epsilon)
        mean = own.mean(1)
        self.distances = f.mean(1) + g.mean(1) - mean[self.left] - mean[self.right]
        self_h = transform(th.cdist(queries, clouds), own, epsilon)
        h_left = transform(th.cdist(queries[self.left], y), g, epsilon[self.left]) - self_h[self.left]
        h_right = transform(th.cdist(queries[self.right], x), f, epsilon[self.left]) - self_h[self.right]
        hot = th.exp(-self.distances / (self.settings.temperature * self.scale[self.population[self.left]]))
        total = th.zeros(len(clouds), dtype=th.float64).index_add_(0, self.left, hot).index_add_(0, self.right, hot)
        hot *= self.distances < self.settings.release * self.scale[self.population[self.left]]
        out = th.zeros(queries.shape[:2], dtype=th.float64)
        out.index_add_(0, self.left, (hot / total[self.left])[:, None] * h_left)
        out.index_add_(0, self.right, (hot / total[self.right])[:, None] * h_right)
        return (out - out.mean(1, keepdim=True)).float()


class Networks:
    """B Gaussian policies with two hidden tanh layers, as stacked matrices."""

    def __init__(self, n: int, settings: Settings) -> None:
        sizes = [2, settings.width, settings.width, 2]
        self.parameters = []
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            gain = 0.1 if layer == 2 else 1.0
            self.parameters.append(gain * th.randn(n, inputs, outputs) / inputs**0.5)
            self.parameters.append(th.zeros(n, 1, outputs))
        self.parameters.append(th.full((n, 1, 2), settings.log_std))
        for parameter in self.parameters:
            parameter.requires_grad_()

    def mean(self, position: th.Tensor) -> th.Tensor:
        w1, b1, w2, b2, w3, b3, _ = self.parameters
        return th.tanh(th.tanh(position @ w1 + b1) @ w2 + b2) @ w3 + b3

    def log_prob(self, position: th.Tensor, action: th.Tensor) -> th.Tensor:
        log_std = self.parameters[-1]
        return (-0.5 * ((action - self.mean(position)) / log_std.exp()) ** 2 - log_std).sum(-1)


def rollout(networks: Networks, plane: Plane, episodes: int, noise: bool = True) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """:return: positions (B, T + 1, N, 2), actions (B, T, N, 2), rewards (B, T, N)"""
    position = 0.1 * th.rand(len(plane.goals), episodes, 2) - 0.05 if noise else th.zeros(len(plane.goals), episodes, 2)
    positions, actions, rewards = [position], [], []
    with th.no_grad():
        for _ in range(HORIZON):
            action = networks.mean(position)
            if noise:
                action = action + networks.parameters[-1].exp() * th.randn_like(action)
            position, reward = plane.step(position, action)
            positions.append(position)
            actions.append(action)
            rewards.append(reward)
    return th.stack(positions, 1), th.stack(actions, 1), th.stack(rewards, 1)


def train(layouts: list[Layout], seed: int, settings: Settings, reward: str = "negative_distance") -> list[dict[str, Any]]:
    """
    Train one population a layout, all at once.

    :param layouts: one a population (the same may stand there many times)
    :param seed: of everything
    :return: for each population whether it is full, its policies' goals, returns and greedy paths; at the snapshots, positions
        (K, T + 1, N, 2) and, of occupancies, the potentials on a raster of 65 × 65 points in [−1.6, 1.6]²
    """
    th.manual_seed(seed)
    sizes = [layout.n_policies for layout in layouts]
    plane = Plane([layout for layout in layouts for _ in range(layout.n_policies)], reward)
    networks, repulsion = Networks(sum(sizes), settings), Repulsion(sizes, settings)
    optimizer = th.optim.Adam(networks.parameters, lr=settings.learning_rate)
    discriminators = Discriminators(repulsion.population) if settings.mapping == "discriminator" else None
    unit = th.zeros(1)
    kept, potentials = [], []
    side = th.linspace(-1.6, 1.6, 65)
    raster = th.cartesian_prod(side, side).expand(sum(sizes), -1, 2)
    for iteration in range(settings.iterations):
        positions, actions, rewards = rollout(networks, plane, settings.rollouts)
        coef = settings.coef * settings.share(iteration)
        gains = rewards
        snapshot = iteration in settings.snapshots
        if snapshot:
            kept.append(positions)
        if coef or snapshot:
            visited = positions[:, 1:]
            if settings.mapping != "path":
                queries = visited.flatten(1, 2)
                clouds = queries[:, th.randperm(queries.shape[1])[: settings.points]]
            else:
                queries = clouds = visited.transpose(1, 2).flatten(2)
            if snapshot and settings.mapping == "occupancy":
                potentials.append(repulsion.bonus(clouds, raster))
            h = discriminators.bonus(queries) if discriminators else repulsion.bonus(clouds, queries)
            if iteration == 0:
                # The population's own unit: all its members start alike.
                spread = rewards.sum(1).std(1) / (1.0 if discriminators else h.std(1))
                mean = th.zeros(len(sizes)).index_add_(0, repulsion.population, spread) / th.tensor(sizes)
                unit = mean[repulsion.population][:, None, None]
            if settings.mapping != "path":
                gains = rewards + coef * unit * h.view(rewards.shape) / HORIZON
            else:
                gains = rewards.clone()
                gains[:, -1] += coef * unit[:, 0] * h
        to_go = gains.flip(1).cumsum(1).flip(1)
        advantage = to_go - to_go.mean(2, keepdim=True)
        advantage = advantage / (advantage.flatten(1).std(1)[:, None, None] + 1e-8)
        log_prob = networks.log_prob(positions[:, :-1].flatten(1, 2), actions.flatten(1, 2))
        loss = -(log_prob * advantage.flatten(1)).mean(1).sum() - settings.entropy * networks.parameters[-1].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    returns = rollout(networks, plane, settings.rollouts)[2].sum(1).mean(1).numpy()
    paths = rollout(networks, plane, 1, noise=False)[0][:, :, 0].numpy()
    results, first = [], 0
    for layout in layouts:
        members = slice(first, first + layout.n_policies)
        full, goals = outcome(layout, paths[members])
        result = {"full": full, "goals": goals, "returns": returns[members], "paths": paths[members]}
        result["snapshots"] = [positions[members].numpy() for positions in kept]
        result["potentials"] = [potential[members].numpy() for potential in potentials]
        results.append(result)
        first = members.stop
    return results
