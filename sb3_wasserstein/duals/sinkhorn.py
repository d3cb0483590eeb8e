"""SinkhornDual: the exact dual of two clouds, at any point of the space. The default."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import numpy as np
import torch

from sb3_wasserstein._validation import check_count, check_flag
from sb3_wasserstein.cloud import Floats, Kind, as_cloud, as_weights, saved
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.means import RunningMeans
from sb3_wasserstein.transport.costs import Cost, SaturatingCost, check_positive
from sb3_wasserstein.transport.potentials import Transforms
from sb3_wasserstein.transport.precision import Problem
from sb3_wasserstein.transport.sinkhorn import Solution
from sb3_wasserstein.transport.transform import extend

REFERENCES = ("product", "entropy")
DTYPES = ("float32", "float64")
#: costs for which exp(−c/ε) is positive definite
POSITIVE_DEFINITE = ("euclidean", "sqeuclidean", "cityblock")
#: points that weigh less are as good as absent
LEAST_WEIGHT = 1e-30


class SinkhornDual(Dual):
    """
    Sinkhorn's algorithm (C13; S1 Alg. 2 where both laws live on one finite set) on the clouds of the last update, warm-started
    from the one before. Potentials are extended to any point by the soft c-transform.

    With ``debias`` the distance is the Sinkhorn divergence S_ε, its potential f_μν − f_μμ: zero iff μ = ν, where exp(−c/ε) is
    positive definite (euclidean, sqeuclidean, cityblock, saturating euclidean); other costs warn.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param debias: whether to subtract the self-transport terms
    :param reference: "product" for KL(γ ‖ μ⊗ν), S1 eq. 3; "entropy" for −H(γ), S1 eq. 2: its potential is u = f + ε log p,
        which exists on the samples only. With ``debias`` the two are the same.
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case, with a warning
    :param dtype: "float32" or "float64", what is iterated in; results are float64. Where float32 is too coarse for ε,
        float64 is taken, with a warning.
    :param device: a torch device
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import SinkhornDual
        >>> rng = np.random.default_rng(0)
        >>> dual = SinkhornDual()
        >>> dual.update(rng.normal(size=(200, 2)), rng.normal(size=(100, 2)) + [3.0, 0.0])
        >>> round(dual.distance, 1), dual.coupling().shape
        (2.5, (200, 100))
        >>> f = dual.potential([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
        >>> bool(f[0] > f[1] > f[2])
        True
    """

    _arguments: ClassVar[tuple[str, ...]] = (
        "epsilon", "cost", "relative", "debias", "reference", "tol", "max_iterations", "dtype", "device",
    )  # fmt: skip

    def __init__(
        self,
        epsilon: float = 0.05,
        cost: Cost = "euclidean",
        relative: bool = True,
        debias: bool = True,
        reference: str = "product",
        tol: float = 1e-3,
        max_iterations: int = 10_000,
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        super().__init__(epsilon, cost, relative)
        if reference not in REFERENCES:
            raise ValueError(f"`reference` must be one of {', '.join(REFERENCES)}, got {reference!r}")
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}")
        try:
            self.device = str(torch.device(device))
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"`device` must be a torch device such as 'cpu' or 'cuda', got {device!r}: {error}") from error
        self.debias = check_flag("debias", debias)
        self.reference = reference
        self.tol = check_positive(tol, "tol")
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.dtype = dtype
        self._kind = Kind(dtype, self.device)
        self._warned: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self._x = self._y = np.empty((0, 0))
        self._p = self._q = self._f = self._g = np.empty(0)
        self._kept_x = self._kept_y = np.empty(0, dtype=np.bool_)
        self._fxx: Floats | None = None
        self._gyy: Floats | None = None
        #: ε that νν was solved for, and its marginal error
        self._solved_yy = (0.0, 0.0)
        self._offsets = (0.0, 0.0)
        self._transforms: dict[bool, Transforms] = {}
        self._residual = self._distance = 0.0
        self._iterations = 0

    def update(self, x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> None:
        """
        Solve for the potentials between two clouds.

        :param x: (n, d) samples of μ, array or tensor
        :param y: (m, d) samples of ν
        :param x_weights: (n,) weights ≥ 0, ``None`` for equal ones; normalised here
        :param y_weights: (m,)
        :raises ValueError: if a cloud or its weights are empty, not finite, or do not match
        """
        x = as_cloud(x, "x", self._dim)
        y = as_cloud(y, "y", x.shape[1])
        p, q = as_weights(x_weights, len(x), "x_weights"), as_weights(y_weights, len(y), "y_weights")
        x, p, kept_x = _present(x, p)
        y, q, kept_y = _present(y, q)

        pairs = None
        if self._scale is None:
            pairs = self.ground_cost.pairs(x, y, self._kind)
            self._scale = self.ground_cost.measure_pairs(pairs, x, y)
        epsilon = self.epsilon_if(self._scale)
        problem = Problem(self.ground_cost, epsilon, self.tol, self.max_iterations, self._kind, self._warn)
        start_g, start_f, start_y = self._warm_starts(x, y, epsilon)
        equal = np.array_equal(x, y) and np.array_equal(p, q)
        cross = problem.within(x, p, start_f) if equal else problem.between(x, y, p, q, start_g, pairs)
        solutions = [cross]
        self._distance = float(p @ cross.f + q @ cross.g)
        self._fxx = None
        if self.debias:
            self_x = cross if equal else problem.within(x, p, start_f)
            self_y = cross if equal else self._within_y(problem, y, q, start_y)
            self._fxx, self._gyy, self._solved_yy = self_x.f, self_y.f, (epsilon, self_y.residual)
            self._distance -= float(p @ self_x.f + q @ self_y.f)
            solutions += [self_x, self_y]
        elif self.reference == "entropy":
            self._distance += epsilon * float(p @ np.log(p) + q @ np.log(q))
        self._x, self._y, self._p, self._q = x, y, p, q
        self._f, self._g, self._transforms = cross.f, cross.g, {}
        self._kept_x, self._kept_y = kept_x, kept_y
        self._dim = x.shape[1]
        self._residual = max(solution.residual for solution in solutions)
        self._iterations = cross.iterations
        self._offsets = self._means()
        if self.debias and not self._positive_definite() and (isinstance(self.ground_cost.base, str) or self._distance < 0):
            self._warn(
                "indefinite",
                f"`debias`=True with `cost`={self.cost!r}: exp(−c/ε) is not positive definite, so the divergence can be "
                f"negative (here {self._distance:.3g}), or zero for laws that differ; use {', '.join(POSITIVE_DEFINITE)}, or "
                "debias=False",
            )
        if self._residual > self.tol:
            self._warn(
                "not converged",
                f"Sinkhorn stopped at `max_iterations`={self.max_iterations} with a marginal error of {self._residual:.2g} "
                f"> `tol`={self.tol:g}: raise epsilon ({self.epsilon:g}), or max_iterations",
            )

    def potential(self, x: Any) -> Any:
        """
        f (debiased: f_μν − f_μμ) at any points, centred to mean zero under μ.

        :param x: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``x`` is one
        :raises RuntimeError: before the first update
        :raises ValueError: at points too far for ``dtype``; with ``reference="entropy"`` undebiased, at points that are no
            samples: u is −∞ there
        """
        return self._like(self._finite(self._raw(self._points(x, "x"), mirror=False), "x") - self._offsets[0], x)

    def potential_y(self, y: Any) -> Any:
        """
        g (debiased: g_μν − g_νν) at any points, centred to mean zero under ν.

        :param y: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``y`` is one
        :raises RuntimeError: before the first update
        """
        return self._like(self._finite(self._raw(self._points(y, "y"), mirror=True), "y") - self._offsets[1], y)

    def shaping(self, x: Any) -> Any:
        """
        h: the potential, since the other term of h (S1, the gradient) is the constant ε for an extended potential.

        :param x: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``x`` is one
        :raises RuntimeError: before the first update
        """
        return self.potential(x)

    def shaping_at(self, points: Floats, means: RunningMeans | None = None) -> Floats:
        if points.ndim == 2 and points.shape[1] == self._dim:
            values = self._raw(points, mirror=False, means=means) - self._offsets[0]
            # In plain numbers, which neither warn nor, at a rollout's few, cost what a call of numpy does.
            if math.isfinite(sum(values.tolist())):
                return np.asarray(values)
        return np.asarray(self.shaping(points))

    def coupling(self) -> Floats:
        """
        γ = exp((f + g − c) / ε) p q between the clouds of the last update.

        :return: (n, m) float64
        :raises RuntimeError: before the first update
        """
        self._require_fit()
        exponents = self._f[:, None] + self._g[None, :] - self.ground_cost.matrix(self._x, self._y)
        gamma = np.exp(exponents / self.epsilon_) * self._p[:, None] * self._q[None, :]
        full = np.zeros((len(self._kept_x), len(self._kept_y)))
        full[np.ix_(self._kept_x, self._kept_y)] = gamma
        return full

    @property
    def distance(self) -> float:
        """S_ε, or W_ε with ``debias=False``, in the cost's own unit."""
        self._require_fit()
        return self._distance

    @property
    def residual(self) -> float:
        """L1 error of both marginals; the largest of μν, μμ and νν."""
        self._require_fit()
        return self._residual

    @property
    def iterations(self) -> int:
        """Sinkhorn iterations that μν took."""
        self._require_fit()
        return self._iterations

    def epsilon_if(self, scale: float) -> float:
        return self.epsilon * scale if self.relative else self.epsilon

    def _warm_starts(self, x: Floats, y: Floats, epsilon: float) -> tuple[Floats | None, Floats | None, Floats | None]:
        """Where μν, μμ and νν start: from the last update's potentials, extended to what has changed."""
        if not self.is_fitted:
            return None, None, None
        if np.array_equal(y, self._y):
            return self._g, None, self._gyy
        return extend(y, self._x, np.log(self._p), self._f, epsilon, self.ground_cost, Kind(self.dtype)), None, None

    def _within_y(self, problem: Problem, y: Floats, q: Floats, start: Floats | None) -> Solution:
        """νν, as it was where neither ν nor ε is another."""
        epsilon, residual = self._solved_yy
        same = epsilon == problem.epsilon and np.array_equal(y, self._y) and np.array_equal(q, self._q)
        if same and self._gyy is not None and residual <= self.tol:
            return Solution(self._gyy, self._gyy, residual, 0)
        return problem.within(y, q, start)

    def _raw(self, points: Floats, mirror: bool, means: RunningMeans | None = None) -> Floats:
        """f, or mirrored g, before it is centred."""
        own, other = (self._y, self._x) if mirror else (self._x, self._y)
        weights, other_weights = (self._q, self._p) if mirror else (self._p, self._q)
        partner, self_potential = (self._f, self._gyy) if mirror else (self._g, self._fxx)
        if mirror not in self._transforms:
            clouds = [(other, other_weights, partner, 1.0)]
            clouds += [(own, weights, self_potential, -1.0)] if self_potential is not None else []
            self._transforms[mirror] = Transforms(clouds, self.epsilon_, self.ground_cost, Kind(self.dtype))
        values = self._transforms[mirror](points, means)
        if self_potential is None and self.reference == "entropy":
            values += self.epsilon_ * np.log(_mass_at(points, own, weights))
        return values

    def _finite(self, values: Floats, name: str) -> Floats:
        """The values, if points of that size have one in what is computed in."""
        if not np.isfinite(values).all():
            raise ValueError(
                f"`{name}` has numbers too large for dtype={self.dtype!r}: scale the points down, or use 'float64'"
            )
        return values

    def _means(self) -> tuple[float, float]:
        """What centres f and g; the solver's values stand for their extensions, which they equal to second order in tol."""
        f_mean, g_mean = float(self._p @ self._f), float(self._q @ self._g)
        if self._fxx is not None and self._gyy is not None:
            return f_mean - float(self._p @ self._fxx), g_mean - float(self._q @ self._gyy)
        if self.reference == "entropy":
            epsilon = self.epsilon_
            f_mean += epsilon * float(self._p @ np.log(_mass_at(self._x, self._x, self._p)))
            g_mean += epsilon * float(self._q @ np.log(_mass_at(self._y, self._y, self._q)))
        return f_mean, g_mean

    def _positive_definite(self) -> bool:
        """Whether theory has S_ε ≥ 0 for the cost (Feydy et al. 2019); of the saturating ones only the euclidean."""
        saturating = isinstance(self.cost, SaturatingCost)
        return self.ground_cost.base in (("euclidean",) if saturating else POSITIVE_DEFINITE)

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, stacklevel=3)

    def _extra_state(self) -> dict[str, Any]:
        arrays = {name: torch.tensor(getattr(self, f"_{name}")) for name in ("x", "y", "p", "q", "f", "g", "kept_x", "kept_y")}
        return {
            **arrays,
            "fxx": None if self._fxx is None else torch.tensor(self._fxx),
            "gyy": None if self._gyy is None else torch.tensor(self._gyy),
            "solved_yy": list(self._solved_yy),
            "offsets": list(self._offsets),
            "residual": self._residual,
            "distance": self._distance,
            "iterations": self._iterations,
        }

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        self._clear()
        if state["dim"] is None:
            return
        self._x, self._y = (saved(state, name, None, state["dim"]) for name in ("x", "y"))
        n, m = len(self._x), len(self._y)
        for name, count in (("p", n), ("q", m), ("f", n), ("g", m)):
            setattr(self, f"_{name}", saved(state, name, count))
        self._fxx = None if state["fxx"] is None else saved(state, "fxx", n)
        self._gyy = None if state["gyy"] is None else saved(state, "gyy", m)
        self._kept_x, self._kept_y = (saved(state, name, None, dtype=torch.bool) for name in ("kept_x", "kept_y"))
        # Older files do not have it: νν is then solved for once more.
        epsilon, residual = state.get("solved_yy", (0.0, 0.0))
        self._solved_yy = (float(epsilon), float(residual))
        if (self._kept_x.sum(), self._kept_y.sum()) != (n, m) or (self._fxx is None) == self.debias:
            raise ValueError("its parts do not belong together")
        self._offsets = (float(state["offsets"][0]), float(state["offsets"][1]))
        self._residual, self._distance = float(state["residual"]), float(state["distance"])
        self._iterations = int(state["iterations"])


def _present(points: Floats, weights: Floats) -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The points that have weight, and which they are."""
    kept = weights > LEAST_WEIGHT
    return (points, weights, kept) if kept.all() else (points[kept], weights[kept], kept)


def _mass_at(points: Floats, cloud: Floats, weights: Floats) -> Floats:
    """The mass that a law has at given points; S1's u exists nowhere else."""
    mass = (points[:, None, :] == cloud[None, :, :]).all(axis=2) @ weights
    if not mass.all():
        raise ValueError(
            "`x` has points that are no samples of the law: with reference='entropy' the potential is −inf there; "
            "use reference='product', which is defined everywhere"
        )
    return np.asarray(mass)
