"""AlternatingDual: S1 Alg. 3. Both laws have finitely many points, and both are only sampled."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein.cloud import Floats
from sb3_wasserstein.duals.atoms import Atoms
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.transport.costs import Cost
from sb3_wasserstein.transport.transform import extend

BATCH = 64
#: draws of ν that a short batch of μ is set against
LEAST_Y = 32
#: the power of the visits that a step falls with; ½ and 1 were worse (docs/duals.md)
DECAY = 0.75


class AlternatingDual(StochasticDual):
    """
    Stochastic ascent in u and v, one value for each point that has been visited (S1 Alg. 3): for samples i of μ and j of ν

        e = exp((u_i + v_j − C_ij) / ε),    u_i += a (1 − e),    v_j += a (1 − e)

    in outer-product mini-batches: e is averaged over the batch's samples of the other side. The step is the geometric form
    u_i −= ε log(1 + a_i (e − 1)), Alg. 3's to first order, which cannot overshoot by more than the exponent itself; so nothing
    has to be clipped, and the fixed point stays unbiased. a_i = step / visits_i^¾, at most .9.

    At a point never visited, f is v's soft c-transform with the visits' frequencies (and a new point starts there).

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param step: a_i at the first visit, in units of ε
    :param seed: of the dual's own generator
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does
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
    ) -> None:
        super().__init__(epsilon, cost, relative, step, seed, debias)
        self._u = self._v = Atoms(0)

    def _start(self, x: Floats, y: Floats) -> None:
        self._u, self._v = Atoms(x.shape[1]), Atoms(y.shape[1])

    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        drawn = self._draw_y(len(x), y, q, at_least=LEAST_Y)
        steps = -(-len(x) // BATCH)
        for batch_x, batch_y in zip(np.array_split(x, steps), np.array_split(drawn, steps), strict=True):
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

    def _visit(self, atoms: Atoms, points: Floats, extension: Any) -> tuple[np.ndarray[Any, np.dtype[np.intp]], Floats]:
        positions = atoms.find(points)
        unknown = positions < 0
        if unknown.any():
            atoms.add(points[unknown], extension(points[unknown]))
            positions = atoms.find(points)
        found, counts = np.unique(positions, return_counts=True)
        return found, counts.astype(np.float64)

    def _move(self, atoms: Atoms, positions: np.ndarray[Any, np.dtype[np.intp]], times: Floats, mean_e: Floats) -> None:
        rate = np.minimum(0.9, times * self.step / np.maximum(atoms.visits[positions], 1.0) ** DECAY)
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
            seen = other.visits > 0
            log_frequency = np.log(other.visits[seen] / other.visits.sum())
            values[unknown] = extend(
                points[unknown], other.points[seen], log_frequency, other.values[seen], self.epsilon_, self.ground_cost
            )
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
