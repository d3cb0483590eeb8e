"""AlternatingDual: Abdullah et al. 2018, Alg. 3. Both laws have finitely many points, and both are only sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sb3_wasserstein._validation import check_positive
from sb3_wasserstein.cloud import Cloud, Floats, point_keys, saved
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.transport.costs import Cost
from sb3_wasserstein.transport.potentials import soft_c_transform

Positions = np.ndarray[Any, np.dtype[np.intp]]


class AlternatingDual(StochasticDual):
    """
    Stochastic ascent in u and v, one value for each point that has been visited (Abdullah et al. 2018,
    Alg. 3): for samples i of μ and j of ν

        e = exp((u_i + v_j − C_ij) / ε),    u_i += a (1 − e),    v_j += a (1 − e)

    in outer-product mini-batches: e is averaged over the batch's samples of the other side. The step is the geometric form
    u_i −= ε log(1 + a_i (e − 1)), Alg. 3's to first order, which cannot overshoot by more than the exponent itself; so nothing
    has to be clipped, and the fixed point stays unbiased. a_i = step / visits_i^decay, at most 0.9.

    At a point never visited, f is v's soft c-transform with the visits' frequencies, and a new point starts there. Above 8192
    points, the 4096 that were visited last are kept.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param step: a_i at the first visit, in units of ε
    :param seed: of the dual's own generator
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does
    :param decay: the power of the visits that a step falls with; ½ and 1 were worse
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import AlternatingDual
        >>> rng = np.random.default_rng(0)
        >>> dual = AlternatingDual(seed=0)
        >>> dual.update(rng.integers(0, 3, (4000, 1)), rng.integers(3, 6, (4000, 1)))
        >>> f = dual.potential([[0], [1], [2]])
        >>> bool(f[0] > f[1] > f[2]), dual.iterations
        (True, 4000)
    """

    def __init__(
        self,
        epsilon: float = 0.05,
        cost: Cost = "euclidean",
        relative: bool = True,
        step: float = 5.0,
        seed: int | None = None,
        debias: bool = False,
        decay: float = 0.75,
    ) -> None:
        super().__init__(epsilon, cost, relative, step, seed, debias)
        self.decay = check_positive("decay", decay)
        self._u = self._v = Atoms(0)

    def _start(self, x: Floats, y: Floats) -> None:
        self._u, self._v = Atoms(x.shape[1]), Atoms(y.shape[1])

    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        drawn, batches = self._mini_batches(x, y, q)
        for batch_x, batch_y in batches:
            self._step(batch_x, batch_y)
        return drawn

    def _step(self, x: Floats, y: Floats) -> None:
        i, times_i = self._visit(self._u, x, self._f)
        j, times_j = self._visit(self._v, y, self._g)
        # A short batch of μ against more draws of ν: together these count as the batch.
        times_j *= len(x) / len(y)
        self._u.visit(i, times_i)
        self._v.visit(j, times_j)
        costs = self.ground_cost.matrix(self._u.points[i], self._v.points[j])
        exponents = (self._u.values[i][:, None] + self._v.values[j][None, :] - costs) / self.epsilon_
        e = np.exp(np.minimum(exponents, self._largest_exponent))
        self._move(self._u, i, times_i, e @ times_j / len(x))
        self._move(self._v, j, times_j, times_i @ e / len(x))
        self._u.let_go()
        self._v.let_go()

    def _visit(self, atoms: Atoms, points: Floats, extension: Any) -> tuple[Positions, Floats]:
        positions = atoms.find(points)
        unknown = positions < 0
        if unknown.any():
            atoms.add(points[unknown], extension(points[unknown]))
            positions = atoms.find(points)
        found, counts = np.unique(positions, return_counts=True)
        return found, counts.astype(np.float64)

    def _move(self, atoms: Atoms, positions: Positions, times: Floats, mean_e: Floats) -> None:
        rate = np.minimum(0.9, times * self.step / np.maximum(atoms.visits[positions], 1.0) ** self.decay)
        atoms.values[positions] -= self.epsilon_ * np.log1p(rate * (mean_e - 1.0))

    def _f(self, x: Floats) -> Floats:
        return self._on(x, self._u, self._v)

    def _g(self, y: Floats) -> Floats:
        return self._on(y, self._v, self._u)

    def _on(self, points: Floats, own: Atoms, other: Atoms) -> Floats:
        positions = own.find(points)
        values = own.values[positions] if len(own) else np.zeros(len(points))
        unknown = positions < 0
        if unknown.any() and other.visits.any():
            visited = other.visits > 0
            law = Cloud(other.points[visited], other.visits[visited] / other.visits.sum())
            values[unknown] = soft_c_transform(points[unknown], law, other.values[visited], self.epsilon_, self.ground_cost)
        return values

    def _mean_f(self) -> float:
        return float(self._u.visits @ self._u.values / self._u.visits.sum())

    def _mean_g(self) -> float:
        return float(self._v.visits @ self._v.values / self._v.visits.sum())

    def _extra_state(self) -> dict[str, Any]:
        return super()._extra_state() | {"u": self._u.state(), "v": self._v.state()}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        super()._load_extra_state(state)
        self._u, self._v = (Atoms.from_state(state[name], state["dim"]) for name in ("u", "v"))


class Atoms:
    """Values on points that are told apart by equality, in the order in which they first came."""

    def __init__(self, dim: int) -> None:
        self.points: Floats = np.empty((0, dim))
        self.values: Floats = np.empty(0)
        self.visits: Floats = np.empty(0)
        self._last: Floats = np.empty(0)
        self._clock = 0.0
        self._index: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def find(self, points: Floats) -> Positions:
        """(n,) positions of the points, −1 for those never visited."""
        return np.array([self._index.get(key, -1) for key in point_keys(points)], dtype=np.intp)

    def add(self, points: Floats, values: Floats) -> None:
        """Take in points that were never visited."""
        new = {key: i for i, key in enumerate(point_keys(points))}
        rows = list(new.values())
        self._index.update(zip(new, range(len(self), len(self) + len(rows)), strict=True))
        self.points = np.concatenate([self.points, points[rows]])
        self.values = np.concatenate([self.values, values[rows]])
        self.visits = np.concatenate([self.visits, np.zeros(len(rows))])
        self._last = np.concatenate([self._last, np.full(len(rows), self._clock)])

    def visit(self, positions: Positions, times: Floats) -> None:
        """Count visits."""
        self._clock += 1.0
        self.visits[positions] += times
        self._last[positions] = self._clock

    def let_go(self, limit: int = 4096) -> None:
        """Forget the points that were longest not visited, once there are twice ``limit``, so that memory stays bounded."""
        if len(self) > 2 * limit:
            kept = np.sort(np.argsort(self._last, kind="stable")[-limit:])
            self.points, self.values = self.points[kept], self.values[kept]
            self.visits, self._last = self.visits[kept], self._last[kept]
            self._index = {key: i for i, key in enumerate(point_keys(self.points))}

    def state(self) -> dict[str, Any]:
        arrays = {"points": self.points, "values": self.values, "visits": self.visits, "last": self._last}
        return {**{name: torch.tensor(array) for name, array in arrays.items()}, "clock": self._clock}

    @classmethod
    def from_state(cls, state: dict[str, Any], dim: int | None) -> Atoms:
        points = saved(state, "points", None, dim)
        atoms = cls(points.shape[1])
        atoms.points = points
        atoms.values, atoms.visits, atoms._last = (
            saved(state, name, len(atoms.points)) for name in ("values", "visits", "last")
        )
        atoms._clock = float(state["clock"])
        atoms._index = {key: i for i, key in enumerate(point_keys(atoms.points))}
        return atoms
