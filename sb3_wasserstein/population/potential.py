"""What one member gets of the others: a function of behaviour that grows away from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sb3_wasserstein.cloud import Cloud, Draws, Floats, as_weights
from sb3_wasserstein.duals import GroundCost
from sb3_wasserstein.transport.potentials import SoftCTransforms, Term


class Partner(NamedTuple):
    """
    One side of a solved pair.

    :param cloud: (m, dim) its points, of equal weight
    :param values: (m,) its potential on them
    :param weight: what the pair counts
    :param draws: (m,) the episodes of a member's own points, None for another's
    """

    cloud: Floats
    values: Floats
    weight: float
    draws: Draws | None = None


@dataclass(frozen=True)
class PairPotential:
    """
    Σ_l p_kl h_kl: the potentials of a member's pairs, weighted, at any point. Arrays and a ground
    cost are all that it holds: this is what members exchange.

    :param partners: the other members' sides
    :param own: the member's own cloud and symmetric potential, None without debiasing
    :param epsilon: ε in the cost's unit
    :param cost: the ground cost, its scale measured
    :param feature_scale: (dim,) units of the features, None for one
    :param offset: the mean under the member's own law, which centres it
    """

    partners: list[Partner]
    own: Partner | None
    epsilon: float
    cost: GroundCost
    feature_scale: Floats | None = None
    offset: float = 0.0

    def __call__(self, points: Floats, draws: Draws | None = None) -> Floats:
        """
        :param points: (n, dim)
        :param draws: (n,) the episodes that they come from: a point's own does not count for it
        :return: (n,)
        """
        if self.feature_scale is not None:
            points = points / self.feature_scale
        values = np.full(len(points), -self.offset)
        for partner in self.partners:
            values += partner.weight * self._extended(points, partner)
        if self.own is not None:
            values -= sum(partner.weight for partner in self.partners) * self._extended(points, self.own, draws)
        return values

    def _extended(self, points: Floats, partner: Partner, draws: Draws | None = None) -> Floats:
        law = Cloud(partner.cloud, as_weights(None, len(partner.cloud), "cloud"), partner.draws)
        return SoftCTransforms([Term(law, partner.values)], self.epsilon, self.cost)(points, draws)
