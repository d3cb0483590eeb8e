"""The Sinkhorn divergence between two clouds of points."""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.duals.sinkhorn import SinkhornDual
from sb3_wasserstein.transport.costs import Cost


def sinkhorn_divergence(
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
    The Sinkhorn divergence S_ε between two clouds of points (W_ε with ``debias=False``), in the cost's own unit.

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
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.duals import sinkhorn_divergence
        >>> round(sinkhorn_divergence(Target([[0.0], [1.0]]), Target([[2.0], [3.0]])), 2)
        1.93
    """
    dual = SinkhornDual(epsilon, cost, relative, debias, max_points=max_points)
    dual.update(x, y)
    return dual.distance
