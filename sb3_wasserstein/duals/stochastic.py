"""What the duals share that see samples instead of laws: batches in, an estimate on the most recent samples out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_count, check_flag, check_positive
from sb3_wasserstein.cloud import Cloud, Draws, Floats, as_cloud, as_weights, saved
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.transport.costs import Cost, GroundCost
from sb3_wasserstein.transport.potentials import SoftCTransforms, Term
from sb3_wasserstein.transport.precision import solve_within


@dataclass(frozen=True)
class Sampling:
    """
    What is taken together.

    :param batch: samples of μ in one step
    :param least_y: draws of ν that a short batch of μ is set against
    :param recent: samples a side that distance, residual, coupling and the second term of h are estimated on
    """

    batch: int = 64
    least_y: int = 32
    recent: int = 256


class StochasticDual(Dual):
    """
    A dual that ascends on samples, a batch at a time, and keeps its state between updates.

    ``x`` is the stream: each of its samples counts once, in order (with weights: as many are drawn by weight). ``y`` is paired
    with it in order where it is as long and unweighted; else it is a law that is drawn from, with the dual's own generator.

    With ``debias`` the distance is the Sinkhorn divergence S_ε, the potentials f_μν − f_μμ and g_μν − g_νν (Genevay et al.
    2018), as in ``SinkhornDual``. What is subtracted is Sinkhorn's on the most recent samples of each law, so that it is that
    of the policy as it is now. No sample counts for itself.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param step: the step's size; each dual says in what unit
    :param seed: of the dual's own generator; ``None`` for one that differs each time
    :param debias: whether to subtract the self-transport terms
    """

    sampling: ClassVar[Sampling] = Sampling()
    #: what bounds exp((f + g − c) / ε) while a dual has not converged
    _largest_exponent = 50.0

    def __init__(self, epsilon: float, cost: Cost, relative: bool, step: float, seed: int | None, debias: bool) -> None:
        super().__init__(epsilon, cost, relative)
        self.step = check_positive("step", step)
        self.seed = None if seed is None else check_count("seed", seed, 0)
        self.debias = check_flag("debias", debias)
        self._rng = np.random.default_rng(self.seed)
        self._own: dict[str, _SelfTransport] = {}
        self._samples = 0
        self._recent_x = self._recent_y = np.empty((0, 0))
        #: (n,) draws of the most recent samples of μ
        self._recent_draws: Draws = np.empty(0, dtype=np.int64)

    def update(self, x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> None:
        """
        Ascend on a batch of samples.

        :param x: (n, d) samples of μ, array or tensor
        :param y: (m, d) samples of ν, or its points
        :param x_weights: (n,) weights ≥ 0, ``None`` for equal ones
        :param y_weights: (m,)
        :raises ValueError: if a cloud or its weights are empty, not finite, or do not match
        """
        x = as_cloud(x, "x", self._dim)
        y = as_cloud(y, "y", x.shape[1])
        p = None if x_weights is None else as_weights(x_weights, len(x), "x_weights")
        q = None if y_weights is None else as_weights(y_weights, len(y), "y_weights")
        self._take_in(x, y, p, q, self._samples + np.arange(len(x)))

    def update_laws(self, mu: Cloud, nu: Cloud) -> None:
        draws = self._samples + np.arange(len(mu)) if mu.draws is None else mu.draws
        self._take_in(mu.points, nu.points, None if mu.is_sample else mu.weights, nu.weights, draws)

    def _take_in(self, x: Floats, y: Floats, p: Floats | None, q: Floats | None, draws: Draws) -> None:
        if self.units is not None:
            x, y = x / self.units, y / self.units
        if self._scale is None:
            self._scale = self.ground_cost.measure_clouds(x, y)
        if not self.is_fitted:
            self._start(x, y)
        order = np.arange(len(x)) if p is None else self._rng.choice(len(x), size=len(x), p=p)
        stream = x[order]
        drawn = self._ascend(stream, y, q)
        self._recent_x = self._with_recent(self._recent_x, stream)
        self._recent_y = self._with_recent(self._recent_y, drawn)
        self._recent_draws = self._with_recent(self._recent_draws, draws[order])
        self._samples += len(x)
        self._dim = x.shape[1]
        self._own = {}

    def potential(self, x: Any) -> Any:
        points = self._points(x, "x")
        own = self._itself("x").potential(points) if self.debias else 0.0
        return self._like(self._f(points) - self._mean_f() - own, x)

    def potential_y(self, y: Any) -> Any:
        points = self._points(y, "y")
        own = self._itself("y").potential(points) if self.debias else 0.0
        return self._like(self._g(points) - self._mean_g() - own, y)

    def shaping(self, x: Any) -> Any:
        """
        h(x) = f(x) − ε (E_ν exp((f(x) + g(y) − c(x, y)) / ε) − 1), f centred: the second term is zero once f has converged.
        Debiased: less f_μμ.
        """
        return self._shaping(x, None)

    def shaping_of(self, x: Any, draws: Draws) -> Any:
        return self._shaping(x, draws)

    def _shaping(self, x: Any, draws: Draws | None) -> Any:
        points = self._points(x, "x")
        f = self._f(points)
        y, q = self._law_y()
        own = self._itself("x").potential(points, draws) if self.debias else 0.0
        return self._like(f - self._mean_f() - self.epsilon_ * (self._density(points, f, y) @ q - 1.0) - own, x)

    def coupling(self) -> Floats:
        """
        γ = exp((f + g − c) / ε) p q between the most recent samples (at most 256 a side, equal weights unless ν's are known).

        :return: (n, m) float64
        :raises RuntimeError: before the first update
        """
        self._require_fit()
        y, q = self._law_y()
        return self._density(self._recent_x, self._f(self._recent_x), y) * q / len(self._recent_x)

    @property
    def distance(self) -> float:
        """
        The dual objective on the most recent samples: an estimate of W_ε from below, in the cost's own unit; debiased, of S_ε.
        """
        self._require_fit()
        y, q = self._law_y()
        f = self._f(self._recent_x)
        mass = self._density(self._recent_x, f, y).mean(axis=0) @ q
        objective = float(f.mean() + self._g(y) @ q - self.epsilon_ * (mass - 1.0))
        return objective - (self._itself("x").half_distance + self._itself("y").half_distance) if self.debias else objective

    @property
    def residual(self) -> float:
        """L1 error of both marginals of the coupling on the most recent samples: sampling noise included."""
        _, q = self._law_y()
        gamma = self.coupling()
        return float(np.abs(gamma.sum(axis=1) - 1.0 / len(gamma)).sum() + np.abs(gamma.sum(axis=0) - q).sum())

    @property
    def iterations(self) -> int:
        """Samples of μ seen."""
        self._require_fit()
        return self._samples

    @abstractmethod
    def _start(self, x: Floats, y: Floats) -> None:
        """Set up on the first update's clouds."""

    @abstractmethod
    def _ascend(self, x: Floats, y: Floats, q: Floats | None) -> Floats:
        """Take in the stream ``x`` against ``y`` and return the samples of ν that were used."""

    @abstractmethod
    def _f(self, x: Floats) -> Floats:
        """f, not centred."""

    @abstractmethod
    def _g(self, y: Floats) -> Floats:
        """g, not centred."""

    @abstractmethod
    def _mean_f(self) -> float:
        """A running mean of f under μ."""

    @abstractmethod
    def _mean_g(self) -> float:
        """A running mean of g under ν."""

    def _law_y(self) -> tuple[Floats, Floats]:
        """Points and weights that stand for ν."""
        return self._recent_y, np.full(len(self._recent_y), 1.0 / len(self._recent_y))

    def _sample_y(self) -> Cloud:
        """What ν is against itself: by default a sample."""
        return Cloud.sample(self._recent_y)

    def _draw_y(self, n: int, y: Floats, q: Floats | None, at_least: int = 1) -> Floats:
        """Samples of ν for n samples of μ: the given ones where they come as pairs."""
        if q is None and len(y) == n:
            return y
        return y[self._rng.choice(len(y), size=max(n, at_least), p=q)]

    def _mini_batches(self, x: Floats, y: Floats, q: Floats | None) -> tuple[Floats, Iterator[tuple[Floats, Floats]]]:
        """The samples of ν that are drawn for the stream ``x``, and both cut into mini-batches."""
        drawn = self._draw_y(len(x), y, q, at_least=self.sampling.least_y)
        steps = -(-len(x) // self.sampling.batch)
        return drawn, zip(np.array_split(x, steps), np.array_split(drawn, steps), strict=True)

    def _with_recent(self, recent: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        limit = self.sampling.recent
        return new[-limit:].copy() if len(new) >= limit or not len(recent) else np.concatenate([recent, new])[-limit:]

    def _itself(self, law: str) -> _SelfTransport:
        """μ ("x") or ν ("y") against itself, as the most recent samples have it."""
        if law not in self._own:
            cloud = Cloud.sample(self._recent_x, draws=self._recent_draws) if law == "x" else self._sample_y()
            self._own[law] = _SelfTransport(cloud.present(), self.ground_cost, self.epsilon_)
        return self._own[law]

    def _density(self, x: Floats, f: Floats, y: Floats) -> Floats:
        """exp((f + g − c) / ε), the density of γ, bounded against overflow."""
        exponents = (f[:, None] + self._g(y)[None, :] - self.ground_cost.matrix(x, y)) / self.epsilon_
        return np.asarray(np.exp(np.minimum(exponents, self._largest_exponent)))

    def _extra_state(self) -> dict[str, Any]:
        return {
            "samples": self._samples,
            "recent_x": torch.tensor(self._recent_x),
            "recent_y": torch.tensor(self._recent_y),
            "recent_draws": torch.tensor(self._recent_draws),
            "rng": self._rng.bit_generator.state,
        }

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        self._samples = int(state["samples"])
        self._recent_x, self._recent_y = (saved(state, name, None, state["dim"]) for name in ("recent_x", "recent_y"))
        n = len(self._recent_x)
        # Older files do not have it.
        has_draws = "recent_draws" in state
        self._recent_draws = saved(state, "recent_draws", n, dtype=torch.int64) if has_draws else np.arange(-n, 0)
        # A fresh one: the present one stays as it is if the state is damaged.
        rng = np.random.default_rng(0)
        rng.bit_generator.state = state["rng"]
        self._rng = rng
        self._own = {}


class _SelfTransport:
    """The symmetric potential of a cloud at any point, centred, and half the cloud's distance to itself."""

    def __init__(self, cloud: Cloud, cost: GroundCost, epsilon: float) -> None:
        f = solve_within(cloud, cost, epsilon).f
        self.half_distance = float(cloud.weights @ f)
        self._extension = SoftCTransforms([Term(cloud, f)], epsilon, cost)

    def potential(self, points: Floats, draws: Draws | None = None) -> Floats:
        """:return: (k,) at (k, d) points, of which each leaves its own draw out"""
        return self._extension(points, draws) - self.half_distance
