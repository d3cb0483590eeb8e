"""Functions Σ α_i κ(·, x_i) of a Gaussian RKHS: the one that grows with each sample, and the one that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sb3_wasserstein._validation import check_positive
from sb3_wasserstein.cloud import Floats, saved


def gaussian(x: Floats, centres: Floats, bandwidth: float) -> Floats:
    """κ(x, y) = exp(−|x − y|² / (2 σ²)), (n, m)."""
    from scipy.spatial.distance import cdist

    squares = cdist(x, centres, "sqeuclidean")
    squares *= -0.5 / bandwidth**2
    return np.asarray(np.exp(squares, out=squares))


class GrowingExpansion:
    """Every sample is a centre, as Abdullah et al. 2018, Alg. 1, has it: step k costs O(k), the memory is O(k)."""

    def __init__(self, dim: int, bandwidth: float) -> None:
        self.bandwidth = bandwidth
        self._count = 0
        self._centres: Floats = np.empty((16, dim))
        self._coefficients: Floats = np.empty(16)
        self._values: Floats = np.empty(16)

    def __call__(self, x: Floats) -> Floats:
        if not self._count:
            return np.zeros(len(x))
        return np.asarray(gaussian(x, self._centres[: self._count], self.bandwidth) @ self._coefficients[: self._count])

    def mean(self) -> float:
        """The mean of the function over its samples."""
        return float(self._values[: self._count].mean())

    def kernel_row(self, point: Floats) -> Floats:
        """(k,) κ of one point with all centres: evaluation and the later update share it."""
        return np.asarray(gaussian(point[None], self._centres[: self._count], self.bandwidth)[0])

    def evaluate(self, row: Floats) -> float:
        return float(row @ self._coefficients[: self._count])

    def add(self, point: Floats, row: Floats, value: float, coefficient: float) -> None:
        """Append a bump at a point where the function was ``value``."""
        n = self._count
        if n == len(self._coefficients):
            self._centres = np.concatenate([self._centres, np.empty_like(self._centres)])
            self._coefficients = np.concatenate([self._coefficients, np.empty(n)])
            self._values = np.concatenate([self._values, np.empty(n)])
        self._values[:n] += coefficient * row
        self._values[n] = value + coefficient
        self._centres[n] = point
        self._coefficients[n] = coefficient
        self._count = n + 1

    def state(self) -> dict[str, Any]:
        arrays = {"centres": self._centres, "coefficients": self._coefficients, "values": self._values}
        return {**{name: torch.tensor(array[: self._count]) for name, array in arrays.items()}, "bandwidth": self.bandwidth}

    @classmethod
    def from_state(cls, state: dict[str, Any], dim: int) -> GrowingExpansion:
        expansion = cls(dim, check_positive("bandwidth", state["bandwidth"]))
        centres = saved(state, "centres", None, dim)
        expansion._count = len(centres)
        if expansion._count:
            expansion._centres = centres
            expansion._coefficients, expansion._values = (
                saved(state, name, len(centres)) for name in ("coefficients", "values")
            )
        return expansion


class BoundedExpansion:
    """
    At most ``budget`` centres (Nyström). A step is a regression on the batch, in the metric of the samples' second moment with
    a ridge in the RKHS norm: β += (E[κκᵀ] + δ K)⁻¹ E[κ r]. Samples that no centre reaches become centres, in the place of the
    least used, whose function is first projected on the others. Cost and memory per sample are constant. Second moments and
    means are taken over the last 1024 samples; a centre reaches a point where κ is at least a half.
    """

    def __init__(self, dim: int, bandwidth: float, budget: int) -> None:
        self.bandwidth = bandwidth
        self.budget = budget
        self.centres: Floats = np.empty((0, dim))
        self.coefficients: Floats = np.empty(0)
        #: the kernel is κ + 1: a level far from zero would else be the sum of all bumps, and end where they end
        self.level = 0.0
        self._recent: Floats = np.empty((0, dim))
        self._usage: Floats = np.empty(0)
        self._mean: Floats | None = None
        self._factor: Any = None
        self._steps_left = 0

    def __call__(self, x: Floats) -> Floats:
        return self.at(self.features(x))

    def at(self, features: Floats) -> Floats:
        """(n,) the function, from its points' features."""
        return np.asarray(self.level + features @ self.coefficients)

    def features(self, x: Floats) -> Floats:
        """(n, m) κ of points with the centres."""
        return gaussian(x, self.centres, self.bandwidth)

    def mean(self) -> float:
        """The mean of the function over the most recent samples."""
        if self._mean is None:
            self._mean = self.features(self._recent).mean(axis=0)
        return self.level + float(self._mean @ self.coefficients)

    def take_in(self, x: Floats) -> None:
        """Remember samples, and make centres of those that the centres do not reach, or of all while there is room."""
        self._recent = np.concatenate([self._recent, x])[-1024:]
        room = self.budget - len(self.centres)
        if room > 0:
            self._add(x[:room])
            x = x[room:]
        if len(x):
            for point in x[self.features(x).max(axis=1) < 0.5]:
                # The point before may have been next to this one.
                if self.features(point[None]).max() < 0.5:
                    self._drop()
                    self._add(point[None])

    def step(self, features: Floats, residuals: Floats) -> None:
        """
        Move the function towards ``residuals`` at the samples.

        :param features: (n, m) κ of samples and centres
        :param residuals: (n,) the wanted change
        """
        if self._factor is None or self._steps_left <= 0:
            self._refactor()
        self._steps_left -= len(residuals)
        level = float(residuals.mean())
        self.level += level
        from scipy.linalg import cho_solve

        change = cho_solve(self._factor, (residuals - level) @ features / len(residuals), check_finite=False)
        self.coefficients = self.coefficients + change

    def _refactor(self) -> None:
        recent = self.features(self._recent)
        kernel = self.features(self.centres)
        n = len(kernel)
        moment = recent.T @ recent / len(recent)
        # κ(x, x) = 1: the mean eigenvalue in the whitened basis is 1 / n; a ridge of less than 0.03 of it follows the noise of
        # a batch. The millionth keeps the factorisation positive where centres nearly coincide.
        from scipy.linalg import cho_factor

        self._factor = cho_factor(moment + 0.03 / n * (kernel + 1e-6 * np.eye(n)), check_finite=False)
        self._usage, self._mean = moment.diagonal().copy(), None
        self._steps_left = self.budget

    def _add(self, points: Floats) -> None:
        self.centres = np.concatenate([self.centres, points])
        self.coefficients = np.append(self.coefficients, np.zeros(len(points)))
        # A new centre is not the next to go.
        self._usage = np.append(self._usage, np.full(len(points), np.inf))
        self._factor = self._mean = None

    def _drop(self) -> None:
        """Project the least used centre's function on the others, and let the centre go."""
        least = int(self._usage.argmin())
        kept = np.arange(len(self.centres)) != least
        kernel = gaussian(self.centres[kept], self.centres, self.bandwidth)
        if kept.any():
            shares = np.linalg.solve(kernel[:, kept] + 1e-6 * np.eye(len(kernel)), kernel[:, least])
            self.coefficients = self.coefficients[kept] + self.coefficients[least] * shares
        else:
            self.coefficients = self.coefficients[kept]
        self.centres, self._usage = self.centres[kept], self._usage[kept]
        self._factor = self._mean = None

    def state(self) -> dict[str, Any]:
        # The factor and its age are part of the state: a loaded dual takes the same steps to the bit.
        factor = None if self._factor is None else {"matrix": torch.tensor(self._factor[0]), "lower": bool(self._factor[1])}
        arrays = {"centres": self.centres, "coefficients": self.coefficients, "recent": self._recent, "usage": self._usage}
        return {
            **{name: torch.tensor(array) for name, array in arrays.items()},
            "bandwidth": self.bandwidth,
            "budget": self.budget,
            "level": self.level,
            "factor": factor,
            "steps_left": self._steps_left,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], dim: int) -> BoundedExpansion:
        expansion = cls(dim, check_positive("bandwidth", state["bandwidth"]), int(state["budget"]))
        expansion.centres, expansion._recent = (saved(state, name, None, dim) for name in ("centres", "recent"))
        n = len(expansion.centres)
        expansion.coefficients, expansion._usage = (saved(state, name, n) for name in ("coefficients", "usage"))
        expansion._steps_left, expansion.level = int(state["steps_left"]), float(state["level"])
        factor = state["factor"]
        if factor is not None:
            expansion._factor = (np.asfortranarray(saved(factor, "matrix", n, n)), bool(factor["lower"]))
        return expansion
