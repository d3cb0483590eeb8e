"""The Wasserstein metric on the parameters of a policy, and the natural gradient in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch.func import vjp

Parameters: TypeAlias = Mapping[str, torch.Tensor]


def dot(one: Parameters, other: Parameters) -> torch.Tensor:
    """The Euclidean inner product of two vectors of parameters."""
    return torch.stack([(one[name] * other[name]).sum() for name in one]).sum()


def _combine(one: Parameters, factor: torch.Tensor | float, other: Parameters) -> Parameters:
    return {name: one[name] + factor * other[name] for name in one}


def _pull_back(function: Callable[[Any], Any], at: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``torch.func.vjp`` without its rarer, three-valued form."""
    return cast(tuple[Any, Callable[[Any], tuple[Any, ...]]], vjp(function, at))


class WassersteinMetric:
    """
    G(θ) = E_{s, ξ}[J_θ aᵀ J_θ a] of actions a_θ(s, ξ): ``vᵀ G v`` is the limit of W₂²(π_θ, π_{θ + t v}) / t², averaged over
    states, wherever the coupling through ξ is optimal: deterministic policies, diagonal Gaussians (a(ξ) = μ + σ ξ, where
    G = E[J_μᵀ J_μ + J_σᵀ J_σ]), scalar actions that increase with ξ. Elsewhere it is an upper bound.

    G is applied, never formed: a Jacobian–vector product, then a vector–Jacobian product.

    :param actions: parameters -> actions (n, k) at fixed states and noise
    :param parameters: θ
    :param weights: (n,) of the states, summing to one; None: equal
    """

    def __init__(
        self, actions: Callable[[Parameters], torch.Tensor], parameters: Parameters, weights: torch.Tensor | None = None
    ) -> None:
        found, self._back = _pull_back(actions, {name: value.detach() for name, value in parameters.items()})
        # J v as the transpose of the linear map u -> Jᵀ u: torch's forward mode takes seconds to import, and warns.
        _, self._forth = _pull_back(lambda u: self._back(u)[0], torch.zeros_like(found))
        self.action_dim = found.shape[1]
        self._weights = found.new_full((len(found), 1), 1 / len(found)) if weights is None else weights[:, None]

    def __call__(self, v: Parameters) -> Parameters:
        """G v."""
        (moved,) = self._forth(dict(v))
        (product,) = self._back(self._weights * moved)
        return cast(Parameters, product)


class Direction(NamedTuple):
    """
    A solution d of (G + δI) d = g; √(dᵀ G d), how far the actions move along it, root mean square over states; and the
    residual |(G + δI) d − g| / |g|.
    """

    vector: Parameters
    length: float
    residual: float


def natural_direction(
    metric: Callable[[Parameters], Parameters],
    gradient: Parameters,
    damping: float,
    iterations: int,
    start: Parameters | None = None,
    tolerance: float = 1e-6,
) -> Direction:
    """
    The natural gradient by conjugate gradients on (G + δI) d = g, with G as a function v -> G v.

    :param start: where to start, e.g. the last update's solution
    :param tolerance: of the relative residual
    """
    norm = float(dot(gradient, gradient).sqrt())
    if norm == 0.0:
        return Direction({name: torch.zeros_like(value) for name, value in gradient.items()}, 0.0, 0.0)

    def damped(v: Parameters) -> Parameters:
        return _combine(metric(v), damping, v)

    x: Parameters = {name: torch.zeros_like(value) for name, value in gradient.items()} if start is None else start
    r = gradient if start is None else _combine(gradient, -1.0, damped(start))
    p, rr = r, dot(r, r)
    for _ in range(iterations):
        if float(rr.sqrt()) <= tolerance * norm:
            break
        product = damped(p)
        step = rr / dot(p, product)
        x, r = _combine(x, step, p), _combine(r, -step, product)
        previous, rr = rr, dot(r, r)
        p = _combine(r, rr / previous, p)
    length = float(dot(x, metric(x)).clamp(min=0.0).sqrt())
    return Direction(x, length, float(rr.sqrt()) / norm)
