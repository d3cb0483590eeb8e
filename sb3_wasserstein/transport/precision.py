"""Problems between given clouds, in float64 and in the cost's own unit, iterated in float32 where that has enough digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sb3_wasserstein.cloud import FLOAT32, Array, ArrayBackend, Cloud, Floats, pairs_within, to_floats
from sb3_wasserstein.transport import sinkhorn
from sb3_wasserstein.transport.cost_matrix import Pairs
from sb3_wasserstein.transport.costs import GroundCost
from sb3_wasserstein.transport.sinkhorn import DEFAULT, SinkhornOptions


class Solved(NamedTuple):
    """
    :param f: (n,) float64, in the cost's unit
    :param g: (m,)
    :param residual: the L1 error of both marginals
    :param iterations: that were taken
    :param too_coarse: whether float32 was asked for, and is too coarse for ε
    """

    f: Floats
    g: Floats
    residual: float
    iterations: int
    too_coarse: bool


def solve_between(
    x: Cloud,
    y: Cloud,
    cost: GroundCost,
    epsilon: float,
    options: SinkhornOptions = DEFAULT,
    backend: ArrayBackend = FLOAT32,
    g: Floats | None = None,
    pairs: Pairs | None = None,
) -> Solved:
    """
    The potentials between two clouds.

    :param x: n points of weight > 0
    :param y: m points of weight > 0
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param options: how to solve
    :param backend: what to iterate in
    :param g: (m,) where to start, ``None`` for cold
    :param pairs: the costs, if there are any already
    :raises ValueError: if ε is below float64's rounding of the costs
    """
    if len(x) == 1 or len(y) == 1:
        return _closed_form(cost.matrix(x.points, y.points))

    def run(pairs: Pairs, epsilon: float, options: SinkhornOptions) -> sinkhorn.Solution:
        p, q = (pairs.backend.array(cloud.weights) for cloud in (x, y))
        return sinkhorn.solve(pairs, p, q, epsilon, _start(g, pairs), options)

    return _in_enough_digits(run, lambda backend: cost.pairs(x.points, y.points, backend), epsilon, options, backend, pairs)


def solve_within(
    x: Cloud,
    cost: GroundCost,
    epsilon: float,
    options: SinkhornOptions = DEFAULT,
    backend: ArrayBackend = FLOAT32,
    f: Floats | None = None,
) -> Solved:
    """
    The symmetric potential of a cloud against itself. In a sample no mass stays within a draw: the cost there is +∞, and the
    reference is μ ⊗ μ on the other pairs, normalised. What two draws of one law are apart is then not underestimated by the
    points that are at distance zero from themselves.

    :param x: n points of weight > 0
    :param cost: the ground cost, its scale measured
    :param epsilon: ε in the cost's unit
    :param options: how to solve
    :param backend: what to iterate in
    :param f: (n,) where to start, ``None`` for cold
    :raises ValueError: if ε is below float64's rounding of the costs
    """
    if len(x) == 1:
        return _closed_form(0.5 * cost.matrix(x.points, x.points))

    mass = x.mass_between_draws

    def made(backend: ArrayBackend) -> Pairs:
        pairs = cost.pairs(x.points, x.points, backend)
        if x.draws is not None:
            pairs.left_out = pairs_within(x.draws, x.draws)
        return pairs

    def run(pairs: Pairs, epsilon: float, options: SinkhornOptions) -> sinkhorn.Solution:
        return sinkhorn.solve_symmetric(pairs, pairs.backend.array(x.weights), epsilon, _start(f, pairs), options, mass)

    return _in_enough_digits(run, made, epsilon, options, backend)


def in_units_of(pairs: Pairs, epsilon: float, tol: float) -> tuple[float, float]:
    """
    :param pairs: the costs
    :param epsilon: ε in the cost function's own unit
    :param tol: the marginal error that is asked for
    :return: ε in the costs' unit, and the marginal error to solve to: potentials are off by about ε times it, which is to
        stay below the tolerance in the costs' unit where ε is larger than the costs
    """
    # A million times the largest cost: the plan is μ ⊗ ν to six digits, and rounding in ε log(…) would be what is left.
    epsilon = min(epsilon / pairs.unit, 1e6)
    return epsilon, tol / max(1.0, epsilon)


def enough_digits(pairs: Pairs, epsilon: float, tol: float = 1e-3) -> bool:
    """
    :param pairs: the costs
    :param epsilon: ε in the costs' unit
    :param tol: the marginal error that is asked for
    :return: whether float32's rounding of c / ε stays a quarter below the tolerance
    """
    return 2.0**-24 * max(pairs.bound() / epsilon, 1.0) <= 0.25 * tol


def _in_enough_digits(
    run: Callable[[Pairs, float, SinkhornOptions], sinkhorn.Solution],
    made: Callable[[ArrayBackend], Pairs],
    epsilon: float,
    options: SinkhornOptions,
    backend: ArrayBackend,
    pairs: Pairs | None = None,
) -> Solved:
    """Solve in the wanted type, in float64 where float32's rounding would be seen in the marginals."""
    pairs = made(backend) if pairs is None else pairs
    unit = pairs.unit
    if epsilon / unit < 1e-14:
        raise ValueError(f"`epsilon` is {epsilon:.2g} in the cost's unit, below rounding at costs of {unit:.2g}: raise it")
    epsilon, tol = in_units_of(pairs, epsilon, options.tol)
    options = replace(options, tol=tol)
    found, wants_float32, too_coarse = None, backend.dtype == "float32", False
    if not wants_float32 or enough_digits(pairs, epsilon, tol):
        found = run(pairs, epsilon, options)
    if found is None or (wants_float32 and found.residual > tol and found.iterations < options.max_iterations):
        # A tolerance that asks for more digits than float32 has is no reason to worry anybody; an ε that does is.
        too_coarse = not enough_digits(pairs, epsilon)
        found = run(made(ArrayBackend("float64", backend.device)), epsilon, options)
    return Solved(unit * to_floats(found.f), unit * to_floats(found.g), found.residual, found.iterations, too_coarse)


def _start(potential: Floats | None, pairs: Pairs) -> Array | None:
    return None if potential is None else pairs.backend.array(potential / pairs.unit)


def _closed_form(costs: Floats) -> Solved:
    """One side is a single point: f is the cost itself."""
    if costs.shape[1] == 1:
        return Solved(costs[:, 0], np.zeros(1), 0.0, 0, False)
    return Solved(np.zeros(1), costs[0], 0.0, 0, False)
