"""The distances and potentials of all pairs of members, at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.cloud import Cloud, Draws, Floats
from sb3_wasserstein.duals import GroundCost, SinkhornDual
from sb3_wasserstein.population.potential import PairPotential, Partner
from sb3_wasserstein.transport.batched import solve_pairs, solve_self
from sb3_wasserstein.transport.potentials import soft_c_transform

#: points of a cloud that pairs are solved on: an occupancy's many states are taken at a stride
MAX_POINTS = 256


class Pairwise:
    """
    Entropic transport between the laws of K members, debiased (Genevay et al. 2018): K (K − 1) / 2 pairs and K laws against
    themselves, solved in batches.

    :param dual: holds ε, cost, debias, tol and max_iterations
    """

    def __init__(self, dual: SinkhornDual) -> None:
        self.dual = dual
        self.cost: GroundCost = dual.ground_cost
        #: the median ground cost that ε is in units of, None until measured
        self.scale: float | None = None
        self.clouds: dict[int, Floats] = {}
        self.laws: dict[int, Cloud] = {}
        self._values: dict[tuple[int, int], Floats] = {}
        self.distances: dict[tuple[int, int], float] = {}

    @property
    def epsilon(self) -> float:
        """ε in the cost's own unit."""
        return self.dual.epsilon_if(1.0 if self.scale is None else self.scale)

    def measure(self, points: Floats) -> None:
        """
        Take the units from a pooled sample.

        :param points: (n, dim)
        """
        base = self.cost.base_matrix(points, points)
        off_diagonal = base[~np.eye(len(points), dtype=bool)]
        self.scale = self.cost.measure(off_diagonal, points)

    def solve(
        self,
        clouds: dict[int, Floats],
        references: dict[int, Floats] | None = None,
        draws: dict[int, Draws] | None = None,
    ) -> dict[int, float]:
        """
        :param clouds: (n_k, dim) of each member
        :param references: a second cloud of some members, e.g. from before training
        :param draws: (n_k,) the episode of each of a member's points; where there is none each point is a draw of its own
        :return: the distance of each member from its reference
        """
        self.clouds = {k: thin(cloud) for k, cloud in clouds.items()}
        members = sorted(self.clouds)
        pairs = [(k, l) for k in members for l in members if k < l]
        marked = {k: thin(cloud) for k, cloud in (references or {}).items() if k in self.clouds}
        self.laws = {
            k: Cloud.sample(cloud, draws=thin(draws[k]) if draws and k in draws else None) for k, cloud in self.clouds.items()
        }
        laws, marks = self.laws, {k: Cloud.sample(cloud) for k, cloud in marked.items()}
        firsts = [laws[k] for k, _ in pairs] + [laws[k] for k in marks]
        seconds = [laws[l] for _, l in pairs] + list(marks.values())
        potentials, distances = self._solved(firsts, seconds) if firsts else ([], np.zeros(0))
        selves = {k: self._self_solved(law) for k, law in laws.items()} if self.dual.debias else {}
        self._values = {(k, k): values + mean for k, (values, mean) in selves.items()}
        own = {k: 2 * mean for k, (_, mean) in selves.items()}
        self.distances = {}
        for (k, l), f, distance in zip(pairs, potentials, distances, strict=False):
            self._values[k, l] = f
            self.distances[k, l] = self.distances[l, k] = float(distance) - (own.get(k, 0.0) + own.get(l, 0.0)) / 2
        travelled = {}
        for (k, mark), distance in zip(marks.items(), distances[len(pairs) :], strict=True):
            mark_own = 2 * self._self_solved(mark)[1] if self.dual.debias else 0.0
            is_itself = self.dual.debias and mark.is_same_as(self.laws[k])
            travelled[k] = 0.0 if is_itself else float(distance) - (own.get(k, 0.0) + mark_own) / 2
        return travelled

    def _solved(self, firsts: list[Cloud], seconds: list[Cloud]) -> tuple[list[Floats], Floats]:
        return solve_pairs(firsts, seconds, self.cost, self.epsilon, self.dual.tol, self.dual.max_iterations)

    def _self_solved(self, law: Cloud) -> tuple[Floats, float]:
        return solve_self(law, self.cost, self.epsilon, self.dual.tol, self.dual.max_iterations)

    def potential(self, member: int, weights: dict[int, float], feature_scale: Floats | None = None) -> PairPotential:
        """
        :param member: k
        :param weights: of its pairs (k, l)
        :param feature_scale: units that points are to be divided by
        :return: Σ_l p_kl h_kl, centred under the member's own law
        """
        partners = [Partner(self.clouds[l], self._on(l, member), weight) for l, weight in weights.items()]
        # On its own cloud the potential is what has been solved for.
        offset = sum(weight * self._on(member, l).mean() for l, weight in weights.items())
        own = None
        if self.dual.debias:
            own = Partner(self.clouds[member], self._values[member, member], 1.0, self.laws[member].draws)
            offset -= sum(weights.values()) * own.values.mean()
        return PairPotential(partners, own, self.epsilon, self.cost, feature_scale, float(offset))

    def _on(self, member: int, other: int) -> Floats:
        """(n,) the potential of a pair on the cloud of one of its two; made when it is asked for, since few pairs repel."""
        if (member, other) not in self._values:
            x, y = self.clouds[other], self.clouds[member]
            self._values[member, other] = soft_c_transform(
                y, Cloud.sample(x), self._values[other, member], self.epsilon, self.cost
            )
        return self._values[member, other]


def thin(cloud: NDArray[Any]) -> NDArray[Any]:
    """
    :param cloud: (n, dim) points, or (n,) their draws
    :return: at most ``MAX_POINTS`` of them, at a fixed stride
    """
    return cloud[:: -(-len(cloud) // MAX_POINTS)]
