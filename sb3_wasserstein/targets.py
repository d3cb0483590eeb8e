"""A target: the fixed law ν on the embedding space that a policy is attracted to, or repelled from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._atomic_io import read_arrays, read_bounded, write_whole
from sb3_wasserstein._pot import import_pot
from sb3_wasserstein._validation import check_count, check_flag, check_path, check_seed
from sb3_wasserstein.cloud import Cloud, as_cloud, as_draws, as_weights
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.embeddings.trajectory import Trajectory
from sb3_wasserstein.recording.collect import collect_episodes, is_model, own_embedding, own_env
from sb3_wasserstein.recording.offline import embed_each
from sb3_wasserstein.recording.trajectories import as_trajectories, is_cloud

Sampler = Callable[[int], ArrayLike]


class Target:
    """
    A law on the embedding space: weighted points that are the law itself, a sample of it (:meth:`from_policy`,
    :meth:`from_trajectories`), or a sampler (:meth:`from_sampler`). A debiased distance to a sample does not count what the
    sample's own chance adds.

    :param points: (n, dim) finite, n >= 1
    :param weights: (n,) non-negative and finite, not all zero; None for equal ones. They are normalised
    :param is_sample: whether the points are a sample of the law, each a draw of its own
    :raises ValueError: if points or weights are none of that; the message says which

    Example:
        >>> from sb3_wasserstein import Target
        >>> Target([[0.0, 0.0], [1.0, 1.0]], weights=[3, 1]).weights
        array([0.75, 0.25])
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None, *, is_sample: bool = False) -> None:
        law = _cloud_of(points, weights, "points")
        #: points, weights and, of a sample, draws; of a sampler its last draw
        self.cloud = Cloud.sample(law.points, law.weights) if check_flag("is_sample", is_sample) else law
        self._sampler: Sampler | None = None

    @classmethod
    def from_cloud(cls, cloud: Cloud) -> Target:
        """
        :param cloud: checked already; it is taken as it is
        :return: the target
        """
        target = cls.__new__(cls)
        target.cloud, target._sampler = cloud, None
        return target

    @classmethod
    def from_policy(
        cls,
        model: Any,
        env: Any,
        embedding: EmbeddingLike | None = None,
        n_episodes: int = 100,
        deterministic: bool = False,
        seed: int | None = None,
    ) -> Target:
        """
        The behaviour of a policy.

        :param model: anything with SB3's ``predict``
        :param env: environment id, Env or VecEnv
        :param embedding: as for :func:`collect_embeddings`
        :param n_episodes: number of episodes, divided evenly over the environments
        :param deterministic: whether to act without noise
        :param seed: of the environments and of the actions
        :return: a target of equally weighted points
        """
        recipe = make_embedding(own_embedding(model) if embedding is None else embedding)
        episodes = collect_episodes(model, env, recipe, n_episodes, deterministic, seed)
        return cls.from_cloud(_cloud_of_draws([episode.points for episode in episodes]))

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Sequence[Trajectory | ArrayLike],
        embedding: EmbeddingLike,
        observation_space: spaces.Space[Any] | None = None,
    ) -> Target:
        """
        The behaviour in recorded episodes; their observations are enough for all embeddings that read no actions.

        :param trajectories: Trajectory objects, or arrays of T + 1 observations
        :param embedding: a name or an Embedding
        :param observation_space: None infers it: integers in one dimension are Discrete, all else is Box
        :return: a target of equally weighted points
        :raises ValueError: if there are none, or if the embedding cannot read them
        """
        if observation_space is not None and not isinstance(observation_space, spaces.Space):
            raise TypeError(f"observation_space must be a space of Gymnasium, or None; got {observation_space!r}")
        episodes = as_trajectories(trajectories)
        return cls.from_cloud(_cloud_of_draws(embed_each(episodes, make_embedding(embedding), observation_space)))

    @classmethod
    def from_sampler(cls, function: Sampler, dim: int) -> Target:
        """
        A law that can only be sampled (the continuous case of Abdullah et al. 2018). The function is not saved with a model.

        :param function: maps n to n samples, (n, dim)
        :param dim: dimension of the embedding space
        :return: the target
        :raises TypeError: if ``function`` cannot be called
        :raises ValueError: if it does not return (n, dim) finite numbers
        """
        if not callable(function):
            raise TypeError(f"function of Target.from_sampler must be callable with a number n; got {function!r}")
        target = cls(np.zeros((1, check_count("dim of Target.from_sampler", dim))))
        target._sampler = function
        target.draw(2)
        return target

    @classmethod
    def barycenter(
        cls,
        targets: Sequence[Target | ArrayLike],
        weights: ArrayLike | None = None,
        *,
        n_points: int = 100,
        seed: int | None = None,
    ) -> Target:
        """
        The behaviour in the middle of several: the law of ``n_points`` equally weighted points whose weighted mean of squared
        Wasserstein-2 distances (Euclidean) to the targets is least, by POT (Cuturi and Doucet 2014, Alg. 2). That problem is
        not convex: another seed can find other points. In one dimension the quantiles are averaged.

        :param targets: Targets, or anything that ``target=`` takes without an embedding, all of one dimension
        :param weights: (k,) non-negative, one a target, not all zero; None for equal ones
        :param n_points: number of points of the result
        :param seed: of the points that the solver starts from, which are drawn from the target of the largest weight
        :return: the barycenter
        :raises ImportError: without POT; the message names the extra
        :raises ValueError: if there is no target, if the dimensions differ, or if weights do not match

        Example:
            >>> from sb3_wasserstein import Target
            >>> middle = Target.barycenter([Target([[0.0], [1.0]]), Target([[4.0], [7.0]])], n_points=2)
            >>> sorted(middle.points.ravel().tolist())
            [2.0, 4.0]
        """
        count = check_count("n_points", n_points)
        if not isinstance(targets, (list, tuple)) or not targets:
            raise ValueError(f"targets must be a list of one Target or more; got {targets!r}")
        laws = [Cloud(*as_target(one, name=f"targets[{k}]").draw(count)) for k, one in enumerate(targets)]
        if len({law.dim for law in laws}) > 1:
            raise ValueError(f"targets have dimensions {[law.dim for law in laws]}: make all with the same embedding")
        try:
            shares = as_weights(weights, len(laws), "weights")
        except TypeError as error:
            raise ValueError(f"weights: {error}") from error
        rng = np.random.default_rng(check_seed(seed))
        first = laws[int(shares.argmax())].present()
        start = first.points[rng.choice(len(first), count, replace=count > len(first), p=first.weights)]
        found = import_pot("Target.barycenter").lp.free_support_barycenter(
            [law.points for law in laws], [law.weights for law in laws], start, weights=shares
        )
        return cls.from_cloud(_cloud_of(found))

    @property
    def dim(self) -> int:
        """Dimension of the embedding space."""
        return self.cloud.dim

    @property
    def is_sample(self) -> bool:
        """Whether the points are a sample of the law, rather than the law itself."""
        return self.has_sampler or self.cloud.is_sample

    @property
    def has_sampler(self) -> bool:
        """Whether the law is known by its samples only."""
        return self._sampler is not None

    @property
    def points(self) -> NDArray[np.float64]:
        """(n, dim) points; of a sampler, its last draw."""
        return self.cloud.points

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,) weights that sum to one."""
        return self.cloud.weights

    def draw(self, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """
        :param n: number of new samples, where the law is a sampler; ignored otherwise
        :return: points (m, dim) and weights (m,)
        :raises ValueError: if the sampler does not return (n, dim) finite numbers
        """
        if self._sampler is not None:
            try:
                drawn = self._sampler(n)
            # A user's function can raise anything.
            except Exception as error:
                raise ValueError(f"the target's sampler raised {error!r} for n={n}") from error
            cloud = _cloud_of(drawn, name=f"what the target's sampler returned for n={n}")
            if cloud.points.shape != (n, self.dim):
                raise ValueError(
                    f"the target's sampler must return shape (n, dim) = {(n, self.dim)}; got {cloud.points.shape}"
                )
            self.cloud = Cloud.sample(cloud.points)
        return self.points, self.weights

    def thinned(self, max_points: int) -> Target:
        """
        :param max_points: upper bound of the number of points
        :return: the same law on at most as many points, at a fixed stride
        """
        if self.has_sampler or len(self.cloud) <= max_points:
            return self
        return Target.from_cloud(self.cloud.thinned(max_points))

    def is_same_as(self, other: Target) -> bool:
        """:return: whether the two have the same points and weights, to the bit; two samplers never do"""
        return not (self.has_sampler or other.has_sampler) and self.cloud.is_same_as(other.cloud)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write to an ``.npz`` file, whole or not at all.

        :param path: the suffix is added where it is missing
        :raises ValueError: if the law is a sampler
        :raises OSError: if the file cannot be written
        """
        if self.has_sampler:
            raise ValueError(
                "a target that is a sampler cannot be saved: save Target(target.draw(n)[0]), or keep the function"
            )
        path = _npz(path)
        if path.is_dir():
            raise IsADirectoryError(f"the target's path {str(path)!r} is a folder")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the target's folder {str(path.parent)!r} does not exist: make it first")
        write_whole(path, self._write)

    def _write(self, path: Path) -> None:
        with path.open("wb") as file:
            draws = {} if self.cloud.draws is None else {"draws": self.cloud.draws}
            np.savez(file, points=self.points, weights=self.weights, **draws)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Target:
        """
        :param path: of a file that :meth:`save` wrote; nothing in it is executed
        :return: the target
        :raises OSError: if there is no such file
        :raises ValueError: if it is not a target
        """
        exact = check_path("path of a target", path)
        if exact.is_dir():
            raise IsADirectoryError(f"path of a target is a folder: {os.fspath(path)!r}")
        exact = exact if exact.exists() else _npz(path)
        if not exact.exists():
            raise FileNotFoundError(f"target: there is no file {str(exact)!r}; Target.save writes one")
        try:
            arrays = read_arrays(read_bounded(exact), "points|weights|draws")
            law = _cloud_of(arrays["points"], arrays["weights"])
            return cls.from_cloud(
                Cloud.sample(law.points, law.weights, as_draws(arrays["draws"], len(law))) if "draws" in arrays else law
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a target that Target.save wrote: {error}") from error

    def __repr__(self) -> str:
        return f"Target({'sampler' if self.has_sampler else f'{len(self.cloud)} points'}, dim={self.dim})"


def as_target(
    target: Any, embedding: EmbeddingLike | None = None, env: Any = None, *, name: str = "target", **sampling: Any
) -> Target:
    """
    :param target: a Target, an (n, dim) array (a sample of the law, but for up to three points, which are the law itself), the
        path of a saved one, a model, or, with an embedding, recorded episodes in any form that
        :func:`~sb3_wasserstein.recording.trajectories.as_trajectories` knows
    :param embedding: that maps episodes to points
    :param env: environment of a model; None takes the model's own
    :param name: the argument's name, for the errors
    :param sampling: ``n_episodes``, ``deterministic`` and ``seed`` of :meth:`Target.from_policy`, for a model
    :return: the target
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if it is none of these
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, (str, os.PathLike)):
        return Target.load(target)
    if is_model(target):
        return Target.from_policy(target, own_env(target, name) if env is None else env, embedding, **sampling)
    if isinstance(target, Trajectory):
        raise ValueError(f"{name} is a single Trajectory: give a list of them, or Target.from_trajectories(list, embedding)")
    try:
        if is_cloud(target) or isinstance(target, np.ndarray) or not _has_episodes(target):
            points = np.asarray(target)
            return Target(target, is_sample=points.ndim == 2 and len(points) > 3)
        if embedding is None:
            raise ValueError("these are recorded episodes: make one with Target.from_trajectories(list, embedding)")
        return Target.from_trajectories(target, embedding)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a Target, an (n, dim) array, recorded episodes, a model or a path: {error}"
        ) from error


def _has_episodes(value: Any) -> bool:
    """Whether this is a list of episodes, or what another package keeps them in."""
    if isinstance(value, (list, tuple)):
        return any(hasattr(item, "observations") or hasattr(item, "obs") or np.ndim(item) >= 2 for item in value)
    return hasattr(value, "iterate_episodes") or (isinstance(value, Mapping) and "observations" in value)


def _cloud_of(points: ArrayLike, weights: ArrayLike | None = None, name: str = "target") -> Cloud:
    """A checked copy; whatever is wrong with it is a ValueError."""
    try:
        checked = as_cloud(points, name).copy()
        return Cloud(checked, as_weights(weights, len(checked), "weights"))
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _cloud_of_draws(draws: Sequence[NDArray[np.float64]]) -> Cloud:
    """A sample of equally weighted points, of which some may come from one draw."""
    law = _cloud_of(np.concatenate(draws))
    return Cloud.sample(law.points, law.weights, np.repeat(np.arange(len(draws)), [len(points) for points in draws]))


def _npz(path: str | os.PathLike[str]) -> Path:
    path = check_path("path of a target", path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
