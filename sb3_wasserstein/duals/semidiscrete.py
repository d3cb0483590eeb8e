"""SemiDiscreteDual: S1 Alg. 4. μ is sampled, ν has finitely many points."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from sb3_wasserstein.cloud import Floats, saved
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.transport.costs import Cost, check_positive
from sb3_wasserstein.transport.transform import soft_c_transform

BATCH = 16
#: samples whose costs are computed at once, a multiple of the batch
BLOCK = 1024


class SemiDiscreteDual(StochasticDual):
    """
    Averaged stochastic ascent in v, one value for each of the target's points (S1 Alg. 4, G16 Alg. 2):

        ∇_v h_ε(x, v) = q − softmax_j(log q_j + (v_j − c(x, y_j)) / ε)

    The step is taken in the geometry of the problem, v ← v − ε log(1 + γ (softmax / q − 1)) with γ = step / samples: to first
    order it is the gradient's, divided by q, and a rare point cannot throw the potential out. f is v's soft c-transform,
    exact at any point once v is.

    ``update`` takes the target whole: ``y`` are its points, ``y_weights`` their weights. If they change, v is carried over.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param step: in samples: γ = step / (samples seen)
    :param seed: of the dual's own generator, which draws where ``x`` has weights
    :param memory: samples after which the step shrinks no further, so that v follows a policy that changes
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import SemiDiscreteDual
        >>> rng = np.random.default_rng(0)
        >>> dual = SemiDiscreteDual(seed=0)
        >>> dual.update(rng.normal(size=(4000, 1)), [[-1.0], [1.0]])
        >>> bool(dual.residual < 0.05), dual.coupling().shape[1]
        (True, 2)
    """

    _arguments: ClassVar[tuple[str, ...]] = (*StochasticDual._arguments, "memory")

    def __init__(
        self,
        epsilon: float = 0.05,
        cost: Cost = "euclidean",
        relative: bool = True,
        step: float = 10.0,
        seed: int | None = None,
        memory: int = 10_000,
        debias: bool = False,
    ) -> None:
        super().__init__(epsilon, cost, relative, step, seed, debias)
        self.memory = check_positive(memory, "memory")
        self._support = np.empty((0, 0))
        self._q = self._v = self._v_mean = np.empty(0)

    def _start(self, x: Floats, y: Floats) -> None:
        self._support = np.empty((0, 0))

    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        q = np.full(len(y), 1.0 / len(y)) if q is None else q
        self._settle_on(y[q > 0], q[q > 0])
        epsilon, log_q, seen = self.epsilon_, np.log(self._q), self._samples
        for start in range(0, len(x), BATCH):
            if start % BLOCK == 0:
                costs = self.ground_cost.matrix(x[start : start + BLOCK], self._support)
            batch = costs[start % BLOCK : start % BLOCK + BATCH]
            seen = seen + len(batch)
            exponents = log_q + (self._v - batch) / epsilon
            exponents -= exponents.max(axis=1)[:, None]
            softmax = np.exp(exponents)
            softmax /= softmax.sum(axis=1)[:, None]
            horizon = min(seen, self.memory)
            gamma = min(0.9, self.step * len(batch) / horizon)
            self._v = self._v - epsilon * np.log1p(gamma * (softmax.mean(axis=0) / self._q - 1.0))
            # Weights that grow with the sample's number forget the start.
            self._v_mean = self._v_mean + min(1.0, 2.0 * len(batch) / (horizon + len(batch))) * (self._v - self._v_mean)
        return self._support

    def _settle_on(self, y: Floats, q: Floats) -> None:
        """Take over the target; v goes along to a changed one by its extension."""
        if not np.array_equal(y, self._support):
            self._v = self._g(y) if self._samples else np.zeros(len(y))
            self._v_mean = self._v.copy()
        self._support, self._q = y, q

    def _f(self, x: Floats) -> Floats:
        return soft_c_transform(self.ground_cost.matrix(x, self._support), np.log(self._q), self._v_mean, self.epsilon_)

    def _g(self, y: Floats) -> Floats:
        """v on the target's points; elsewhere the soft c-transform of f over the most recent samples of μ."""
        if np.array_equal(y, self._support):
            return self._v_mean
        n = len(self._recent_x)
        costs = self.ground_cost.matrix(y, self._recent_x)
        values = soft_c_transform(costs, np.full(n, -np.log(n)), self._f(self._recent_x), self.epsilon_)
        for point, v in zip(self._support, self._v_mean, strict=True):
            values[(y == point).all(axis=1)] = v
        return values

    def _mean_f(self) -> float:
        return float(self._f(self._recent_x).mean())

    def _mean_g(self) -> float:
        return float(self._q @ self._v_mean)

    def _law_y(self) -> tuple[Floats, Floats]:
        return self._support, self._q

    def _extra_state(self) -> dict[str, Any]:
        own = {name: torch.tensor(getattr(self, f"_{name}")) for name in ("support", "q", "v", "v_mean")}
        return super()._extra_state() | own

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        super()._load_extra_state(state)
        self._support = saved(state, "support", None, state["dim"])
        for name in ("q", "v", "v_mean"):
            setattr(self, f"_{name}", saved(state, name, len(self._support)))
