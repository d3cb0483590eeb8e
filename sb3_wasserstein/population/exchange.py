"""
What happens between collecting and training: members show their behaviours, and each learns where the others are.

Numpy only: nothing here knows of environments, networks or processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np

from sb3_wasserstein._threads import one_blas_thread
from sb3_wasserstein._validation import check_array, check_flag, check_number, check_positive
from sb3_wasserstein.cloud import Draws, Floats, as_cloud, as_draws
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.population.pairwise import Pairwise
from sb3_wasserstein.population.potential import PairPotential
from sb3_wasserstein.population.rules import Rules
from sb3_wasserstein.population.schedule import Burst, FreshStarts
from sb3_wasserstein.regularised.window import Scales

#: soft-min over a member's distances, in units of the ground-cost scale
TEMPERATURE = 0.1
#: pooled points that the units are measured on
POOL = 1024
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Report:
    """
    What a member shows after a rollout.

    :param cloud: (n, dim) its newest embeddings; (0, 0) before its first episode has ended
    :param returns: (k,) the returns of the episodes that ended in this rollout
    :param timesteps: environment steps that it has made in all
    :param running: whether it wants to go on
    :param draws: (n,) number of the episode that each embedding comes from, None where each is an episode
    """

    cloud: Floats
    returns: Floats
    timesteps: int
    running: bool
    draws: Draws | None = None


@dataclass(frozen=True)
class Turn:
    """
    What a member gets before it trains.

    :param coef: wasserstein_coef now
    :param episode_return: the unit of returns
    :param ground_cost: the unit of distances
    :param potential: of the others, None where there is nothing to be repelled from
    :param restart: a seed to begin again with, None to go on
    :param keeps: with ``restart``: whether the present weights are those to keep for later
    :param gives_back: whether the weights that were kept come back
    """

    coef: float
    episode_return: float
    ground_cost: float
    potential: PairPotential | None = None
    restart: int | None = None
    keeps: bool = False
    gives_back: bool = False


class Exchange:
    """
    :param n_policies: K
    :param rules: who is repelled from whom
    :param dual: its ε, cost, debias, tol and max_iterations are those of every pair
    :param occupancy: whether clouds are of states, whose features are brought to one unit
    :param seed: of fresh starts
    """

    def __init__(self, n_policies: int, rules: Rules, dual: SinkhornDual, occupancy: bool = False, seed: int = 0) -> None:
        self.n_policies = n_policies
        self.rules = rules
        self.pairwise = Pairwise(dual)
        self.scales = Scales()
        self.feature_scale: Floats | None = None
        self.clouds: dict[int, Floats] = {}
        self.draws: dict[int, Draws] = {}
        self.first_clouds: dict[int, Floats] = {}
        self.returns = np.zeros(0)
        #: each member's mean return in its last rollout that had one
        self.mean_returns: dict[int, float] = {}
        #: mean return of the members' first rollouts
        self.untrained_return = 0.0
        #: the best mean return that a member has had
        self.best_return = -np.inf
        self._first_returns: dict[int, float] = {}
        #: (progress, return) whenever a mean return was better than all before
        self.improvements: list[tuple[float, float]] = []
        #: whether the reward has been found: before, the clocks of bursts stand still
        self.is_learning = False
        #: the members that began afresh in this training
        self.afresh: set[int] = set()
        #: the mean returns of the policies whose weights are kept
        self.kept: dict[int, float] = {}
        #: progress at which each member began, or began afresh
        self.born = dict.fromkeys(range(n_policies), 0.0)
        self.restarts = dict.fromkeys(range(n_policies), 0)
        #: where those that began afresh alone had been driven to when their bursts were last in full
        self.reached: dict[int, Floats] = {}
        #: the same, of attempts that were in vain: the next ones go elsewhere
        self.tried: list[Floats] = []
        self._occupancy = occupancy
        self._seed = seed

    @property
    def distances(self) -> Floats:
        """(K, K) distances between members in the cost's unit; NaN where one has not finished an episode."""
        matrix = np.full((self.n_policies, self.n_policies), np.nan)
        np.fill_diagonal(matrix, 0.0)
        for (k, l), distance in self.pair_distances.items():
            matrix[k, l] = distance
        return matrix

    @property
    def pair_distances(self) -> dict[tuple[int, int], float]:
        """Of the pairs (k, l) of members, both ways."""
        return {pair: distance for pair, distance in self.pairwise.distances.items() if max(pair) < self.n_policies}

    def turns(self, reports: dict[int, Report], progress: float) -> dict[int, Turn]:
        """
        :param reports: of the members that have just collected a rollout; the others stand where they stood
        :param progress: fraction of these members' training that is over
        :return: what each of them gets
        """
        with one_blas_thread():
            return self._turns(reports, progress)

    def _turns(self, reports: dict[int, Report], progress: float) -> dict[int, Turn]:
        if not self.is_learning:
            self.born = dict.fromkeys(self.born, progress)
        self._take_in(reports, progress)
        scaled = {k: self._scaled(cloud) for k, cloud in self.clouds.items()}
        if len(scaled) < 2 and not self.rules.distance_target:
            return {k: self._turn() for k in reports}
        if any(self._is_afresh(k) and self._factor(k, progress) > 0 for k in reports):
            # They have the numbers after the members'.
            scaled |= {self.n_policies + i: self._scaled(place) for i, place in enumerate(self.tried)}
        references = {k: self._scaled(cloud) for k, cloud in self.first_clouds.items()} if self.rules.distance_target else {}
        travelled = self.pairwise.solve(scaled, references, self.draws)
        fresh = self._to_begin_afresh(set(reports), progress)
        turns = {}
        worse = self._to_give_back(set(reports), progress)
        for k in reports:
            if k in fresh:
                turns[k] = self._turn(restart=self._new_seed(k), keeps=self._keeps(k))
                if k in self.reached:
                    self.tried.append(self.reached.pop(k))
                self._forget(k)
                continue
            if k in worse:
                turns[k] = self._turn(gives_back=True)
                self._forget(k)
                continue
            coef = self.rules.coef * self._factor(k, progress) if self._above_floor(k) else 0.0
            weights = self.weights(k, travelled)
            if coef == 0.0 or not weights:
                turns[k] = self._turn()
            else:
                if self._is_afresh(k) and self._factor(k, progress) == 1.0:
                    self.reached[k] = self.clouds[k]
                turns[k] = self._turn(coef, self.pairwise.potential(k, weights, self.feature_scale))
        return turns

    def begin(self) -> None:
        """A training from its start: everybody is young again."""
        self.born = dict.fromkeys(range(self.n_policies), 0.0)
        self.reached, self.tried, self.afresh, self.kept = {}, [], set(), {}
        self.improvements = []

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """:return: JSON-plain values, and arrays"""
        arrays: dict[str, Any] = {f"cloud_{k}": cloud for k, cloud in self.clouds.items()}
        arrays.update({f"draws_{k}": draws for k, draws in self.draws.items()})
        arrays.update({f"first_cloud_{k}": cloud for k, cloud in self.first_clouds.items()})
        arrays.update({f"reached_{k}": cloud for k, cloud in self.reached.items()})
        arrays.update({f"tried_{i}": cloud for i, cloud in enumerate(self.tried)})
        arrays["returns"] = self.returns
        if self.feature_scale is not None:
            arrays["feature_scale"] = self.feature_scale
        pairs = [[k, l, distance] for (k, l), distance in self.pairwise.distances.items()]
        plain = {
            "scales": self.scales.state_dict(),
            "scale": self.pairwise.scale,
            "base_median": self.pairwise.cost.base_median,
            "distances": pairs,
            "born": [self.born[k] for k in range(self.n_policies)],
            "mean_returns": list(self.mean_returns.items()),
            "first_returns": list(self._first_returns.items()),
            "best_return": self.best_return if self.mean_returns else None,
            "restarts": [self.restarts[k] for k in range(self.n_policies)],
            "improvements": self.improvements,
            "is_learning": self.is_learning,
            "afresh": sorted(self.afresh),
            "kept": list(self.kept.items()),
        }
        return plain, arrays

    def load_state(self, plain: dict[str, Any], arrays: dict[str, Floats]) -> None:
        """
        :param plain: from :meth:`state`
        :param arrays: from :meth:`state`
        :raises ValueError: if they are not
        """
        try:
            self.scales = Scales(**plain["scales"])
            self.scales.check()
            for name in ("scale", "base_median"):
                if plain[name] is not None:
                    check_positive(name, plain[name])
            self.pairwise.scale, self.pairwise.cost.base_median = plain["scale"], plain["base_median"]
            self.pairwise.distances = {(int(k), int(l)): float(distance) for k, l, distance in plain["distances"]}
            self.born = dict(enumerate(float(value) for value in plain["born"]))
            self.restarts = dict(enumerate(int(value) for value in plain["restarts"]))
            self.mean_returns = {int(k): float(value) for k, value in plain["mean_returns"]}
            self._first_returns = {int(k): float(value) for k, value in plain["first_returns"]}
            self.improvements = [(float(when), float(value)) for when, value in plain["improvements"]]
            self.is_learning = check_flag("is_learning", plain["is_learning"])
            self.afresh = {int(k) for k in plain["afresh"]}
            self.kept = {int(k): float(value) for k, value in plain["kept"]}
            best = plain.get("best_return")
            self.best_return = -np.inf if best is None else check_number("best_return", best)
            if not len(self.born) == len(self.restarts) == self.n_policies:
                raise ValueError(f"it is not of {self.n_policies} members")
            self.returns = check_array("returns", arrays["returns"]).reshape(-1)
            members = range(self.n_policies)
            self.clouds, self.first_clouds, self.reached = (
                {k: as_cloud(arrays[f"{name}_{k}"], f"{name}_{k}") for k in members if f"{name}_{k}" in arrays}
                for name in ("cloud", "first_cloud", "reached")
            )
            self.draws = {
                k: as_draws(arrays[f"draws_{k}"], len(cloud)) for k, cloud in self.clouds.items() if f"draws_{k}" in arrays
            }
            tried = takewhile(arrays.__contains__, (f"tried_{i}" for i in count()))
            self.tried = [as_cloud(arrays[name], name) for name in tried]
            known = [*self.clouds.values(), *self.first_clouds.values(), *self.reached.values(), *self.tried]
            dims = {cloud.shape[1] for cloud in known}
            if len(dims) > 1:
                raise ValueError(f"its clouds have dimensions {sorted(dims)}")
            scale = arrays.get("feature_scale")
            self.feature_scale = None if scale is None else check_array("feature_scale", scale)
            if scale is not None and (dims - {scale.size} or scale.ndim != 1 or not (scale > 0).all()):
                raise ValueError(f"feature_scale must be positive and of dimension {sorted(dims)}, got shape {scale.shape}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the population's state is damaged: {error!r}") from error

    def weights(self, member: int, travelled: dict[int, float]) -> dict[int, float]:
        """
        p_kl.

        :param member: k
        :param travelled: distance of each member from its untrained policy, where there is a ``distance_target``
        :return: the weights of its pairs, with places that were tried in vain too; empty where nothing repels it
        """
        others = [l for l in self.pairwise.clouds if l != member and (l < self.n_policies or self._is_afresh(member))]
        if self.rules.repulsion != "mutual":
            others = [l for l in others if l < member or l >= self.n_policies]
        if not others or member not in self.pairwise.clouds:
            return {}
        gaps = np.array([self.pairwise.distances[member, l] for l in others])
        if self.rules.neighbours == "nearest":
            temperature = self._alone.temperature if self._is_afresh(member) else TEMPERATURE
            exponents = -(gaps - gaps.min()) / (temperature * self.scales.ground_cost)
            weights = np.exp(exponents) / np.exp(exponents).sum()
        else:
            weights = np.full(len(others), 1.0 / len(others))
        if self.rules.schedule == "burst":
            weights = np.where(gaps < self._burst(member).release * self.scales.ground_cost, weights, 0.0)
        if self.rules.distance_target is not None:
            weights = np.where(gaps < self.rules.distance_target * travelled[member], weights, 0.0)
        return {l: float(weight) for l, weight in zip(others, weights, strict=True) if weight > LEAST_WEIGHT}

    def _take_in(self, reports: dict[int, Report], progress: float) -> None:
        for k, report in reports.items():
            if len(report.cloud):
                self.clouds[k] = report.cloud
                self.draws[k] = np.arange(len(report.cloud)) if report.draws is None else report.draws
                self.first_clouds.setdefault(k, report.cloud)
            if len(report.returns):
                self.mean_returns[k] = float(report.returns.mean())
                self._first_returns.setdefault(k, self.mean_returns[k])
                self.best_return = max(self.best_return, self.mean_returns[k])
                if not self.improvements or self.mean_returns[k] > self.improvements[-1][1]:
                    self.improvements.append((progress, self.mean_returns[k]))
        self.untrained_return = float(np.mean(list(self._first_returns.values()))) if self._first_returns else 0.0
        if not self.scales.frozen:
            self.returns = np.concatenate([self.returns, *(report.returns for report in reports.values())])
        if len(self.returns):
            gain = self.best_return - self.untrained_return
            self.is_learning |= bool(gain >= self.rules.burst.gain * self.returns.std())
        if self.scales.frozen or not self.clouds:
            return
        pooled = np.concatenate([self.clouds[k] for k in sorted(self.clouds)])
        pooled = pooled[:: -(-len(pooled) // POOL)]
        if self._occupancy:
            spread = pooled.std(axis=0)
            self.feature_scale = np.where(spread > 0, spread, 1.0)
            pooled = self._scaled(pooled)
        if len(pooled) > 1:
            self.pairwise.measure(pooled)
            self.scales.measure(self.returns, pooled[::2], pooled[1::2], self.pairwise.cost)
        self.scales.frozen = len(self.returns) >= self.rules.warm_up

    def _to_begin_afresh(self, present: set[int], progress: float) -> set[int]:
        rule = self.rules.fresh_starts
        if self.rules.schedule != "burst" or self.rules.coef <= 0 or rule is None:
            return set()
        ages = {k: progress - self.born[k] if k in present else 1.0 for k in range(self.n_policies)}
        fresh = present & rule.members(
            self.pair_distances,
            self.scales.ground_cost,
            progress,
            ages,
            self.mean_returns,
            self.untrained_return,
            self._learnt(rule.floor),
        )
        for k in fresh:
            self.born[k] = progress
            self.restarts[k] += 1
        self.afresh |= fresh
        return fresh

    def _learnt(self, share: float) -> float:
        """The progress at which the best member had made that share of what it has gained by now."""
        enough = self.untrained_return + share * (self.best_return - self.untrained_return)
        return next((progress for progress, value in self.improvements if value >= enough), 0.0)

    def _keeps(self, member: int) -> bool:
        """Whether a member that begins afresh is better than the policy whose weights are kept, if there is one."""
        present = self.mean_returns.get(member)
        if present is None or present < self.kept.get(member, -np.inf):
            return False
        self.kept[member] = present
        return True

    def _to_give_back(self, present: set[int], progress: float) -> set[int]:
        """Near the end of the training: the members whose old weights are better."""
        rule = self.rules.fresh_starts
        if rule is None or progress < rule.end:
            return set()
        asked = present & set(self.kept)
        found = {k: (self.mean_returns.get(k), self.kept.pop(k)) for k in sorted(asked)}
        return {k for k, (new, old) in found.items() if not rule.is_worth_it(new, old, self.untrained_return)}

    def _forget(self, member: int) -> None:
        """Its episodes were another policy's: until one of its own ends, nobody knows where it is or what it gains."""
        self.clouds.pop(member, None)
        self.draws.pop(member, None)
        self.mean_returns.pop(member, None)

    def _new_seed(self, member: int) -> int:
        sequence = np.random.SeedSequence(self._seed, spawn_key=(member, self.restarts[member]))
        return int(sequence.generate_state(1)[0] >> 1)

    def _is_afresh(self, member: int) -> bool:
        """Whether it began again alone, among others that have settled."""
        return member in self.afresh and self.n_policies > self._alone.together

    @property
    def _alone(self) -> FreshStarts:
        """The rule by which a member has begun afresh."""
        assert self.rules.fresh_starts is not None
        return self.rules.fresh_starts

    def _burst(self, member: int) -> Burst:
        return self._alone.burst if self._is_afresh(member) else self.rules.burst

    def _factor(self, member: int, progress: float) -> float:
        schedule = self.rules.schedule
        if schedule == "burst":
            return self._burst(member)(progress - self.born[member]) if self.is_learning else 0.0
        return float(schedule(1.0 - progress)) if callable(schedule) else 1.0

    def _above_floor(self, member: int) -> bool:
        floor = self.rules.return_floor
        if floor is None or member not in self.mean_returns:
            return True
        gain = self.best_return - self.untrained_return
        return self.mean_returns[member] >= self.untrained_return + floor * gain

    def _scaled(self, cloud: Floats) -> Floats:
        return cloud if self.feature_scale is None else cloud / self.feature_scale

    def _turn(self, coef: float = 0.0, potential: PairPotential | None = None, **what: Any) -> Turn:
        return Turn(coef, self.scales.episode_return, self.scales.ground_cost, potential, **what)
