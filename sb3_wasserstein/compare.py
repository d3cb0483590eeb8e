"""Are two behaviours the same? A distance with its interval, and a permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein._threads import one_blas_thread
from sb3_wasserstein._validation import check_count, check_flag, check_number, check_options, check_seed
from sb3_wasserstein.cloud import as_cloud
from sb3_wasserstein.duals.sinkhorn import SinkhornDual
from sb3_wasserstein.embeddings import make_embedding
from sb3_wasserstein.embeddings.registry import EmbeddingLike
from sb3_wasserstein.recording.collect import collect_episodes, is_model, own_env
from sb3_wasserstein.recording.offline import embed_each
from sb3_wasserstein.recording.trajectories import as_trajectories, is_cloud
from sb3_wasserstein.targets import Target
from sb3_wasserstein.transport.batched import batched_sinkhorn
from sb3_wasserstein.transport.costs import Cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """
    How often :func:`compare` takes its samples apart.

    :param n_splits: random splits into halves that the distance is the mean over
    :param n_subsamples: half-samples that the interval comes from
    :param n_permutations: exchanges of episodes between the two behaviours that the p-value comes from
    """

    n_splits: int = 10
    n_subsamples: int = 100
    n_permutations: int = 500

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class FeatureDifference:
    """
    How one feature of the embedding differs.

    :param feature: its index
    :param distance: Wasserstein-1 distance between its two laws, in the unit of :attr:`Comparison.distance`
    :param mean_a: its mean in the first behaviour, in its own unit
    :param mean_b: its mean in the second
    """

    feature: int
    distance: float
    mean_a: float
    mean_b: float


@dataclass(frozen=True)
class Behaviour:
    """
    A sample of a behaviour.

    :param episodes: (k_i, dim) points of each episode: one, or a sample of its states for a state occupancy
    :param returns: (n,) returns of the episodes, None where nobody knows them
    :param name: for texts and figures
    """

    episodes: list[Floats]
    returns: Floats | None
    name: str

    @property
    def points(self) -> Floats:
        """(k, dim) points of all episodes."""
        return np.concatenate(self.episodes)


@dataclass(frozen=True)
class Comparison:
    """
    What :func:`compare` found.

    :param distance: Sinkhorn divergence between the behaviours, less what two samples of one behaviour are apart
    :param interval: (low, high), which contains the distance at ``level``
    :param p_value: probability of a difference at least as large between two samples of one behaviour
    :param noise: for each behaviour, how far apart two halves of its own sample are at most, at ``level``
    :param features: how single features differ, the largest difference first
    :param level: confidence level of interval and noise
    :param unit: of the distance
    :param n_episodes: number of episodes of each behaviour
    :param returns: mean return of each behaviour, None where it is not known
    :param behaviours: the samples themselves

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein import compare
        >>> cloud = np.random.default_rng(0).normal(size=(40, 2))
        >>> print(str(compare(cloud, 3.0 + cloud[::-1], seed=0)).splitlines()[0])
        a and b behave differently (p = 0.002).
    """

    distance: float
    interval: tuple[float, float]
    p_value: float
    noise: tuple[float, float]
    features: tuple[FeatureDifference, ...]
    level: float
    unit: str
    n_episodes: tuple[int, int]
    returns: tuple[float | None, float | None]
    behaviours: tuple[Behaviour, Behaviour] = field(repr=False, compare=False)

    def __str__(self) -> str:
        lines = [self.verdict, *(f"{name:9} {value}" for name, value in self._numbers().items())]
        lines += [
            f"feature {item.feature}: {item.distance:.3g} apart, means {item.mean_a:.3g} and {item.mean_b:.3g}"
            for item in self.features[:3]
        ]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """One sentence: whether the behaviours differ at ``level``."""
        a, b = (behaviour.name for behaviour in self.behaviours)
        found = "behave differently" if self.p_value < 1.0 - self.level else "cannot be told apart"
        return f"{a} and {b} {found} (p = {self.p_value:.3g})."

    def to_dict(self) -> dict[str, Any]:
        """:return: JSON-plain, without the episodes"""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("behaviours", "features")}
        pairs = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        return {**pairs, "features": [asdict(item) for item in self.features]}

    def plot(self, n_features: int = 4) -> Figure:
        """
        :param n_features: number of features that get a histogram, those that differ most
        :return: a figure of both clouds, of the coupling between them, and of these features
        :raises ImportError: without matplotlib; the message names the extra
        """
        from sb3_wasserstein.report import plot_two_clouds

        titles = {
            item.feature: f"feature {item.feature}: {item.distance:.2g} {self.unit} apart"
            for item in self.features[:n_features]
        }
        return plot_two_clouds({behaviour.name: behaviour.points for behaviour in self.behaviours}, titles)

    def report(self, path: str | Path) -> None:
        """
        Write one self-contained page.

        :param path: of an HTML file
        :raises ImportError: without matplotlib; the message names the extra
        :raises OSError: if the file cannot be written
        """
        from sb3_wasserstein.report import write_page

        a, b = (behaviour.name for behaviour in self.behaviours)
        write_page(
            path,
            title=f"{a} and {b}",
            verdict=self.verdict,
            alarming=self.p_value < 1.0 - self.level,
            numbers=self._numbers(),
            header=("feature", f"distance ({self.unit})", f"mean of {a}", f"mean of {b}"),
            table=[
                (str(item.feature), f"{item.distance:.3g}", f"{item.mean_a:.4g}", f"{item.mean_b:.4g}")
                for item in self.features[:20]
            ],
            figure=self.plot(),
        )

    def _numbers(self) -> dict[str, str]:
        low, high = self.interval
        numbers = {
            "distance": f"{self.distance:.3g} {self.unit}, {100 * self.level:g} % interval [{low:.3g}, {high:.3g}]",
            "noise": " and ".join(
                f"{noise:.3g} within {behaviour.name}" for noise, behaviour in zip(self.noise, self.behaviours, strict=True)
            ),
            "episodes": f"{self.n_episodes[0]} and {self.n_episodes[1]}",
        }
        if None not in self.returns:
            numbers["returns"] = f"{self.returns[0]:.4g} and {self.returns[1]:.4g}"
        return numbers


def compare(
    a: Any,
    b: Any,
    env: Any = None,
    *,
    embedding: EmbeddingLike = "mean_state",
    n_episodes: int = 100,
    n_permutations: int = 500,
    level: float = 0.95,
    seed: int | None = None,
    epsilon: float = 0.5,
    cost: Cost = "euclidean",
    standardize: bool = True,
    deterministic: bool = False,
    names: tuple[str, str] = ("a", "b"),
    resampling: Resampling | None = None,
) -> Comparison:
    """
    Compare two behaviours.

    The distance is cross-fitted: both samples are split into halves at random, and what halves of one behaviour are apart is
    subtracted from what halves of different behaviours are apart. So it is zero on average where the behaviours are equal, in
    any dimension and at any ε. The p-value is that of a permutation test, which is exact for any number of episodes. Episodes
    stay whole in halves and in permutations, also where each of their states is a point of the law.

    :param a: a model (anything with SB3's ``predict``), a Target, an (n, dim) array of embeddings, or recorded episodes in any
        form that :func:`~sb3_wasserstein.recording.trajectories.as_trajectories` knows
    :param b: the same
    :param env: environment of the models: id, Env or VecEnv; None takes each model's own
    :param embedding: what a behaviour is, for models and trajectories
    :param n_episodes: number of episodes of each model
    :param n_permutations: number of permutations of the test
    :param level: confidence level of the interval, in (0, 1)
    :param seed: of the environments, of the actions and of the resampling
    :param epsilon: ε, in units of the median ground cost. From some dozens of episodes the distance at 0.5 is near that of the
        laws, and at 0.05 lower
    :param cost: a scipy metric name, a callable or a ``SaturatingCost``
    :param standardize: whether each feature is divided by its standard deviation in both samples together: the distance is
        then in standard deviations
    :param deterministic: whether models act without noise
    :param names: of the behaviours, for texts and figures
    :param resampling: see :class:`Resampling`; its ``n_permutations`` gives way to the argument above
    :return: the comparison
    :raises ValueError: if an argument is out of range, if the dimensions differ, or with fewer than 4 episodes
    :raises TypeError: if ``a`` or ``b`` is none of these

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein import compare
        >>> rng = np.random.default_rng(0)
        >>> comparison = compare(rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + [2.0, 0.0], seed=0)
        >>> comparison.p_value < 0.05, comparison.features[0].feature
        (True, 0)
    """
    check_count("n_episodes", n_episodes, 4)
    check_count("n_permutations", n_permutations)
    check_level(level)
    check_flag("standardize", standardize)
    check_flag("deterministic", deterministic)
    if not isinstance(names, (tuple, list)) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names must be two names; got {names!r}")
    if resampling is not None and not isinstance(resampling, Resampling):
        raise TypeError(f"resampling must be Resampling(...), or None; got {resampling!r}")
    rng = np.random.default_rng(check_seed(seed))
    how = resampling or Resampling()
    recipe = make_embedding(embedding)
    behaviours = (
        _behaviour("a", names[0], a, env, recipe, n_episodes, deterministic, seed, rng),
        _behaviour("b", names[1], b, env, recipe, n_episodes, deterministic, None if seed is None else seed + 1, rng),
    )
    if behaviours[0].points.shape[1] != behaviours[1].points.shape[1]:
        raise ValueError(
            f"a has dimension {behaviours[0].points.shape[1]} and b {behaviours[1].points.shape[1]}: give both with the same "
            "embedding"
        )
    spread = np.concatenate([behaviour.points for behaviour in behaviours]).std(axis=0)
    scale = np.where(spread > 0, spread, 1.0) if standardize else np.ones_like(spread)
    one, other = ([points / scale for points in behaviour.episodes] for behaviour in behaviours)

    sinkhorn = SinkhornDual(epsilon, cost)
    sinkhorn.update(np.concatenate(one), np.concatenate(other))
    measure = {"epsilon": sinkhorn.epsilon_, "cost": cost, "relative": False}
    if len(one) == len(other) and all(map(np.array_equal, one, other)):
        # Halves of one and the same sample are not independent.
        distance, interval, p_value = 0.0, (0.0, 0.0), 1.0
    else:
        distance = float(divergences([(one, other)], how.n_splits, rng, measure)[0])
        interval = _interval(distance, one, other, level, how, rng, measure)
        p_value = permutation_p_value(one, other, n_permutations, rng, measure)
    noise = tuple(noise_of(law, how.n_subsamples, level, rng, measure) for law in (one, other))
    return Comparison(
        distance=distance,
        interval=interval,
        p_value=p_value,
        noise=(noise[0], noise[1]),
        features=_features(behaviours, scale),
        level=level,
        unit="standard deviations" if standardize else "units of the cost",
        n_episodes=(len(one), len(other)),
        returns=tuple(None if item.returns is None else float(item.returns.mean()) for item in behaviours),  # type: ignore[arg-type]
        behaviours=behaviours,
    )


def check_level(level: Any) -> float:
    """
    :param level: a confidence level
    :return: the level
    :raises TypeError: if it is no number
    :raises ValueError: if it does not lie between 0 and 1
    """
    if not 0.0 < check_number("level", level) < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")
    return float(level)


def divergences(
    pairs: Sequence[tuple[list[Floats], list[Floats]]], n_splits: int, rng: np.random.Generator, sinkhorn: dict[str, Any]
) -> Floats:
    """
    Cross-fitted Sinkhorn divergences: ½ Σ W_ε(a_i, b_i) − ½ W_ε(a_1, a_2) − ½ W_ε(b_1, b_2) over the halves of both samples,
    averaged over random splits. All four clouds are independent and of as many episodes, so its mean is zero for equal laws.

    :param pairs: samples of two behaviours, by episode
    :param n_splits: number of random splits of each pair
    :param rng: generator of the splits
    :param sinkhorn: ε and cost, as for :func:`batched_sinkhorn`
    :return: one number a pair
    """
    xs: list[Floats] = []
    ys: list[Floats] = []
    for one, other in pairs:
        half = min(len(one), len(other)) // 2
        for _ in range(n_splits):
            a1, a2 = _halves(one, half, rng)
            b1, b2 = _halves(other, half, rng)
            xs += [a1, a2, a1, b1]
            ys += [b1, b2, a2, b2]
    # Thousands of small products: several threads would only wait for each other.
    with one_blas_thread():
        costs = batched_sinkhorn(xs, ys, **sinkhorn)[1].reshape(len(pairs), n_splits, 4)
    signed: Floats = 0.5 * (costs @ np.array([1.0, 1.0, -1.0, -1.0])).mean(axis=1)
    return signed


def permutation_p_value(
    one: list[Floats], other: list[Floats], n_permutations: int, rng: np.random.Generator, sinkhorn: dict[str, Any]
) -> float:
    """
    :param one: a sample of a behaviour, by episode
    :param other: a sample of another
    :param n_permutations: number of random exchanges of whole episodes
    :param rng: generator of exchanges and splits
    :param sinkhorn: ε and cost, as for :func:`batched_sinkhorn`
    :return: share of the exchanged samples that are at least as far apart, the samples themselves among them
    """
    permuted = [_parted(one + other, len(one), rng) for _ in range(n_permutations)]
    found = divergences([(one, other), *permuted], 2, rng, sinkhorn)
    return float((1 + (found[1:] >= found[0]).sum()) / (n_permutations + 1))


def _interval(
    distance: float,
    one: list[Floats],
    other: list[Floats],
    level: float,
    resampling: Resampling,
    rng: np.random.Generator,
    sinkhorn: dict[str, Any],
) -> tuple[float, float]:
    """By subsampling: half-samples without replacement vary about their mean as a sample of the law varies about its own."""
    halves = [(_half(one, rng), _half(other, rng)) for _ in range(resampling.n_subsamples)]
    drawn = divergences(halves, resampling.n_splits, rng, sinkhorn)
    # Not mirrored: a distance varies the more the larger it is.
    low, high = distance + np.quantile(drawn - drawn.mean(), [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    return float(low), float(high)


def noise_of(law: list[Floats], n: int, level: float, rng: np.random.Generator, sinkhorn: dict[str, Any]) -> float:
    """
    :param law: a sample of a behaviour, by episode; four at least
    :param n: number of random halvings
    :param level: that the halves' distance stays below, in (0, 1)
    :param rng: generator of the halves
    :param sinkhorn: ε and cost, as for :func:`batched_sinkhorn`
    :return: how far apart two halves of the sample are at most, at ``level``
    """
    halved = [_parted(law, len(law) // 2, rng) for _ in range(n)]
    return float(np.quantile(divergences(halved, 1, rng, sinkhorn), level))


def _halves(law: list[Floats], half: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    order = rng.permutation(len(law))
    return np.concatenate([law[i] for i in order[:half]]), np.concatenate([law[i] for i in order[half : 2 * half]])


def _half(law: list[Floats], rng: np.random.Generator) -> list[Floats]:
    return [law[i] for i in rng.permutation(len(law))[: max(2, len(law) // 2)]]


def _parted(law: list[Floats], first: int, rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    order = rng.permutation(len(law))
    return [law[i] for i in order[:first]], [law[i] for i in order[first:]]


def _features(behaviours: tuple[Behaviour, Behaviour], scale: Floats) -> tuple[FeatureDifference, ...]:
    from scipy.stats import wasserstein_distance

    a, b = (behaviour.points for behaviour in behaviours)
    found = [
        FeatureDifference(k, float(wasserstein_distance(a[:, k] / scale[k], b[:, k] / scale[k])), x, y)
        for k, (x, y) in enumerate(zip(a.mean(axis=0).tolist(), b.mean(axis=0).tolist(), strict=True))
    ]
    return tuple(sorted(found, key=lambda item: -item.distance))


def _behaviour(
    argument: str,
    name: str,
    value: Any,
    env: Any,
    embedding: Any,
    n_episodes: int,
    deterministic: bool,
    seed: int | None,
    rng: np.random.Generator,
) -> Behaviour:
    """What ``value`` is, as a sample of episodes."""
    returns = None
    if isinstance(value, Behaviour):
        return value
    if is_model(value):
        where = own_env(value, argument) if env is None else env
        collected = collect_episodes(value, where, embedding, n_episodes, deterministic, seed)
        episodes = [episode.points for episode in collected]
        returns = np.array([episode.episode_return for episode in collected])
    elif isinstance(value, Target):
        points, weights = value.draw(n_episodes)
        if np.ptp(weights) > 0:
            points = points[rng.choice(len(points), n_episodes, p=weights)]
        episodes = list(points[:, None])
    elif is_cloud(value):
        episodes = list(as_cloud(value, argument)[:, None])
    else:
        trajectories = as_trajectories(value, argument)
        episodes = embed_each(trajectories, embedding)
        if all(item.rewards is not None for item in trajectories):
            returns = np.array([float(np.sum(item.rewards)) for item in trajectories if item.rewards is not None])
    if len(episodes) < 4:
        raise ValueError(f"{argument} has {len(episodes)} episodes: a comparison needs at least 4, and 30 to be of use")
    return Behaviour(episodes, returns, name)
