"""Visit histograms: how often each cell was visited, blurred over its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._validation import check_count, check_number
from sb3_wasserstein.embeddings.base import BoundEmbedding, FeatureEmbedding
from sb3_wasserstein.embeddings.features import Features, FeatureSpec
from sb3_wasserstein.embeddings.observations import Observations
from sb3_wasserstein.embeddings.states import BoundMean


class VisitHistogram(FeatureEmbedding):
    """
    φ(τ) = visits of each cell / (T + 1), blurred by a Gaussian over the cells (Abdullah et al. 2018, section 4.1: "a count is
    made of the number of times each cell is visited and this value is normalised by the trajectory length"). Entries sum to
    one; the blur keeps that. What falls outside the range counts in the nearest cell. The mean over episodes is the occupancy.

    Without arguments: a Discrete space gives one cell a value, a bounded Box ten bins an axis.

    :param low: lower corner, (d,), for continuous features
    :param high: upper corner, (d,)
    :param bins: number of cells an axis, an integer or (d,)
    :param smoothing: the Gaussian's σ, in cells; 0 for none. Without it an L1 or Euclidean cost sees two neighbouring
        cells as no closer than two distant ones
    :param features: see :class:`FeatureEmbedding`; for continuous spaces only
    :param shape: (rows, columns, ...) of the grid that a Discrete space numbers, row by row
    :raises ValueError: if the range is empty, if a number is not positive, or if both forms are mixed

    Example:
        >>> from sb3_wasserstein import Target
        >>> from sb3_wasserstein.embeddings import VisitHistogram
        >>> Target.from_trajectories([[0, 1, 1, 3]], VisitHistogram(shape=(2, 2))).points
        array([[0.25, 0.5 , 0.  , 0.25]])
    """

    def __init__(
        self,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        bins: int | Sequence[int] | None = None,
        smoothing: float = 0.0,
        features: FeatureSpec = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(features)
        if (low is None) != (high is None):
            raise ValueError(f"low and high of a VisitHistogram go together; got low={low!r}, high={high!r}")
        if shape is not None and (low is not None or bins is not None or features is not None):
            raise ValueError("shape= is for Discrete spaces and does not go with low, high, bins or features")
        if check_number("smoothing of a VisitHistogram", smoothing) < 0:
            raise ValueError(f"smoothing must be a finite number of cells >= 0; got {smoothing!r}")
        self.bins = bins if bins is None or np.ndim(bins) == 0 else tuple(np.asarray(bins).tolist())
        if self.bins == ():
            raise ValueError(f"bins of a VisitHistogram must be a number of cells, or one for each axis; got {bins!r}")
        for count in self.bins if isinstance(self.bins, tuple) else () if bins is None else (bins,):
            check_count("bins of a VisitHistogram", count)
        if shape is not None and (np.ndim(shape) != 1 or len(shape) == 0):
            raise ValueError(f"shape of a VisitHistogram must be (rows, columns, ...); got {shape!r}")
        self.shape = None if shape is None else tuple(check_count("shape of a VisitHistogram", count) for count in shape)
        self.low, self.high = _corner("low", low), _corner("high", high)
        if self.low is not None and self.high is not None:
            if self.low.shape != self.high.shape or self.low.ndim != 1:
                raise ValueError(f"low and high must be vectors of one length; got shapes {self.low.shape}, {self.high.shape}")
            if not (np.all(np.isfinite([self.low, self.high])) and np.all(self.low < self.high)):
                raise ValueError(f"low must be finite and below high in every entry; got low={low!r}, high={high!r}")
        self.smoothing = float(smoothing)

    def arguments(self) -> dict[str, Any]:
        return {
            **super().arguments(),
            "low": None if self.low is None else self.low.tolist(),
            "high": None if self.high is None else self.high.tolist(),
            "bins": list(self.bins) if isinstance(self.bins, tuple) else self.bins,
            "shape": None if self.shape is None else list(self.shape),
        }

    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        if self.shape is not None or (isinstance(observation_space, spaces.Discrete) and self.low is None):
            return self._bind_discrete(observation_space, n_envs)
        features = self.feature_map(observation_space)
        low, high = self._range(observation_space, features)
        counts = np.broadcast_to(np.asarray(10 if self.bins is None else self.bins), (features.dim,))
        cells = math.prod(int(count) for count in counts)
        # A rollout of 2048 steps with more would not fit into a GiB.
        if cells > 2**16:
            raise ValueError(
                f"a VisitHistogram of {' x '.join(map(str, counts))} = {cells} cells is too large (limit {2**16}): "
                "choose fewer bins, or the features that matter with features="
            )
        return BoundMean(_Images(_Cells(features, low, high, counts), self.smoothing), cells, n_envs)

    def _bind_discrete(self, space: spaces.Space[Any], n_envs: int) -> BoundEmbedding:
        if not isinstance(space, spaces.Discrete):
            raise ValueError(
                f"shape={self.shape} of a VisitHistogram is for a Discrete space; got {space}: use low, high and bins"
            )
        shape = self.shape or (int(space.n),)
        if math.prod(shape) != space.n:
            raise ValueError(f"shape={shape} of the VisitHistogram has {math.prod(shape)} cells, but the space is {space}")
        return BoundMean(_Images(_GridCells(shape, int(space.start)), self.smoothing), int(space.n), n_envs)

    def _range(self, space: spaces.Space[Any], features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.low is not None and self.high is not None:
            if len(self.low) != features.dim:
                raise ValueError(f"low and high have {len(self.low)} entries, but the features have {features.dim}")
            return self.low, self.high
        if not isinstance(space, spaces.Box) or self.features is not None or not space.is_bounded():
            raise ValueError(
                f"low and high of the VisitHistogram are needed: the space {space} gives no range for its features"
            )
        return space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)


def _corner(name: str, value: ArrayLike | None) -> NDArray[np.float64] | None:
    try:
        return None if value is None else np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} of a VisitHistogram must be numbers; got {value!r}") from error


class _Cells:
    """Which cell continuous features lie in; cells are numbered row by row."""

    def __init__(self, features: Features, low: NDArray[np.float64], high: NDArray[np.float64], counts: NDArray[Any]) -> None:
        self.counts = tuple(int(count) for count in counts)
        self._features, self._low, self._per_unit = features, low, counts / (high - low)

    def __call__(self, observations: Observations) -> NDArray[np.intp]:
        cells = np.floor((self._features(observations) - self._low) * self._per_unit)
        # Clipped before the cast: a float beyond the integers' range would wrap around.
        inside = np.clip(cells, 0, np.array(self.counts) - 1).astype(np.intp)
        return np.asarray(np.ravel_multi_index(tuple(inside.T), self.counts))


class _GridCells:
    """Which cell of a grid a Discrete space's observation is; it numbers them row by row."""

    def __init__(self, shape: tuple[int, ...], start: int) -> None:
        self.counts = shape
        self._start, self._n_cells = start, math.prod(shape)

    def __call__(self, observations: Observations) -> NDArray[np.intp]:
        cells = np.asarray(observations).reshape(-1).astype(np.intp) - self._start
        # A negative one would count from the end.
        if len(cells) and not 0 <= cells.min() <= cells.max() < self._n_cells:
            raise ValueError(f"an observation lies outside of the space's {self._n_cells} values from {self._start} on")
        return cells


class _Images:
    """(m, dim) the blurred image of the visit that each of m observations is."""

    def __init__(self, cells: _Cells | _GridCells, smoothing: float) -> None:
        from scipy.ndimage import gaussian_filter1d

        self._cells = cells
        # Row k of an axis is the blurred image of a visit to cell k. scipy's "reflect" keeps the sum at one.
        self._axes = [
            gaussian_filter1d(np.eye(count), smoothing, axis=1, mode="reflect") if smoothing > 0 else np.eye(count)
            for count in cells.counts
        ]

    def __call__(self, observations: Observations) -> NDArray[np.float64]:
        first, *others = np.unravel_index(self._cells(observations), self._cells.counts)
        image = self._axes[0][first]
        for rows, places in zip(self._axes[1:], others, strict=True):
            image = (image[:, :, None] * rows[places][:, None, :]).reshape(len(image), -1)
        return image
