"""A peer of repulsion for the learner of ``policy_gradient.py``: a discriminator's bonus (DIAYN, Eysenbach et al. 2019)."""

from __future__ import annotations

import torch as th

#: hidden units, Adam's rate and steps an iteration
WIDTH, RATE, STEPS = 32, 0.01, 5


class Discriminators:
    """
    One a population: which member was it that visited this state?

    :param population: (B,) the population of each policy
    """

    def __init__(self, population: th.Tensor) -> None:
        n = int(population.max()) + 1
        sizes = th.bincount(population)
        first = th.cumsum(sizes, 0) - sizes
        self.population, self.label = population, th.arange(len(population)) - first[population]
        self.absent = th.arange(int(sizes.max()))[None] >= sizes[:, None]
        shapes = [(2, WIDTH), (1, WIDTH), (WIDTH, int(sizes.max())), (1, int(sizes.max()))]
        self.parameters = [th.randn(n, *shape) * (shape[0] > 1) / shape[0] ** 0.5 for shape in shapes]
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.optimizer = th.optim.Adam(self.parameters, lr=RATE)
        self.chance = sizes[population].float().log()

    def log_prob(self, states: th.Tensor) -> th.Tensor:
        """(B, q, 2) states of each policy -> (B, q) log q(its member | state)."""
        w1, b1, w2, b2 = (parameter[self.population] for parameter in self.parameters)
        logits = th.tanh(states @ w1 + b1) @ w2 + b2
        logits = logits.masked_fill(self.absent[self.population][:, None], -1e9)
        index = self.label[:, None, None].expand(-1, states.shape[1], 1)
        return logits.log_softmax(-1).gather(2, index)[..., 0]

    def bonus(self, states: th.Tensor) -> th.Tensor:
        """Learn from the states, then log q(k | s) − log 1/K of each."""
        thinned = states[:, :: max(1, states.shape[1] // 256)]
        for _ in range(STEPS):
            loss = -self.log_prob(thinned).mean(1).sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        with th.no_grad():
            return self.log_prob(states) + self.chance[:, None]
