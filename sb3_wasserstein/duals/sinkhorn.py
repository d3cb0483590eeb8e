"""SinkhornDual: the exact dual of two clouds, at any point of the space. The default."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch

from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_positive
from sb3_wasserstein.cloud import ArrayBackend, Cloud, Draws, Floats, as_law, point_keys, saved
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.transport.costs import Cost, SaturatingCost
from sb3_wasserstein.transport.potentials import SoftCTransforms, Term, soft_c_transform
from sb3_wasserstein.transport.precision import Solved, solve_between, solve_within
from sb3_wasserstein.transport.sinkhorn import SinkhornOptions

NO_CLOUD = Cloud(np.empty((0, 0)), np.empty(0))


class SinkhornDual(Dual):
    """
    Sinkhorn's algorithm (Cuturi 2013; Abdullah et al. 2018, Alg. 2, where both laws live on one finite set) on the clouds of
    the last update, warm-started from the one before. Potentials are extended to any point by the soft c-transform, so that
    the second term of h (Abdullah et al. 2018, the gradient) is a constant, and ``shaping`` is the potential.

    With ``debias`` the distance is the Sinkhorn divergence S_ε, the potentials f_μν − f_μμ and g_μν − g_νν: zero iff μ = ν,
    where exp(−c/ε) is positive definite (euclidean, sqeuclidean, cityblock, saturating euclidean); other costs warn. Points
    without weights are a sample of their law, points with weights the law itself. In μμ and νν a sample's point does not count
    for itself, so that S_ε of two samples of one law is zero on average, and a policy is not drawn together; S_ε can then be
    slightly negative.

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost of the first update
    :param debias: whether to subtract the self-transport terms
    :param reference: "product" for KL(γ ‖ μ⊗ν), Abdullah et al. 2018, eq. 3; "entropy" for −H(γ), eq. 2: its potential is
        u = f + ε log p, which exists on the samples only. With ``debias`` the two are the same.
    :param tol: L1 error of both marginals at which to stop
    :param max_iterations: after which to stop in any case, with a warning
    :param dtype: "float32" or "float64", what is iterated in; results are float64. Where float32 is too coarse for ε,
        float64 is taken, with a warning.
    :param device: a torch device
    :param max_points: points of a cloud that a solve takes: time and memory grow with their square. A larger cloud is
        represented by so many of its points, at equal steps of their cumulative weight, with a warning.
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import SinkhornDual
        >>> rng = np.random.default_rng(0)
        >>> dual = SinkhornDual()
        >>> dual.update(rng.normal(size=(200, 2)), rng.normal(size=(100, 2)) + [3.0, 0.0])
        >>> round(dual.distance, 1), dual.coupling().shape
        (2.4, (200, 100))
        >>> f = dual.potential([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
        >>> bool(f[0] > f[1] > f[2])
        True
    """

    _free_arguments: ClassVar[tuple[str, ...]] = ("tol", "max_iterations", "dtype", "device", "max_points")

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
        max_points: int = 4096,
    ) -> None:
        super().__init__(epsilon, cost, relative)
        try:
            self.device = str(torch.device(device))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"`device` must be a torch device such as 'cpu' or 'cuda', got {device!r}: {error}") from error
        self.debias = check_flag("debias", debias)
        self.reference = check_choice("reference", reference, ("product", "entropy"))
        self.tol = check_positive("tol", tol)
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))
        self.max_points = check_count("max_points", max_points, 2)
        self._warned: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        #: f (False) and g (True) at any point, made when they are first asked for
        self._extensions: dict[bool, SoftCTransforms] = {}
        self._x = self._y = NO_CLOUD
        self._f = self._g = np.empty(0)
        #: which points of the last update's clouds, where these were not too large, have weight
        self._kept_x = self._kept_y = np.empty(0, dtype=np.bool_)
        self._fxx: Floats | None = None
        self._gyy: Floats | None = None
        #: ε that νν was solved for, and its marginal error
        self._solved_yy = (0.0, 0.0)
        self._offsets = (0.0, 0.0)
        self._residual = self._distance = 0.0
        self._iterations = 0

    def update(self, x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> None:
        """
        Solve for the potentials between two clouds.

        :param x: (n, d) points of μ, array or tensor, or a Target
        :param y: (m, d) points of ν, or a Target
        :param x_weights: (n,) weights ≥ 0 of a law, normalised here; ``None`` for a sample
        :param y_weights: (m,)
        :raises ValueError: if a cloud or its weights are empty, not finite, or do not match
        :raises RuntimeError: if the device is not there
        """
        mu = as_law(x, x_weights, "x", self._dim)
        self.update_laws(mu, as_law(y, y_weights, "y", mu.dim))

    def update_laws(self, mu: Cloud, nu: Cloud) -> None:
        backend = ArrayBackend(self.dtype, self.device)
        if not backend.is_available():
            raise RuntimeError(
                f"`device`={self.device!r} is not available on this machine: construct the dual with device='cpu'"
            )
        if self.units is not None:
            mu, nu = mu.scaled(self.units), nu.scaled(self.units)
        law_x, law_y = self._thinned(mu, "x"), self._thinned(nu, "y")
        mu, nu = law_x.present(), law_y.present()

        pairs = None
        if self._scale is None:
            pairs, self._scale = self.ground_cost.measured_pairs(mu.points, nu.points, backend)
        epsilon, options = self.epsilon_, SinkhornOptions(self.tol, self.max_iterations)
        start_g, start_y = self._warm_starts(nu, epsilon, backend)
        equal = mu.is_same_as(nu)
        if equal:
            # One sample twice is no two samples: it is at distance zero from itself.
            mu = nu = mu.as_law()
            cross = solve_within(mu, self.ground_cost, epsilon, options, backend)
        else:
            cross = solve_between(mu, nu, self.ground_cost, epsilon, options, backend, start_g, pairs)
        del pairs
        solved = [cross]
        distance = float(mu.weights @ cross.f + nu.weights @ cross.g)
        self._fxx = None
        if self.debias:
            self_x = cross if equal else solve_within(mu, self.ground_cost, epsilon, options, backend)
            if equal:
                self_y = cross
            elif (
                start_y is not None
                and self._solved_yy[0] == epsilon
                and self._solved_yy[1] <= self.tol
                and nu.is_same_as(self._y)
                and nu.is_sample == self._y.is_sample
            ):
                # Neither ν nor ε is another: nor is νν.
                self_y = Solved(start_y, start_y, self._solved_yy[1], 0, False)
            else:
                self_y = solve_within(nu, self.ground_cost, epsilon, options, backend, start_y)
            self._fxx, self._gyy, self._solved_yy = self_x.f, self_y.f, (epsilon, self_y.residual)
            distance -= float(mu.weights @ self_x.f + nu.weights @ self_y.f)
            solved += [self_x, self_y]
        elif self.reference == "entropy":
            distance += epsilon * float(mu.weights @ np.log(mu.weights) + nu.weights @ np.log(nu.weights))
        self._x, self._y, self._f, self._g, self._extensions = mu, nu, cross.f, cross.g, {}
        self._kept_x, self._kept_y = law_x.has_weight(), law_y.has_weight()
        self._dim, self._distance = mu.dim, distance
        self._residual, self._iterations = max(one.residual for one in solved), cross.iterations
        self._offsets = self._means()
        self._warn_of_the_solution(any(one.too_coarse for one in solved))

    def potential(self, x: Any) -> Any:
        points = self._points(x, "x")
        return self._like(self._extended(points, self._found(points, self._x), mirror=False) - self._offsets[0], x)

    def potential_y(self, y: Any) -> Any:
        points = self._points(y, "y")
        return self._like(self._extended(points, self._found(points, self._y), mirror=True) - self._offsets[1], y)

    def shaping(self, x: Any) -> Any:
        return self.potential(x)

    def shaping_of(self, x: Any, draws: Draws) -> Any:
        return self._like(self._extended(self._points(x, "x"), draws, mirror=False) - self._offsets[0], x)

    def coupling(self) -> Floats:
        """
        γ = exp((f + g − c) / ε) p q between the clouds of the last update, as they were solved.

        :return: (n, m) float64; of a cloud above ``max_points``, between the points that represent it
        :raises RuntimeError: before the first update
        """
        self._require_fit()
        exponents = self._f[:, None] + self._g[None, :] - self.ground_cost.matrix(self._x.points, self._y.points)
        gamma = np.exp(exponents / self.epsilon_) * self._x.weights[:, None] * self._y.weights[None, :]
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
        """:return: ε in the cost's own unit, were this the ground-cost scale"""
        return self.epsilon * scale if self.relative else self.epsilon

    def _thinned(self, cloud: Cloud, name: str) -> Cloud:
        if len(cloud) > self.max_points:
            self._warn(
                f"large {name}",
                f"`{name}` has {len(cloud)} points: `max_points`={self.max_points} of them represent it; raise max_points for "
                "more (time and memory grow with its square)",
            )
        return cloud.thinned(self.max_points)

    def _warm_starts(self, nu: Cloud, epsilon: float, backend: ArrayBackend) -> tuple[Floats | None, Floats | None]:
        """Where μν and νν start: from the last update's potentials, extended where ν has changed."""
        if not self.is_fitted:
            return None, None
        if np.array_equal(nu.points, self._y.points):
            return self._g, self._gyy
        return soft_c_transform(nu.points, self._x, self._f, epsilon, self.ground_cost, backend), None

    def _found(self, points: Floats, own: Cloud) -> Draws | None:
        """(k,) the draws of those points that are in the last update's sample, −1 for others."""
        if own.draws is None or not self.debias:
            return None
        numbers = dict(zip(point_keys(own.points), own.draws.tolist(), strict=True))
        return np.array([numbers.get(key, -1) for key in point_keys(points)])

    def _extended(self, points: Floats, draws: Draws | None, mirror: bool) -> Floats:
        """f, or mirrored g, before it is centred."""
        own, other = (self._y, self._x) if mirror else (self._x, self._y)
        partner, self_potential = (self._f, self._gyy) if mirror else (self._g, self._fxx)
        if mirror not in self._extensions:
            terms = [Term(other.as_law(), partner)] + ([] if self_potential is None else [Term(own, self_potential, -1.0)])
            # Small blocks are not worth their way to another device.
            self._extensions[mirror] = SoftCTransforms(terms, self.epsilon_, self.ground_cost, ArrayBackend(self.dtype))
        values = self._extensions[mirror](points, draws)
        if self_potential is None and self.reference == "entropy":
            values += self.epsilon_ * np.log(_mass_at(points, own))
        return values

    def _means(self) -> tuple[float, float]:
        """What centres f and g; the solver's values stand for their extensions, which they equal to second order in tol."""
        f_mean, g_mean = float(self._x.weights @ self._f), float(self._y.weights @ self._g)
        if self._fxx is not None and self._gyy is not None:
            return f_mean - float(self._x.weights @ self._fxx), g_mean - float(self._y.weights @ self._gyy)
        if self.reference == "entropy":
            f_mean += self.epsilon_ * float(self._x.weights @ np.log(_mass_at(self._x.points, self._x)))
            g_mean += self.epsilon_ * float(self._y.weights @ np.log(_mass_at(self._y.points, self._y)))
        return f_mean, g_mean

    def _warn_of_the_solution(self, too_coarse: bool) -> None:
        if too_coarse:
            self._warn(
                "float32",
                f"`dtype`='float32' is too coarse for ε = {self.epsilon_:.2g} at these costs: solved in float64; pass "
                "dtype='float64', or a larger epsilon",
            )
        # Theory has S_ε ≥ 0 for these (Feydy et al. 2019); of the saturating costs only for the euclidean.
        definite = ("euclidean",) if isinstance(self.cost, SaturatingCost) else ("euclidean", "sqeuclidean", "cityblock")
        base = self.ground_cost.base
        is_negative = self._distance < 0 and not (self._x.is_sample or self._y.is_sample)
        if self.debias and base not in definite and (isinstance(base, str) or is_negative):
            self._warn(
                "indefinite",
                f"`debias`=True with `cost`={self.cost!r}: exp(−c/ε) is not positive definite, so the divergence can be "
                f"negative (here {self._distance:.3g}), or zero for laws that differ; use {', '.join(definite)}, or "
                "debias=False",
            )
        if self._residual > self.tol:
            self._warn(
                "not converged",
                f"Sinkhorn stopped at `max_iterations`={self.max_iterations} with a marginal error of {self._residual:.2g} "
                f"> `tol`={self.tol:g}: raise epsilon ({self.epsilon:g}), or max_iterations",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, stacklevel=4)

    def _extra_state(self) -> dict[str, Any]:
        arrays = {
            "x": self._x.points, "y": self._y.points, "p": self._x.weights, "q": self._y.weights, "f": self._f, "g": self._g,
            "kept_x": self._kept_x, "kept_y": self._kept_y,
            "x_draws": _drawn(self._x), "y_draws": _drawn(self._y),
        }  # fmt: skip
        return {
            **{name: torch.tensor(array) for name, array in arrays.items()},
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
        x, y = (saved(state, name, None, state["dim"]) for name in ("x", "y"))
        n, m = len(x), len(y)
        x_draws, y_draws = (saved(state, name, None, dtype=torch.int64) for name in ("x_draws", "y_draws"))
        if len(x_draws) not in (0, n) or len(y_draws) not in (0, m):
            raise ValueError("its draws do not belong to its clouds")
        self._x = Cloud(x, saved(state, "p", n), x_draws if len(x_draws) else None)
        self._y = Cloud(y, saved(state, "q", m), y_draws if len(y_draws) else None)
        self._f, self._g = saved(state, "f", n), saved(state, "g", m)
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


def _drawn(cloud: Cloud) -> Draws:
    """A cloud's draws as they are saved: none for a law."""
    return np.empty(0, dtype=np.int64) if cloud.draws is None else cloud.draws


def _mass_at(points: Floats, law: Cloud) -> Floats:
    """The mass that a law has at given points; the potential u of the entropy reference exists nowhere else."""
    masses: dict[bytes, float] = {}
    for key, weight in zip(point_keys(law.points), law.weights.tolist(), strict=True):
        masses[key] = masses.get(key, 0.0) + weight
    mass = np.array([masses.get(key, 0.0) for key in point_keys(points)])
    if not mass.all():
        raise ValueError(
            "`x` has points that are no samples of the law: with reference='entropy' the potential is −inf there; "
            "use reference='product', which is defined everywhere"
        )
    return mass
