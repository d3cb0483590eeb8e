"""How far apart two behaviours are, as one number."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from sb3_wasserstein._pot import import_pot
from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_positive, check_seed
from sb3_wasserstein.cloud import Cloud, Floats, as_cloud
from sb3_wasserstein.compare import Resampling, divergences
from sb3_wasserstein.duals.divergence import sinkhorn_divergence
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.recording.trajectories import is_cloud
from sb3_wasserstein.targets import Target, as_target
from sb3_wasserstein.transport.costs import Cost, GroundCost

#: the options that each method takes
OPTIONS = {
    "sinkhorn": ("epsilon", "cost", "relative", "debias", "max_points"),
    "emd": ("cost", "max_points"),
    "sliced": ("n_projections",),
    "unbalanced": ("mass_price", "cost", "relative", "max_points"),
}


def behaviour_distance(
    x: Any,
    y: Any,
    env: Any = None,
    *,
    method: str = "sinkhorn",
    embedding: EmbeddingLike = "mean_state",
    n_episodes: int = 100,
    deterministic: bool = False,
    seed: int | None = None,
    epsilon: float = 0.05,
    cost: Cost = "euclidean",
    relative: bool = True,
    debias: bool = True,
    max_points: int = 4096,
    n_projections: int = 200,
    mass_price: float = 1.0,
) -> float:
    """
    How far apart two behaviours are, in the cost's own unit. :func:`compare` says in addition whether chance explains it.

    The divergence of two samples (models, recorded episodes, arrays, and the targets made of them) is cross-fitted, as in
    :func:`compare`: what two samples of one behaviour are apart is subtracted. So the number is zero on average where the
    behaviours are equal, can be slightly negative, and is low by about as much where they are far apart. A law that is written
    down, ``Target(points)``, is no sample, nor are arrays of up to three points.

    ============== ======================================================== ================================================
    ``method``     distance                                                 options
    ============== ======================================================== ================================================
    ``sinkhorn``   Sinkhorn divergence S_ε; W_ε with ``debias=False``       epsilon, cost, relative, debias, max_points
    ``emd``        exact transport W, by POT                                cost, max_points
    ``sliced``     mean of W over projections on random lines, by POT       n_projections
    ``unbalanced`` exact transport that may leave mass unmatched, by POT    mass_price, cost, relative, max_points
    ============== ======================================================== ================================================

    :param x: a model (anything with SB3's ``predict``), a Target or the path of a saved one, an (n, dim) array of embeddings,
        or recorded episodes in any form that :func:`~sb3_wasserstein.recording.trajectories.as_trajectories` knows
    :param y: the same
    :param env: environment of the models: id, Env or VecEnv; None takes each model's own
    :param method: "sinkhorn", "emd", "sliced" or "unbalanced"; all but the first need the extra ``ot``
    :param embedding: what a behaviour is, for models and recorded episodes
    :param n_episodes: number of episodes of each model, and of samples of a target that is a sampler
    :param deterministic: whether models act without noise
    :param seed: of the environments, of the actions and of the projections
    :param epsilon: ε, in units of the median ground cost if ``relative``, else in the cost's own unit. A small one is near
        exact transport; :func:`compare` takes 0.5, which needs fewer episodes
    :param cost: a scipy metric name, a callable or a ``SaturatingCost``
    :param relative: whether ``epsilon`` and ``mass_price`` are in units of the median ground cost between the two
    :param debias: whether the distance of a behaviour to itself is to be zero
    :param max_points: number of points that represent a larger cloud: time and memory grow with its square
    :param n_projections: number of random lines, on which behaviours are compared by the Euclidean distance
    :param mass_price: price of a unit of mass that stays unmatched, in the unit of ``relative``. Mass is moved only where this
        costs less, so that a few episodes far away count at most this much each
    :return: the distance
    :raises ImportError: without POT, where the method needs it; the message names the extra
    :raises TypeError: if an argument is of a type that it cannot be
    :raises ValueError: if an argument is out of range, if the method does not take it, or if the dimensions differ

    Example:
        >>> from sb3_wasserstein import behaviour_distance
        >>> round(behaviour_distance([[0.0], [1.0]], [[2.0], [3.0]]), 2)
        1.93
    """
    takes = OPTIONS[check_choice("method", method, OPTIONS)]
    check_count("max_points", max_points, 2)
    check_count("n_projections", n_projections)
    check_positive("mass_price", mass_price)
    check_flag("relative", relative)
    check_flag("debias", debias)
    check_flag("deterministic", deterministic)
    recipe = make_embedding(embedding)
    given = {
        "epsilon": epsilon, "cost": cost, "relative": relative, "debias": debias, "max_points": max_points,
        "n_projections": n_projections, "mass_price": mass_price,
    }  # fmt: skip
    defaults = inspect.signature(behaviour_distance).parameters
    for name in given.keys() - set(takes):
        if not (isinstance(given[name], type(defaults[name].default)) and given[name] == defaults[name].default):
            raise ValueError(f"{name}={given[name]!r} is no option of method={method!r}, which takes {', '.join(takes)}")
    ot = None if method == "sinkhorn" else import_pot(f"method={method!r}")
    sampling = {"n_episodes": check_count("n_episodes", n_episodes), "deterministic": deterministic}
    mu = _law(x, "x", env, recipe, seed=check_seed(seed), **sampling)
    nu = _law(y, "y", env, recipe, seed=None if seed is None else seed + 1, **sampling)
    if mu.dim != nu.dim:
        raise ValueError(f"x has dimension {mu.dim} and y {nu.dim}: give both with the same embedding")
    if ot is None:
        one, other = [_draws(mu, "x", max_points), _draws(nu, "y", max_points)] if debias else ([], [])
        if min(len(one), len(other)) >= 4 and not mu.is_same_as(nu):
            return _cross_fitted(one, other, epsilon, cost, relative)
        return sinkhorn_divergence(mu, nu, epsilon=epsilon, cost=cost, relative=relative, debias=debias, max_points=max_points)
    if method == "sliced":
        return _sliced(ot, mu, nu, n_projections, seed)
    mu, nu = (_thinned(law, name, max_points) for law, name in ((mu, "x"), (nu, "y")))
    ground_cost = GroundCost(cost)
    scale = ground_cost.measure_clouds(mu.points, nu.points)
    costs = ground_cost.matrix(mu.points, nu.points)
    if method == "unbalanced":
        # The total variation of the marginals is the penalty: mass is moved exactly where that costs less than its price.
        costs = np.minimum(costs, mass_price * (scale if relative else 1.0))
    return float(ot.emd2(mu.weights, nu.weights, costs))


def _law(value: Any, name: str, env: Any, embedding: EmbeddingLike, **sampling: Any) -> Cloud:
    """What was handed over, as points with weights, and with draws where it is a sample."""
    if isinstance(value, Target):
        value.draw(sampling["n_episodes"])
        return value.cloud
    if is_cloud(value):
        points = as_cloud(value, name)
        # As for target=: no sample is that small.
        return Cloud.sample(points) if len(points) > 3 else Cloud.of(points)
    return as_target(value, embedding, env, name=name, **sampling).cloud


def _draws(law: Cloud, name: str, max_points: int) -> list[Floats]:
    """(k_i, dim) points of each draw of an unweighted sample; none where halves of it would not be samples of the law."""
    if law.draws is None or np.ptp(law.weights) > 1e-12:
        return []
    stride = -(-len(law) // max_points)
    if stride > 1:
        _warn_large(law, name, max_points)
    order = np.argsort(law.draws, kind="stable")
    begins = np.concatenate([[0], np.flatnonzero(np.diff(law.draws[order])) + 1, [len(order)]])
    kept = zip(begins[:-1:stride].tolist(), begins[1::stride].tolist(), strict=True)
    return [law.points[order[begin:end]] for begin, end in kept]


def _warn_large(law: Cloud, name: str, max_points: int) -> None:
    warnings.warn(f"`{name}` has {len(law)} points: `max_points`={max_points} of them represent it", stacklevel=4)


def _cross_fitted(one: list[Floats], other: list[Floats], epsilon: float, cost: Cost, relative: bool) -> float:
    """As compare's: zero on average between samples of one law."""
    # The splits are the same in whatever order the samples and their episodes come.
    one, other = sorted((_in_order(one), _in_order(other)), key=lambda law: (len(law), np.concatenate(law).std(axis=0).sum()))
    points = [np.concatenate(law) for law in (one, other)]
    largest = max(map(len, points))
    scale = GroundCost(cost).measure_clouds(*points) if relative else 1.0
    # Of large samples one split is enough, and as many as of small ones would take minutes.
    n_splits = min(max(2000 // largest, 1), Resampling.n_splits)
    sinkhorn = {"epsilon": epsilon * scale, "cost": cost, "relative": False}
    return float(divergences([(one, other)], n_splits, np.random.default_rng(0), sinkhorn)[0])


def _in_order(draws: list[Floats]) -> list[Floats]:
    """By the coordinates of their first points."""
    firsts = np.array([points[0] for points in draws])
    return [draws[k] for k in np.lexsort(firsts.T[::-1])]


def _thinned(cloud: Cloud, name: str, max_points: int) -> Cloud:
    if len(cloud) > max_points:
        _warn_large(cloud, name, max_points)
    return cloud.thinned(max_points)


def _sliced(ot: Any, x: Cloud, y: Cloud, n_projections: int, seed: int | None) -> float:
    """Bonneel et al. 2015, of order 1."""
    # POT would draw the lines from a generator of its own.
    lines = np.random.default_rng(seed).normal(size=(x.points.shape[1], n_projections))
    lines /= np.linalg.norm(lines, axis=0)
    return float(ot.sliced_wasserstein_distance(x.points, y.points, x.weights, y.weights, p=1, projections=lines))
