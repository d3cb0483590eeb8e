"""SemiDiscreteDual: Abdullah et al. 2018, Alg. 4. μ is sampled, ν has finitely many points."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from sb3_wasserstein._validation import check_count
from sb3_wasserstein.cloud import Cloud, Floats, as_weights, point_keys, saved
from sb3_wasserstein.duals.stochastic import Sampling, StochasticDual
from sb3_wasserstein.transport.costs import Cost
from sb3_wasserstein.transport.potentials import soft_c_transform


class SemiDiscreteDual(StochasticDual):
    """
    Averaged stochastic ascent in v, one value for each of the target's points (Abdullah et al. 2018, Alg. 4;
    Genevay et al. 2016, Alg. 2):

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

    sampling: ClassVar[Sampling] = Sampling(batch=16)

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
        self.memory = check_count("memory", memory)
        self._nu = Cloud(np.empty((0, 0)), np.empty(0))
        self._v = self._v_mean = np.empty(0)

    def _start(self, x: Floats, y: Floats) -> None:
        self._nu = Cloud(np.empty((0, 0)), np.empty(0))

    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        self._settle_on(Cloud(y, as_weights(q, len(y), "y_weights")).present())
        epsilon, log_q, seen = self.epsilon_, np.log(self._nu.weights), self._samples
        # Costs of many samples at once: a call a batch would take longer than the batch.
        for block in (x[start : start + 1024] for start in range(0, len(x), 1024)):
            costs = self.ground_cost.matrix(block, self._nu.points)
            for batch in (costs[start : start + self.sampling.batch] for start in range(0, len(block), self.sampling.batch)):
                seen += len(batch)
                exponents = log_q + (self._v - batch) / epsilon
                exponents -= exponents.max(axis=1)[:, None]
                softmax = np.exp(exponents)
                softmax /= softmax.sum(axis=1)[:, None]
                horizon = min(seen, self.memory)
                gamma = min(0.9, self.step * len(batch) / horizon)
                self._v = self._v - epsilon * np.log1p(gamma * (softmax.mean(axis=0) / self._nu.weights - 1.0))
                # Weights that grow with the sample's number forget the start.
                self._v_mean = self._v_mean + min(1.0, 2.0 * len(batch) / (horizon + len(batch))) * (self._v - self._v_mean)
        return self._nu.points

    def _settle_on(self, nu: Cloud) -> None:
        """Take over the target; v goes along to a changed one by its extension."""
        if not np.array_equal(nu.points, self._nu.points):
            self._v = self._g(nu.points) if self._samples else np.zeros(len(nu))
            self._v_mean = self._v.copy()
        self._nu = nu

    def _f(self, x: Floats) -> Floats:
        return soft_c_transform(x, self._nu, self._v_mean, self.epsilon_, self.ground_cost)

    def _g(self, y: Floats) -> Floats:
        """v on the target's points; elsewhere the soft c-transform of f over the most recent samples of μ."""
        if np.array_equal(y, self._nu.points):
            return self._v_mean
        recent = Cloud(self._recent_x, as_weights(None, len(self._recent_x), "x_weights"))
        values = soft_c_transform(y, recent, self._f(self._recent_x), self.epsilon_, self.ground_cost)
        known = dict(zip(point_keys(self._nu.points), self._v_mean, strict=True))
        return np.array([known.get(key, value) for key, value in zip(point_keys(y), values, strict=True)])

    def _mean_f(self) -> float:
        return float(self._f(self._recent_x).mean())

    def _mean_g(self) -> float:
        return float(self._nu.weights @ self._v_mean)

    def _sample_y(self) -> Cloud:
        return self._nu

    def _law_y(self) -> tuple[Floats, Floats]:
        return self._nu.points, self._nu.weights

    def _extra_state(self) -> dict[str, Any]:
        arrays = {"support": self._nu.points, "q": self._nu.weights, "v": self._v, "v_mean": self._v_mean}
        return super()._extra_state() | {name: torch.tensor(array) for name, array in arrays.items()}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        super()._load_extra_state(state)
        support = saved(state, "support", None, state["dim"])
        self._nu = Cloud(support, saved(state, "q", len(support)))
        self._v, self._v_mean = (saved(state, name, len(support)) for name in ("v", "v_mean"))
