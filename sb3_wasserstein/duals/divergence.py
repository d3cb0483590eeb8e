"""How far apart two behaviours are, as one number."""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.duals.sinkhorn import SinkhornDual
from sb3_wasserstein.transport.costs import Cost


def behaviour_distance(
    x: Any,
    y: Any,
    *,
    epsilon: float = 0.05,
    cost: Cost = "euclidean",
    relative: bool = True,
    debias: bool = True,
    max_points: int = 4096,
) -> float:
    """
    The Sinkhorn divergence S_ε between two behaviours (W_ε with ``debias=False``), in the cost's own unit.

    :param x: (n, d) embeddings, or an object with ``points`` (n, d) and ``weights`` (n,) such as a Target
    :param y: the same, (m, d)
    :param epsilon: ε, in units of the median ground cost if ``relative``
    :param cost: a scipy metric name, a callable or a ``SaturatingCost``
    :param relative: whether ε is in units of the median ground cost between ``x`` and ``y``
    :param debias: whether the distance of a behaviour to itself is to be zero
    :param max_points: points of a cloud that are taken, as in ``SinkhornDual``: time and memory grow with their square
    :return: the distance
    :raises ValueError: if a cloud or its weights are empty, not finite, or do not match

    Example:
        >>> from sb3_wasserstein import behaviour_distance
        >>> round(behaviour_distance([[0.0], [1.0]], [[2.0], [3.0]]), 2)
        1.0
    """
    dual = SinkhornDual(epsilon, cost, relative, debias, max_points=max_points)
    (x_points, x_weights), (y_points, y_weights) = _law(x), _law(y)
    dual.update(x_points, y_points, x_weights, y_weights)
    return dual.distance


def _law(value: Any) -> tuple[Any, Any]:
    return (value.points, value.weights) if hasattr(value, "points") else (value, None)
