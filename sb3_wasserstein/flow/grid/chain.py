"""The Markov chain of a policy on the nodes: values, stationary law and their derivatives from one factorisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as splinalg


class AxisNoise:
    """N, independent noise along each axis: the Kronecker product of one transition matrix (cells, cells) per axis."""

    def __init__(self, matrices: Sequence[np.ndarray]) -> None:
        self.matrices = tuple(matrices)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """The product, (n, n)."""
        product = sparse.csr_matrix(self.matrices[0])
        for matrix in self.matrices[1:]:
            product = sparse.csr_matrix(sparse.kron(product, sparse.csr_matrix(matrix)))
        return product

    def expect(self, values: np.ndarray) -> np.ndarray:
        """N V: the value that is expected after the noise, (n,)."""
        return _along_axes(self.matrices, values)

    def spread(self, law: np.ndarray) -> np.ndarray:
        """law N: the law after the noise, (n,)."""
        return _along_axes([matrix.T for matrix in self.matrices], law)


def _along_axes(matrices: Sequence[np.ndarray], vector: np.ndarray) -> np.ndarray:
    after = vector.size
    for matrix in matrices:
        after //= len(matrix)
        vector = matrix @ vector.reshape(-1, len(matrix), after)
    return vector.reshape(-1)


class Transition:
    """P = B N: ``step``, the B-spline laws of the next states (n, n), rows summing to one, then the noise."""

    def __init__(self, step: sparse.csr_matrix, noise: AxisNoise) -> None:
        self.step, self.noise = step, noise
        self.size: int = step.shape[0]

    @property
    def most_nonzeros(self) -> int:
        """An upper bound of the non-zeros of P."""
        reach = math.prod(int(np.count_nonzero(matrix, axis=1).max()) for matrix in self.noise.matrices)
        return min(int(self.step.nnz) * reach, self.size**2)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """P multiplied out, (n, n)."""
        return sparse.csr_matrix(self.step @ self.noise.matrix)

    def expect(self, values: np.ndarray) -> np.ndarray:
        """P V, (n,)."""
        return np.asarray(self.step @ self.noise.expect(values))

    def spread(self, law: np.ndarray) -> np.ndarray:
        """law P, (n,)."""
        return self.noise.spread(self.step.T @ law)


class Chain:
    """
    The chain of one policy, ergodic (``discount`` None) or discounted. With P the transition matrix and c a cost per state,

    - ergodic: ``(I − P) V = c − J``, ``V[reference] = 0``, ``ρ P = ρ``, by A = (I − P) with the reference's column replaced by
      ones: ``A [V; J] = c`` and ``Aᵀ ρ = e_reference``;
    - discounted: ``V = (I − γP)⁻¹ c``, ``ρ = (1 − γ) μ₀ (I − γP)⁻¹``, ``J = (1 − γ) μ₀·V``.

    Noise along several axes fills P: at 31 × 31 nodes with noise along both, a whole solve takes 1.3 s by GMRES, which needs
    products with P only, and 3.7 s by a sparse LU factorisation. Where P stays sparse the factorisation is 2 to 4 times
    faster (61 × 61 nodes, noise along no axis).

    :param transition: P
    :param discount: γ in [0, 1), or None
    :param initial: μ₀ (n,), used when discounted
    :param reference: the state where V is 0 when ergodic
    :param factorised_nonzeros: a matrix P with more non-zeros than this is left to GMRES
    """

    def __init__(
        self, transition: Transition, discount: float | None, initial: np.ndarray, reference: int, factorised_nonzeros: int
    ) -> None:
        self.transition, self.discount, self.initial, self.reference = transition, discount, initial, reference
        #: whether the chain had several closed classes, so that the answers are those of a chain that restarts
        self.restarted = False
        self._lu = self._factorise() if transition.most_nonzeros <= factorised_nonzeros else None

    def _matrix(self) -> sparse.csc_matrix:
        """I − γP, or A when ergodic."""
        n = self.transition.size
        gamma = 1.0 if self.discount is None else self.discount
        matrix = (sparse.identity(n, format="csr") - gamma * self.transition.matrix).tocsc()
        if self.discount is None:
            ones = sparse.csc_matrix(np.ones((n, 1)))
            matrix = sparse.hstack([matrix[:, : self.reference], ones, matrix[:, self.reference + 1 :]], format="csc")
        return sparse.csc_matrix(matrix)

    def _factorise(self) -> splinalg.SuperLU:
        with suppress(RuntimeError):  # an exactly singular matrix
            lu = splinalg.splu(self._matrix())
            if np.abs(lu.U.diagonal()).min() > 1e-14:
                return lu
        # Several closed classes leave J to where the chain starts: a rare restart makes the answer that of a uniform start.
        n = self.transition.size
        self.restarted, self.discount, self.initial = True, 1 - 1e-8, np.full(n, 1 / n)
        return splinalg.splu(self._matrix())

    def _apply(self, x: np.ndarray, transposed: bool) -> np.ndarray:
        """(I − γP) V, or A [V; J] when ergodic; or the transposed matrix's product."""
        product = self.transition.spread if transposed else self.transition.expect
        if self.discount is not None:
            return np.asarray(x - self.discount * product(x))
        if transposed:
            y = x - product(x)
            y[self.reference] = x.sum()
            return np.asarray(y)
        V = x.copy()
        V[self.reference] = 0.0
        return np.asarray(V - product(V) + x[self.reference])

    def _solve(self, right: np.ndarray, transposed: bool = False) -> np.ndarray:
        if self._lu is None:
            n = len(right)
            operator = splinalg.LinearOperator((n, n), matvec=lambda x: self._apply(x, transposed), dtype=np.float64)
            solution, _ = splinalg.gmres(operator, right, rtol=1e-14, restart=150, maxiter=3)
            # A solution a thousand times its right-hand side carries that much more round-off.
            scale = max(float(np.abs(right).max()), 1e-3 * float(np.abs(solution).max()))
            residual = float(np.abs(self._apply(solution, transposed) - right).max())
            if residual <= 1e-12 * scale:
                return np.asarray(solution)
            # A factorisation of more states than this would take minutes, and gigabytes.
            if n > 20_000:
                raise ArithmeticError(
                    f"GMRES did not converge on this policy's chain of {n:,} states (residual {residual:.1e}): "
                    "it mixes too slowly. Use a discount, more noise, or fewer cells"
                )
            self._lu = self._factorise()
        return np.asarray(self._lu.solve(right, "T" if transposed else "N"))  # type: ignore[call-overload]

    def value(self, cost: np.ndarray) -> tuple[np.ndarray, float]:
        """V (n,) and J of a cost per state c_π (n,)."""
        solution = self._solve(cost)
        if self.discount is None:
            J = float(solution[self.reference])
            solution[self.reference] = 0.0
            return solution, J
        J = float((1 - self.discount) * self.initial @ solution)
        return (solution - solution[self.reference] if self.restarted else solution), J

    def occupancy(self) -> np.ndarray:
        """ρ (n,), the stationary law or the discounted occupancy; it sums to one, and round-off below zero is cut."""
        if self.discount is None:
            rho = self._solve(np.eye(1, len(self.initial), self.reference)[0], transposed=True)
        else:
            rho = (1 - self.discount) * self._solve(self.initial, transposed=True)
        rho = np.maximum(rho, 0.0)
        return np.asarray(rho / rho.sum())

    def adjoint(self, row: np.ndarray) -> np.ndarray:
        """The row vector m with ``m·g = row·V'`` for the value V' of every cost g: ρ' where row = ρP', both (n,)."""
        if self.discount is None:
            row = row.copy()
            row[self.reference] = 0.0
        return self._solve(row, transposed=True)

    def spectral_gap(self) -> float:
        """
        The least |1 − λ| over the eigenvalues λ of P but one, by power iteration with the inverse that is already there: the
        rate at which the slowest of the chain's parts exchange mass. The estimate is sharp near 0, where it matters.
        """
        if self.restarted:
            return 0.0
        rho = self.occupancy()
        vector = np.random.default_rng(0).standard_normal(len(rho))
        growth = 0.0
        for _ in range(30):
            vector -= rho @ vector
            vector /= np.linalg.norm(vector)
            following, _ = self.value(vector)
            following -= rho @ following
            growth, previous = float(np.linalg.norm(following)), growth
            vector = following
            if abs(growth - previous) <= 1e-3 * growth:
                break
        return min(1.0, 1.0 / growth)
