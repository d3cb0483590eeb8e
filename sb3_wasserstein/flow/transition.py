"""The transition matrix of a policy: a sparse step of the dynamics, then noise along one axis at a time."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sparse


class AxisNoise:
    """
    The noise on the nodes: the product of one small matrix per axis.

    :param matrices: one (cells, cells) transition matrix per axis
    """

    def __init__(self, matrices: list[np.ndarray]) -> None:
        self._axes = [
            (axis, matrix) for axis, matrix in enumerate(matrices) if not np.array_equal(matrix, np.eye(len(matrix)))
        ]
        self._matrices = matrices
        self._shape = tuple(len(matrix) for matrix in matrices)

    @property
    def axes(self) -> int:
        """Along how many axes there is any."""
        return len(self._axes)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Multiplied out, (n, n)."""
        product = sparse.identity(1, format="csr")
        for matrix in self._matrices:
            product = sparse.kron(product, sparse.csr_matrix(matrix), format="csr")
        return sparse.csr_matrix(product)

    def expect(self, values: np.ndarray) -> np.ndarray:
        """N V: what V is worth on average after the noise, (n,)."""
        found = values.reshape(self._shape)
        for axis, matrix in self._axes:
            found = np.moveaxis(np.tensordot(matrix, found, axes=(1, axis)), 0, axis)
        return np.asarray(found).reshape(-1)

    def spread(self, law: np.ndarray) -> np.ndarray:
        """law N: a law after the noise, (n,)."""
        found = law.reshape(self._shape)
        for axis, matrix in self._axes:
            found = np.moveaxis(np.tensordot(matrix, found, axes=(0, axis)), 0, axis)
        return np.asarray(found).reshape(-1)


class Transition:
    """
    P = B N: the B-spline laws of the next states, then the noise.

    :param step: B (n, n), rows summing to one
    :param noise: N
    """

    def __init__(self, step: sparse.csr_matrix, noise: AxisNoise) -> None:
        self.step, self.noise = step, noise
        self.size: int = step.shape[0]

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Multiplied out, (n, n)."""
        return sparse.csr_matrix(self.step @ self.noise.matrix)

    @cached_property
    def _transposed(self) -> sparse.csr_matrix:
        return self.step.T.tocsr()

    def expect(self, values: np.ndarray) -> np.ndarray:
        """P V, (n,)."""
        return np.asarray(self.step @ self.noise.expect(values))

    def spread(self, law: np.ndarray) -> np.ndarray:
        """law P, (n,)."""
        return self.noise.spread(self._transposed @ law)
