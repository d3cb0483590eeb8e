"""A target: the fixed law ν on the embedding space that a policy is drawn to, or driven from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._atomic_io import read_arrays, read_bounded, write_whole
from sb3_wasserstein._validation import check_count, check_path
from sb3_wasserstein.embeddings.registry import EmbeddingLike, make_embedding
from sb3_wasserstein.embeddings.trajectory import Trajectory
from sb3_wasserstein.recording.collect import collect_embeddings
from sb3_wasserstein.recording.offline import embed_trajectories

Sampler = Callable[[int], ArrayLike]
#: the sum of the squares of a million coordinates is still finite
LARGEST = 1e150


class Target:
    """
    A law on the embedding space: weighted points, or a sampler (:meth:`from_sampler`).

    :param points: (n, dim) finite, n >= 1
    :param weights: (n,) non-negative and finite, not all zero; None for equal ones. They are normalised
    :raises ValueError: if points or weights are none of that; the message says which

    Example:
        >>> from sb3_wasserstein import Target
        >>> Target([[0.0, 0.0], [1.0, 1.0]], weights=[3, 1]).weights
        array([0.75, 0.25])
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None) -> None:
        self._sampler: Sampler | None = None
        self._points = _checked_points(points, "points of a Target")
        self._weights = _checked_weights(weights, len(self._points))

    @classmethod
    def from_policy(
        cls,
        model: Any,
        env: Any,
        embedding: EmbeddingLike,
        n_episodes: int = 100,
        deterministic: bool = False,
        seed: int | None = None,
    ) -> Target:
        """
        The behaviour of a policy.

        :param model: anything with SB3's ``predict``
        :param env: environment id, Env or VecEnv
        :param embedding: a name or an Embedding
        :param n_episodes: number of episodes, divided evenly over the environments
        :param deterministic: whether to act without noise
        :param seed: of the environments and of the actions
        :return: a target of equally weighted points
        """
        return cls(collect_embeddings(model, env, embedding, n_episodes, deterministic, seed))

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Sequence[Trajectory | ArrayLike],
        embedding: EmbeddingLike,
        observation_space: spaces.Space[Any] | None = None,
    ) -> Target:
        """
        The behaviour in recorded episodes, of states alone if need be.

        :param trajectories: Trajectory objects, or arrays of T + 1 observations
        :param embedding: a name or an Embedding
        :param observation_space: None infers it: integers in one dimension are Discrete, all else is Box
        :return: a target of equally weighted points
        :raises ValueError: if there are none, or if the embedding cannot read them
        """
        if isinstance(trajectories, (str, dict, Trajectory)) or not isinstance(trajectories, Iterable):
            raise TypeError(f"trajectories must be a list of Trajectory objects or of arrays; got {trajectories!r}")
        episodes = [item if isinstance(item, Trajectory) else Trajectory(item) for item in trajectories]  # type: ignore[arg-type]
        return cls(embed_trajectories(episodes, make_embedding(embedding), observation_space))

    @classmethod
    def from_sampler(cls, function: Sampler, dim: int) -> Target:
        """
        A law that can only be sampled (S1's continuous case). The function is not saved with a model.

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

    @property
    def dim(self) -> int:
        """Dimension of the embedding space."""
        return int(self._points.shape[1])

    @property
    def is_sampled(self) -> bool:
        """Whether the law is known by its samples only."""
        return self._sampler is not None

    @property
    def points(self) -> NDArray[np.float64]:
        """(n, dim) points; of a sampler, its last draw."""
        return self._points

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,) weights that sum to one."""
        return self._weights

    def draw(self, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """
        :param n: number of fresh samples, where the law is a sampler; ignored otherwise
        :return: points (m, dim) and weights (m,)
        :raises ValueError: if the sampler does not return (n, dim) finite numbers
        """
        if self._sampler is not None:
            try:
                drawn = self._sampler(n)
            # A user's function can raise anything.
            except Exception as error:
                raise ValueError(f"the target's sampler raised {error!r} for n={n}") from error
            points = _checked_points(drawn, f"what the target's sampler returned for n={n}")
            if points.shape != (n, self.dim):
                raise ValueError(f"the target's sampler must return shape (n, dim) = {(n, self.dim)}; got {points.shape}")
            self._points, self._weights = points, np.full(n, 1.0 / n)
        return self._points, self._weights

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write to an ``.npz`` file, whole or not at all.

        :param path: the suffix is added where it is missing
        :raises ValueError: if the law is a sampler
        :raises OSError: if the file cannot be written
        """
        if self.is_sampled:
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
            np.savez(file, points=self._points, weights=self._weights)

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
        try:
            arrays = read_arrays(read_bounded(exact if exact.exists() else _npz(path)), "points|weights|is_sample")
            return cls(arrays["points"], arrays["weights"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a target that Target.save wrote: {error}") from error

    def __repr__(self) -> str:
        return f"Target({'sampler' if self.is_sampled else f'{len(self._points)} points'}, dim={self.dim})"


def as_target(target: Any) -> Target:
    """
    :param target: a Target, an (n, dim) array, or the path of a saved one
    :return: the target
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if it is none of these
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, (str, os.PathLike)):
        return Target.load(target)
    try:
        return Target(target)
    except (TypeError, ValueError) as error:
        raise ValueError(f"target must be a Target, an (n, dim) array or a path: {error}") from error


def _checked_points(points: ArrayLike, what: str) -> NDArray[np.float64]:
    if isinstance(points, np.ndarray) and np.iscomplexobj(points):
        raise ValueError(f"{what} must be real numbers; got complex ones")
    try:
        array = np.array(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers of shape (n, dim): {error}") from error
    if array.ndim != 2 or 0 in array.shape:
        hint = ": a single point is points=[point]" if array.ndim == 1 and array.size else ""
        raise ValueError(f"{what} must have shape (n, dim) with n, dim >= 1; got {array.shape}{hint}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite; {int((~np.isfinite(array)).any(axis=1).sum())} of {len(array)} are not")
    if np.abs(array).max() > LARGEST:
        raise ValueError(f"{what} must be below {LARGEST:g}, where squared distances overflow; got {np.abs(array).max():g}")
    return array


def _checked_weights(weights: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if weights is None:
        return np.full(n, 1.0 / n)
    try:
        array = np.array(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weights of a Target must be {n} numbers: {error}") from error
    if array.shape != (n,):
        raise ValueError(f"weights of a Target must have shape ({n},), one a point; got {array.shape}")
    if not np.isfinite(array).all() or np.any(array < 0):
        raise ValueError(f"weights of a Target must be finite and >= 0; got {array[~(np.isfinite(array) & (array >= 0))][:3]}")
    largest = array.max()
    if largest == 0:
        raise ValueError("weights of a Target must not all be zero")
    # By the largest first: the sum of finite weights may overflow.
    array /= largest
    normalised: NDArray[np.float64] = array / array.sum()
    return normalised


def _npz(path: str | os.PathLike[str]) -> Path:
    path = check_path("path of a target", path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
