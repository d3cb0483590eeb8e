"""The interface that all duals share: what a rollout asks of one, and what a saved model keeps of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from sb3_wasserstein._validation import check_flag, check_positive, constructor_arguments
from sb3_wasserstein.cloud import Cloud, Draws, Floats, as_cloud, like, saved
from sb3_wasserstein.transport.costs import Cost, GroundCost, SaturatingCost


class Dual(ABC):
    """
    The dual side of entropic optimal transport between a behaviour μ and a target ν (Abdullah et al. 2018, eq. 3):

        W_ε(μ, ν) = max over f, g of  E_μ f + E_ν g − ε E_{μ⊗ν}[exp((f + g − c) / ε) − 1]

    :param epsilon: ε, in units of the ground-cost scale if ``relative``, else in the cost's own unit
    :param cost: a scipy metric name, a callable (x (n, d), y (m, d)) -> (n, m), or a :class:`SaturatingCost`
    :param relative: whether ε is in units of the median ground cost of the first update
    :raises ValueError: if an argument is out of its range or unknown; the message names it

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.duals import Dual, make_dual
        >>> dual = make_dual("sinkhorn", {"epsilon": 0.1})
        >>> isinstance(dual, Dual), dual.is_fitted
        (True, False)
        >>> dual.update([[0.0], [1.0]], [[2.0], [3.0]])
        >>> dual.potential([[0.0], [1.0]]).round(2), round(dual.scale, 2)
        (array([ 0.5, -0.5]), 2.0)
    """

    #: constructor arguments that say how to compute, not what: a saved state may come from a dual with others
    _free_arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, epsilon: float = 0.05, cost: Cost = "euclidean", relative: bool = True) -> None:
        self.epsilon = check_positive("epsilon", epsilon)
        self.relative = check_flag("relative", relative)
        self.cost = cost
        self.ground_cost = GroundCost(cost)
        #: (d,) what coordinates are divided by before a cost is computed, None for nothing; points that come in and go out are
        #: in their own units
        self.units: Floats | None = None
        self._scale: float | None = None
        self._dim: int | None = None

    @abstractmethod
    def update(self, x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> None:
        """
        Take in samples of both laws.

        :param x: (n, d) samples of μ, array or tensor
        :param y: (m, d) samples of ν
        :param x_weights: (n,) weights ≥ 0, ``None`` for equal ones; normalised here
        :param y_weights: (m,)
        :raises ValueError: if a cloud or its weights are empty, not finite, or do not match
        """

    @abstractmethod
    def potential(self, x: Any) -> Any:
        """
        f at any points, centred to mean zero under μ.

        :param x: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``x`` is one
        :raises RuntimeError: before the first update
        """

    @abstractmethod
    def potential_y(self, y: Any) -> Any:
        """
        g at any points, centred to mean zero under ν.

        :param y: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``y`` is one
        :raises RuntimeError: before the first update
        """

    @abstractmethod
    def shaping(self, x: Any) -> Any:
        """
        h, the first variation of W_ε in μ up to a constant: what an episode's return is shaped with.

        :param x: (k, d) array or tensor
        :return: (k,) float64, a tensor if ``x`` is one
        :raises RuntimeError: before the first update
        """

    @abstractmethod
    def coupling(self) -> Floats:
        """
        γ of Abdullah et al. 2018, Prop. 1, between the clouds of the last update.

        :return: (n, m) float64
        :raises RuntimeError: before the first update
        """

    def update_laws(self, mu: Cloud, nu: Cloud) -> None:
        """
        As :meth:`update`, for laws that know whether they are samples, and of which draws.

        :param mu: μ
        :param nu: ν
        """
        self.update(mu.points, nu.points, None if mu.is_sample else mu.weights, nu.weights)

    def shaping_of(self, x: Any, draws: Draws) -> Any:
        """
        h at points of draws that may be in the sample of μ, as episodes of a rollout are: an unbiased h leaves a point's own
        draw out. Here it is :meth:`shaping`; a debiased dual overrides it.

        :param x: (k, d) array or tensor
        :param draws: (k,) number of each point's draw, as in :class:`~sb3_wasserstein.cloud.Cloud`
        :return: (k,) float64, a tensor if ``x`` is one
        :raises RuntimeError: before the first update
        """
        return self.shaping(x)

    @property
    @abstractmethod
    def distance(self) -> float:
        """W_ε (or S_ε where the dual is debiased), in the cost's own unit."""

    @property
    @abstractmethod
    def residual(self) -> float:
        """L1 error of both marginals of the coupling; for a stochastic dual on its last mini-batches."""

    @property
    @abstractmethod
    def iterations(self) -> int:
        """Sinkhorn iterations of the last update; for a stochastic dual the samples seen."""

    @property
    def is_fitted(self) -> bool:
        """Whether there has been an update, so that potentials exist."""
        return self._dim is not None

    def check_fitted(self) -> None:
        """:raises RuntimeError: if ``update`` has not set ``_dim``, the dimension by which a dual counts as fitted"""
        if not self.is_fitted:
            raise RuntimeError(f"{type(self).__name__}.update() must set self._dim to the dimension of its points")

    @property
    def scale(self) -> float:
        """The median ground cost of the first update: the unit of a relative ε."""
        if self._scale is None:
            raise RuntimeError(f"this {type(self).__name__} has no ground-cost scale yet: call update(x, y) first")
        return self._scale

    @property
    def epsilon_(self) -> float:
        """ε in the cost's own unit."""
        return self.epsilon * self.scale if self.relative else self.epsilon

    def reset_scale(self) -> None:
        """Measure the ground-cost scale anew at the next update."""
        self._scale = None

    def config(self) -> dict[str, Any]:
        """
        The class's name and its constructor arguments, JSON-plain. A callable is only named: it cannot be rebuilt.

        :raises TypeError: if a dual does not keep an argument as an attribute of its name
        """
        return {"class": type(self).__name__, **{name: _plain(value) for name, value in constructor_arguments(self).items()}}

    def state_dict(self) -> dict[str, Any]:
        """All that potentials and the next update depend on: tensors and plain Python, loadable with ``weights_only=True``."""
        return {
            "config": self.config(),
            "dim": self._dim,
            "scale": self._scale,
            "base_median": self.ground_cost.base_median,
            "units": None if self.units is None else torch.tensor(self.units),
            **self._extra_state(),
        }

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """
        Take over a saved state; potentials are then the same to the bit.

        :param state: from :meth:`state_dict`
        :param strict: whether the state must come from a dual with the same constructor arguments, but for those that say how
            to compute (device, dtype, tol, max_iterations, max_points)
        :raises ValueError: if it comes from another class, with ``strict`` from other arguments, or is damaged; the dual is
            then as it was
        """
        if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
            raise ValueError(
                f"`state` must be what state_dict() of a {type(self).__name__} returned, got {type(state).__name__}"
            )
        theirs, ours = state["config"], self.config()
        # An argument that the saved dual did not have yet had its default.
        theirs = {"class": None} | theirs
        differing = [key for key in ours if theirs.get(key, ours[key]) != ours[key] and key not in self._free_arguments]
        if "class" in differing or (strict and differing):
            what = ", ".join(f"{key}: saved {theirs.get(key)!r}, here {ours[key]!r}" for key in differing)
            raise ValueError(f"`state` belongs to another dual ({what}): construct this one with the saved arguments")
        before = dict(self.__dict__)
        try:
            dim, scale, base_median = state["dim"], state["scale"], state["base_median"]
            if not (dim is None or (isinstance(dim, int) and dim >= 1)):
                raise ValueError(f"dim={dim!r} is no dimension")
            for name, value in (("scale", scale), ("base_median", base_median)):
                if value is not None:
                    check_positive(name, value)
            units = None if state.get("units") is None else saved(state, "units", dim)
            self._load_extra_state(state)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            self.__dict__.update(before)
            raise ValueError(f"`state` of the {type(self).__name__} is damaged: {error!r}") from error
        self._dim, self._scale, self.units = dim, scale, units
        self.ground_cost.base_median = base_median

    @abstractmethod
    def _extra_state(self) -> dict[str, Any]:
        """The subclass's part of the state."""

    @abstractmethod
    def _load_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the subclass's part of the state."""

    def _points(self, x: Any, name: str) -> Floats:
        self._require_fit()
        points = as_cloud(x, name, self._dim)
        return points if self.units is None else points / self.units

    def _require_fit(self) -> None:
        if self._dim is None:
            raise RuntimeError(f"this {type(self).__name__} has no potentials yet: call update(x, y) first")

    _like = staticmethod(like)


def _plain(value: Any) -> Any:
    if isinstance(value, SaturatingCost):
        return {"saturating": _plain(value.base), "scale": value.scale}
    if callable(value):
        return {"callable": getattr(value, "__qualname__", type(value).__qualname__)}
    return value.item() if isinstance(value, np.generic) else value
