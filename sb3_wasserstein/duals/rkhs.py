"""RKHSDual: Abdullah et al. 2018, Alg. 1. Both laws are only sampled; the potentials live in a Gaussian RKHS."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein._validation import check_count, check_positive
from sb3_wasserstein.cloud import Floats
from sb3_wasserstein.duals.rkhs_function import BoundedExpansion, GrowingExpansion
from sb3_wasserstein.duals.stochastic import StochasticDual
from sb3_wasserstein.transport.costs import Cost


class RKHSDual(StochasticDual):
    """
    Stochastic ascent on f = Σ α_i κ(·, x_i), g = Σ α_i κ(·, y_i), κ a Gaussian (Abdullah et al. 2018, Alg. 1; Genevay et
    al. 2016, Prop. 5.2).

    ``budget=None`` is the algorithm as written, a pair (x_k, y_k) at a time:

        α_k = (C / √k) (1 − exp((f(x_k) + g(y_k) − c(x_k, y_k)) / ε)),    C = step · ε

    with the exponent clipped from above. It stores every sample, and step k costs O(k).

    ``budget=m`` keeps at most m centres. A mini-batch's mean e_i = E_y exp((f(x_i) + g(y) − c(x_i, y)) / ε), clipped likewise,
    moves f by −ε log(1 + a (e_i − 1)), projected on the centres: to first order Alg. 1's step in the metric of the samples,
    which does not shrink with the kernel's eigenvalues. The cost per sample is constant.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param budget: centres a potential, ``None`` for all samples
    :param step: C in units of ε; with a budget a = min(½, step / (2 k^¾)) at the k-th 64 samples
    :param clip: the largest exponent that a step sees
    :param bandwidth: σ of κ(x, y) = exp(−|x − y|² / (2 σ²)), or "median": the median distance within the first update's cloud,
        one for μ and one for ν
    :param seed: of the dual's own generator
    :param debias: whether to subtract the self-transport terms, as ``SinkhornDual`` does
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import RKHSDual
        >>> rng = np.random.default_rng(0)
        >>> dual = RKHSDual(epsilon=0.2, seed=0)
        >>> dual.update(rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 3.0)
        >>> f = dual.potential([[-1.0], [0.0], [1.0]])
        >>> bool(f[0] > f[1] > f[2]), dual.iterations
        (True, 4000)
    """

    def __init__(
        self,
        epsilon: float = 0.05,
        cost: Cost = "euclidean",
        relative: bool = True,
        budget: int | None = 256,
        step: float = 10.0,
        clip: float = 2.0,
        bandwidth: float | str = "median",
        seed: int | None = None,
        debias: bool = False,
    ) -> None:
        super().__init__(epsilon, cost, relative, step, seed, debias)
        if isinstance(bandwidth, str) and bandwidth != "median":
            raise ValueError(f"`bandwidth` must be 'median' or a number > 0, got {bandwidth!r}")
        self.budget = None if budget is None else check_count("budget", budget)
        self.clip = self._largest_exponent = check_positive("clip", clip)
        self.bandwidth = bandwidth if isinstance(bandwidth, str) else check_positive("bandwidth", bandwidth)
        self._expansions: tuple[Any, Any] = (None, None)

    def _start(self, x: Floats, y: Floats) -> None:
        if isinstance(self.bandwidth, str):
            within_x, within_y = _median_distance(x), _median_distance(y)
            across = float(np.median(np.linalg.norm(x - y[0], axis=1)))
            sigmas = (within_x or within_y or across or 1.0, within_y or within_x or across or 1.0)
        else:
            sigmas = (self.bandwidth, self.bandwidth)
        self._expansions = (self._expansion(x.shape[1], sigmas[0]), self._expansion(y.shape[1], sigmas[1]))

    def _expansion(self, dim: int, bandwidth: float) -> GrowingExpansion | BoundedExpansion:
        if self.budget is None:
            return GrowingExpansion(dim, bandwidth)
        return BoundedExpansion(dim, bandwidth, self.budget)

    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        if self.budget is None:
            drawn = self._draw_y(len(x), y, q)
            for k, (x_k, y_k) in enumerate(zip(x, drawn, strict=True), start=self._samples + 1):
                self._pair(k, x_k, y_k)
            return drawn
        drawn, batches = self._mini_batches(x, y, q)
        seen = self._samples
        for batch_x, batch_y in batches:
            seen += len(batch_x)
            self._batch(seen, batch_x, batch_y)
        return drawn

    def _pair(self, k: int, x: Floats, y: Floats) -> None:
        """One step of Abdullah et al. 2018, Alg. 1."""
        f, g = self._expansions
        row_x, row_y = f.kernel_row(x), g.kernel_row(y)
        f_x, g_y = f.evaluate(row_x), g.evaluate(row_y)
        exponent = (f_x + g_y - float(self.ground_cost.matrix(x[None], y[None])[0, 0])) / self.epsilon_
        alpha = self.step * self.epsilon_ / np.sqrt(k) * (1.0 - np.exp(min(exponent, self.clip)))
        f.add(x, row_x, f_x, alpha)
        g.add(y, row_y, g_y, alpha)

    def _batch(self, seen: int, x: Floats, y: Floats) -> None:
        from scipy.special import logsumexp

        """One step of the bounded form, on the outer product of a mini-batch."""
        f, g = self._expansions
        f.take_in(x)
        g.take_in(y)
        features_x, features_y = f.features(x), g.features(y)
        exponents = f.at(features_x)[:, None] + g.at(features_y)[None, :]
        exponents -= self.ground_cost.matrix(x, y)
        exponents /= self.epsilon_
        share, steps = len(x) / self.sampling.batch, max(1.0, seen / self.sampling.batch)
        rate = share * min(0.5, 0.5 * self.step / steps**0.75)
        for expansion, features, axis in ((f, features_x, 1), (g, features_y, 0)):
            log_e = logsumexp(exponents, axis=axis) - np.log(exponents.shape[axis])
            e = np.exp(np.minimum(log_e, self.clip))
            # A mean e below exp(−6) has not begun to converge: what lies beyond is made up by Sinkhorn's step.
            change = np.log1p(rate * (e - 1.0)) + rate * np.minimum(log_e + 6.0, 0.0)
            expansion.step(features, -self.epsilon_ * change)

    def _f(self, x: Floats) -> Floats:
        return np.asarray(self._expansions[0](x))

    def _g(self, y: Floats) -> Floats:
        return np.asarray(self._expansions[1](y))

    def _mean_f(self) -> float:
        return float(self._expansions[0].mean())

    def _mean_g(self) -> float:
        return float(self._expansions[1].mean())

    def _extra_state(self) -> dict[str, Any]:
        f, g = self._expansions
        return super()._extra_state() | {"f": f and f.state(), "g": g and g.state()}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        super()._load_extra_state(state)
        kind = GrowingExpansion if self.budget is None else BoundedExpansion
        dim = state["dim"]
        f, g = (None if dim is None else kind.from_state(state[name], dim) for name in ("f", "g"))
        self._expansions = (f, g)


def _median_distance(points: Floats) -> float:
    """The median distance within a cloud, at 512 of its points; 0 where it has no two points, or they are equal."""
    from scipy.spatial.distance import pdist

    stride = -(-len(points) // 512)
    return float(np.median(pdist(points[::stride]))) if len(points) > stride else 0.0
