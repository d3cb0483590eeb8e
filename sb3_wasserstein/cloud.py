"""Clouds of points and their weights: what comes in, checked once and with an error that says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_wasserstein._threads import sum_of_squares

#: a numpy array on the CPU, a tensor elsewhere: the solvers are written in what the two namespaces share
Array: TypeAlias = Any
Floats: TypeAlias = NDArray[np.float64]
Draws: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Cloud:
    """
    A law on the embedding space: weighted points, checked once by :meth:`of` and :meth:`sample`.

    :param points: (n, dim) float64, finite
    :param weights: (n,) float64, non-negative, of sum one
    :param draws: (n,) the number of the draw that each point comes from, an episode for instance, where the points are a
        *sample* of the law. Points of one draw say nothing of how far two draws are apart: in a debiased distance they do not
        count for each other. None where the points are the law itself

    Example:
        >>> from sb3_wasserstein.cloud import Cloud
        >>> Cloud.of([[0.0], [1.0]], [3, 1]).weights
        array([0.75, 0.25])
    """

    points: Floats
    weights: Floats
    draws: Draws | None = None

    @classmethod
    def of(cls, points: object, weights: object | None = None, name: str = "x", dim: int | None = None) -> Cloud:
        """
        :param points: (n, dim) numpy array, tensor or nested sequence of numbers
        :param weights: (n,) non-negative numbers, ``None`` for equal weights; normalised here
        :param name: the argument's name, for the errors
        :param dim: the dimension that is expected, ``None`` for any
        :return: the cloud
        :raises TypeError: if points or weights are no numbers
        :raises ValueError: if they are empty, not finite, or do not match; the message names the argument
        """
        checked = as_cloud(points, name, dim)
        return cls(checked, as_weights(weights, len(checked), f"{name}_weights"))

    @classmethod
    def sample(cls, points: Floats, weights: Floats | None = None, draws: Draws | None = None) -> Cloud:
        """
        :param points: (n, dim) checked points
        :param weights: (n,) checked weights, None for equal ones
        :param draws: (n,) number of each point's draw, None where each point is a draw of its own
        :return: a sample; the law itself where one draw has more than half of the mass, which no other can take over
        """
        weights = as_weights(None, len(points), "weights") if weights is None else weights
        draws = np.arange(len(points)) if draws is None else draws
        largest = float(np.bincount(np.unique(draws, return_inverse=True)[1], weights).max())
        return cls(points, weights, draws if largest <= 0.5 * (1.0 + 1e-9) else None)

    def __len__(self) -> int:
        return len(self.points)

    def is_same_as(self, other: Cloud) -> bool:
        """:return: whether the two have the same points and weights, to the bit"""
        return np.array_equal(self.points, other.points) and np.array_equal(self.weights, other.weights)

    def as_law(self) -> Cloud:
        """:return: the same points and weights, as the law itself"""
        return self if self.draws is None else Cloud(self.points, self.weights)

    @property
    def is_sample(self) -> bool:
        """Whether the points are a sample of the law, rather than the law itself."""
        return self.draws is not None

    @property
    def mass_between_draws(self) -> float:
        """Mass of μ ⊗ μ on pairs of points that come from different draws; 1 for a law."""
        if self.draws is None:
            return 1.0
        masses = np.bincount(np.unique(self.draws, return_inverse=True)[1], self.weights)
        return float(1.0 - masses @ masses)

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return int(self.points.shape[1])

    def has_weight(self) -> NDArray[np.bool_]:
        """:return: (n,) which points weigh more than 1e-30, less than which float32 cannot tell from nothing"""
        return np.asarray(self.weights > 1e-30)

    def present(self) -> Cloud:
        """:return: the points that have weight"""
        kept = self.has_weight()
        return self if kept.all() else self._of(kept, self.weights[kept])

    def thinned(self, limit: int, offset: float = 0.5) -> Cloud:
        """
        :param limit: upper bound of the number of points
        :param offset: in [0, 1), where in its step each point is taken: another one takes other points
        :return: the cloud itself if it is small enough; else its points at equal steps of their cumulative weights, each with
            the share of the weight that it stands for
        """
        if len(self) <= limit:
            return self
        steps = (np.arange(limit) + offset) / limit
        found = np.searchsorted(np.cumsum(self.weights), steps).clip(max=len(self) - 1)
        keep, counts = np.unique(found, return_counts=True)
        return self._of(keep, counts / limit)

    def scaled(self, units: Floats | float) -> Cloud:
        """
        :param units: (dim,) what the coordinates are divided by
        :return: the same law in these units
        """
        return Cloud(self.points / units, self.weights, self.draws)

    def _of(self, kept: NDArray[Any], weights: Floats) -> Cloud:
        points = self.points[kept]
        return Cloud(points, weights) if self.draws is None else Cloud.sample(points, weights, self.draws[kept])


@dataclass(frozen=True)
class ArrayBackend:
    """
    Where matrices are and of what type: numpy's arrays on the CPU, where numpy is faster on small ones, torch's elsewhere.

    :param dtype: "float32" or "float64"
    :param device: a torch device
    """

    dtype: str = "float64"
    device: str = "cpu"

    def array(self, values: Floats) -> Array:
        """:return: the values in this type and place; never a view that could be written through"""
        if self.device == "cpu":
            return values.astype(self.dtype)
        return torch.as_tensor(values).to(device=self.device, dtype=getattr(torch, self.dtype))

    def is_available(self) -> bool:
        """:return: whether this machine has the device"""
        try:
            torch.empty(0, device=self.device)
        except (AssertionError, NotImplementedError, RuntimeError):
            return False
        return True

    def empty(self, shape: tuple[int, ...]) -> Array:
        """:return: uninitialised numbers"""
        if self.device == "cpu":
            return np.empty(shape, self.dtype)
        return torch.empty(shape, device=self.device, dtype=getattr(torch, self.dtype))


FLOAT32, FLOAT64 = ArrayBackend("float32"), ArrayBackend("float64")


def to_floats(values: Array) -> Floats:
    """:return: a float64 array"""
    return np.asarray(values.cpu().numpy() if isinstance(values, torch.Tensor) else values, dtype=np.float64)


def as_law(value: Any, weights: object | None, name: str, dim: int | None = None, weights_name: str | None = None) -> Cloud:
    """
    :param value: a Cloud, an object with a ``cloud`` (a Target), or (n, dim) points
    :param weights: (n,) weights of points
    :param name: the argument's name, for the errors
    :param dim: the dimension that is expected, None for any
    :param weights_name: the name of the weights' argument, if it is another than the points' with ``_weights``
    :return: points without weights are a sample, each a draw of its own; points with weights are a law
    :raises TypeError: if points or weights are no numbers
    :raises ValueError: if they are empty, not finite, or do not match, or if a Cloud comes with weights
    """
    weights_name = weights_name or f"{name}_weights"
    cloud = value if isinstance(value, Cloud) else getattr(value, "cloud", None)
    if isinstance(cloud, Cloud):
        if weights is not None:
            raise ValueError(f"`{weights_name}` must be None where `{name}` is a {type(value).__name__}, which has its own")
        as_cloud(cloud.points, name, dim)
        return cloud
    points = as_cloud(value, name, dim)
    if weights is None:
        return Cloud.sample(points)
    return Cloud(points, as_weights(weights, len(points), weights_name))


def as_cloud(value: object, name: str, dim: int | None = None) -> Floats:
    """
    Check a cloud of points.

    :param value: (n, d) numpy array, tensor or nested sequence of numbers
    :param name: the argument's name, for the error
    :param dim: the dimension that is expected, ``None`` for any
    :return: (n, d) float64
    :raises TypeError: if it is not made of numbers
    :raises ValueError: if it is empty, not two-dimensional, of another dimension, or not finite
    """
    cloud = _as_floats(value, name)
    if cloud.ndim != 2:
        hint = "; one point is x[None], one coordinate is x[:, None]" if cloud.ndim == 1 else ""
        raise ValueError(f"`{name}` must be a cloud of points of shape (n, d), got shape {cloud.shape}{hint}")
    if 0 in cloud.shape:
        raise ValueError(f"`{name}` is empty (shape {cloud.shape}): it needs at least one point and one dimension")
    if dim is not None and cloud.shape[1] != dim:
        raise ValueError(f"`{name}` has points of dimension {cloud.shape[1]}, expected {dim}: both clouds live in one space")
    # The sum of squares cannot be finite unless all are: one pass, no mask, and it also refuses what would overflow a cost.
    if not np.isfinite(sum_of_squares(cloud)):
        bad = np.flatnonzero(~np.isfinite(cloud).all(axis=1))
        what = (
            f"NaN or inf in {len(bad)} of {len(cloud)} points (the first is row {bad[0]})" if len(bad) else "numbers too large"
        )
        raise ValueError(f"`{name}` has {what}: drop or mend them first")
    return cloud


def as_weights(value: object | None, n: int, name: str) -> Floats:
    """
    Check the weights of a cloud and normalise them to sum to one.

    :param value: (n,) non-negative numbers, or ``None`` for equal weights
    :param n: number of points
    :param name: the argument's name, for the error
    :return: (n,) float64
    :raises TypeError: if they are not numbers
    :raises ValueError: if they are of another length, negative, not finite, or sum to zero
    """
    if value is None:
        return np.full(n, 1.0 / n)
    weights = _as_floats(value, name)
    if weights.shape != (n,):
        raise ValueError(f"`{name}` must have one weight for each of the {n} points, got shape {weights.shape}")
    if not np.isfinite(weights).all():
        raise ValueError(f"`{name}` must be finite, got {weights[~np.isfinite(weights)][0]}: drop or mend those points first")
    if weights.min() < 0:
        raise ValueError(f"`{name}` must be non-negative, got {weights.min()}: a law has no negative mass")
    if weights.max() == 0:
        raise ValueError(f"`{name}` sum to zero: at least one point needs mass")
    # The largest first: neither 1e308 nor 1e-320 leave the range on the way.
    weights = weights / weights.max()
    return np.asarray(weights / weights.sum())


def as_draws(value: object, n: int) -> Draws:
    """
    :param value: of a file
    :param n: number of points
    :return: (n,) numbers of draws
    :raises ValueError: if it is not that
    """
    draws = np.asarray(value)
    if draws.shape != (n,) or draws.dtype != np.int64:
        raise ValueError(f"draws must be (n,) whole numbers for {n} points, got {draws.dtype} of shape {draws.shape}")
    return draws


def pairs_within(x: Draws, y: Draws) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """
    :param x: (n,) numbers of draws
    :param y: (m,) numbers of draws
    :return: (k,) rows, in ascending order, and (k,) columns of the pairs that come from one draw
    """
    order = np.argsort(y, kind="stable")
    begin, stop = (np.searchsorted(y[order], x, side) for side in ("left", "right"))
    counts = stop - begin
    rows = np.repeat(np.arange(len(x)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, order[begin[rows] + within]


def point_keys(points: Floats) -> list[bytes]:
    """:return: a key of each point, by which equal points are found"""
    # Adding zero makes −0.0 the same point as 0.0.
    return [row.tobytes() for row in np.ascontiguousarray(points) + 0.0]


def like(values: Floats, reference: object) -> Any:
    """Hand results back in the kind that the argument came in: a tensor on its device, or a numpy array."""
    if isinstance(reference, torch.Tensor):
        return torch.from_numpy(values).to(reference.device)
    return values


def saved(state: dict[str, Any], name: str, *shape: int | None, dtype: torch.dtype = torch.float64) -> Any:
    """
    An array out of a saved state, a copy.

    :param state: of a dual, or of a part of one
    :param name: its key
    :param shape: that it must have; ``None`` stands for any length
    :param dtype: that it must have
    :return: the array
    :raises ValueError: unless it is finite numbers of that shape and type
    """
    tensor = state[name]
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != dtype:
        raise ValueError(f"{name} must be a tensor of {dtype}, got {getattr(tensor, 'dtype', type(tensor).__name__)}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"{name} declares the shape {tuple(tensor.shape)} over fewer numbers")
    fits = tensor.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, tensor.shape, strict=True))
    if not fits or not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} must be finite and of shape {shape}, got {tuple(tensor.shape)}")
    return np.array(tensor.cpu().numpy())


def _as_floats(value: object, name: str) -> Floats:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and np.iscomplexobj(value):
        raise TypeError(f"`{name}` must be an array of real numbers, got complex ones")
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {type(value).__name__}: {error}") from error
