"""A regular grid of states, and the cubic B-spline weights that turn a next state into a law on its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import brentq

from sb3_wasserstein._validation import check_array


def as_tensor(name: str, value: object) -> torch.Tensor:
    """Numbers as a float64 tensor without a gradient; a TypeError that names the argument where they are none."""
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach()
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numbers, got {type(value).__name__}: {error}") from error


def per_dimension(name: str, value: object, dim: int) -> np.ndarray:
    """A number, or one per dimension, as an array (dim,); a ValueError that names the argument where it is neither."""
    array = check_array(name, value)
    if array.ndim > 1 or array.size not in (1, dim) or dim == 0:
        raise ValueError(f"{name} must be a number or one per dimension ({dim}), not of shape {array.shape}")
    return np.broadcast_to(array.reshape(-1), (dim,)).copy()


class Grid:
    """
    Nodes on a box. A next state x becomes a law on the 4 nodes around it (4^d in d dimensions), with the values of the cubic
    B-spline as probabilities: positive, summing to one, with mean x, and twice differentiable in x. The controlled process
    on the nodes is then a finite MDP whose cost is differentiable in the actions.

    A node's law has variance h²/3 (h is the spacing), which :meth:`noise_kernel` takes off the noise. Indices past an edge
    are mirrored, so that weights have no kink where a state is clamped.

    :param low: lower corner, a number (one dimension) or one per dimension
    :param high: upper corner
    :param cells: number of nodes, at least 4, per dimension or the same for all
    :param periodic: dimensions whose ``high`` is the same point as ``low``: a flag, or one per dimension; None: those that are
        exactly 2π wide are angles, the others are not
    :raises ValueError: on shapes that disagree, non-finite corners, ``low >= high``, fewer than 4 cells

    Example:
        >>> from sb3_wasserstein.flow import Grid
        >>> grid = Grid(low=[-1, -2], high=[1, 2], cells=(11, 21))
        >>> grid.nodes.shape
        torch.Size([231, 2])
    """

    def __init__(
        self,
        low: float | Sequence[float] | np.ndarray,
        high: float | Sequence[float] | np.ndarray,
        cells: int | Sequence[int],
        *,
        periodic: bool | Sequence[bool] | None = None,
    ) -> None:
        self.dim = max(np.size(low), np.size(high), np.size(cells))
        self.low = per_dimension("low", low, self.dim)
        self.high = per_dimension("high", high, self.dim)
        counts = per_dimension("cells", cells, self.dim)
        if (self.low >= self.high).any():
            raise ValueError(f"low must lie below high, got low={self.low.tolist()} and high={self.high.tolist()}")
        if (counts != counts.round()).any() or not ((counts >= 4) & (counts < 2**63)).all():
            raise ValueError(f"cells must be whole numbers of at least 4 (the reach of a cubic B-spline), got {cells!r}")
        self.cells: tuple[int, ...] = tuple(int(count) for count in counts)
        flags = per_dimension("periodic", self.full_turns() if periodic is None else periodic, self.dim)
        if not np.isin(flags, (0, 1)).all():
            raise ValueError(f"periodic must be True or False, or one of them per dimension; got {periodic!r}")
        self.periodic: tuple[bool, ...] = tuple(bool(flag) for flag in flags)
        intervals = np.array([n if wrap else n - 1 for n, wrap in zip(self.cells, self.periodic, strict=True)], dtype=float)
        self.spacing = (self.high - self.low) / intervals
        self.size = math.prod(self.cells)

    def __repr__(self) -> str:
        wrap = f", periodic={self.periodic}" if any(self.periodic) else ""
        return f"Grid({self.low.tolist()}, {self.high.tolist()}, {self.cells}{wrap})"

    def full_turns(self) -> tuple[bool, ...]:
        """Which dimensions are exactly 2π wide."""
        return tuple(bool(abs(width - 2 * np.pi) < 1e-6) for width in self.high - self.low)

    @property
    def centre(self) -> int:
        """The index of the node in the middle."""
        return int(np.ravel_multi_index([n // 2 for n in self.cells], self.cells))

    @cached_property
    def nodes(self) -> torch.Tensor:
        """The states of the nodes, (size, d), the last dimension fastest."""
        starts = zip(self.low, self.spacing, self.cells, strict=True)
        axes = [torch.as_tensor(low + step * np.arange(n), dtype=torch.float64) for low, step, n in starts]
        return torch.cartesian_prod(*axes).reshape(self.size, self.dim)

    def _fold(self, index: torch.Tensor, axis: int) -> torch.Tensor:
        """Indices past an edge: around a periodic axis, mirrored on another."""
        n = self.cells[axis]
        if self.periodic[axis]:
            return index % n
        index = index % (2 * (n - 1))
        return torch.where(index > n - 1, 2 * (n - 1) - index, index)

    def _product(
        self, points: torch.Tensor, first: int, basis: Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The tensor product of the laws along each axis.

        :param points: (B, d)
        :param first: the first node of a law, counted from the node to the left of the point
        :param basis: from how far a point lies behind that node and before the next one, in spacings, to the probabilities
        """
        indices = torch.zeros(len(points), 1, dtype=torch.long)
        weights = torch.ones(len(points), 1, dtype=points.dtype)
        for axis, n in enumerate(self.cells):
            u = (points[:, axis] - self.low[axis]) / self.spacing[axis]
            u = u if self.periodic[axis] else u.clamp(0, n - 1)
            left = torch.floor(u.detach())
            left = left if self.periodic[axis] else left.clamp(max=n - 2)
            factors = torch.stack(basis(u - left, 1 - (u - left)), dim=1)
            nodes = self._fold(left.long()[:, None] + torch.arange(first, first + factors.shape[1]), axis)
            indices = (indices[:, :, None] * n + nodes[:, None, :]).flatten(1)
            weights = (weights[:, :, None] * factors[:, None, :]).flatten(1)
        return indices, weights

    def weights(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The cubic B-spline law of each point. Points outside are clamped to the box.

        :param points: (B, d)
        :return: node indices and probabilities, both (B, 4^d); the probabilities carry the gradient
        """

        def spline(t: torch.Tensor, r: torch.Tensor) -> list[torch.Tensor]:
            return [r**3 / 6, (4 - 3 * t**2 * (1 + r)) / 6, (4 - 3 * r**2 * (1 + t)) / 6, t**3 / 6]

        return self._product(points, -1, spline)

    def linear_weights(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The multilinear interpolation weights of each point on its 2^d corners, as :meth:`weights`."""
        return self._product(points, 0, lambda t, r: [r, t])

    def noise_kernel(self, std: float, axis: int) -> tuple[np.ndarray, float]:
        """
        The discrete Gaussian on whole spacings with variance exactly ``std² − h²/3``: what is left of the noise after the
        B-spline's own variance is taken off.

        :return: the probabilities of −m … m spacings, and the standard deviation that kernel and spline have together:
            ``std``, or h/√3 where the spacing is too coarse for ``std``
        """
        variance = (std / self.spacing[axis]) ** 2 - 1 / 3
        if variance < 1e-12:
            return np.ones(1), max(std, float(self.spacing[axis]) / math.sqrt(3))
        # At 9.1 standard deviations a Gaussian has fallen to 1e-18 of its peak.
        reach = math.ceil(9.1 * math.sqrt(variance) + 3)
        steps = np.arange(-reach, reach + 1)

        def law(theta: float) -> np.ndarray:
            weights = np.exp(-(steps**2) / (2 * theta))
            return np.asarray(weights / weights.sum())

        theta = brentq(lambda theta: law(theta) @ steps**2 - variance, 1e-3, variance + 1, xtol=1e-16, rtol=1e-15)
        return law(theta), std

    def noise_matrix(self, std: float, axis: int) -> np.ndarray:
        """:meth:`noise_kernel` as a transition matrix along one axis, (cells, cells), mirrored at the edges."""
        n = self.cells[axis]
        kernel, _ = self.noise_kernel(std, axis)
        reach = len(kernel) // 2
        targets = self._fold(torch.arange(n)[:, None] + torch.arange(-reach, reach + 1), axis).numpy()
        matrix = np.zeros((n, n))
        np.add.at(matrix, (np.arange(n)[:, None], targets), kernel)
        return matrix
