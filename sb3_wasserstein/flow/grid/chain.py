"""The Markov chain of a policy on the nodes: values, stationary law and their derivatives from one factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as splinalg


class AxisNoise:
    """The noise on the nodes: the product of one (cells, cells) transition matrix per axis."""

    def __init__(self, matrices: list[np.ndarray]) -> None:
        self._matrices = matrices
        self._noisy = [(axis, one) for axis, one in enumerate(matrices) if not np.array_equal(one, np.eye(len(one)))]
        self._shape = tuple(len(matrix) for matrix in matrices)

    @property
    def reach(self) -> int:
        """Most nodes that one node's noise reaches."""
        return int(np.prod([np.count_nonzero(matrix, axis=1).max() for matrix in self._matrices]))

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Multiplied out, (n, n)."""
        product = sparse.identity(1, format="csr")
        for matrix in self._matrices:
            product = sparse.kron(product, sparse.csr_matrix(matrix), format="csr")
        return sparse.csr_matrix(product)

    def expect(self, values: np.ndarray) -> np.ndarray:
        """N V: what V is worth on average after the noise, (n,)."""
        return self._along_axes(values, 1)

    def spread(self, law: np.ndarray) -> np.ndarray:
        """law N: a law after the noise, (n,)."""
        return self._along_axes(law, 0)

    def _along_axes(self, vector: np.ndarray, contracted: int) -> np.ndarray:
        found = vector.reshape(self._shape)
        for axis, matrix in self._noisy:
            found = np.moveaxis(np.tensordot(matrix, found, axes=(contracted, axis)), 0, axis)
        return np.asarray(found).reshape(-1)


class Transition:
    """P = B N: ``step``, the B-spline laws of the next states (n, n), rows summing to one, then the noise."""

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


@dataclass(frozen=True)
class LinearSolver:
    """
    How the linear systems of a chain are solved: by a sparse LU factorisation, or by GMRES, which needs products with P only.

    Noise along several axes fills P: at 31 × 31 nodes with noise along both, GMRES takes 1.3 s for a whole solve and the
    factorisation 3.7 s. Where P stays sparse the factorisation is 2 to 4 times faster (61 × 61 nodes, noise along no axis).

    :param factorised_nonzeros: a matrix P with more non-zeros than this is left to GMRES
    :param factorised_size: most states of a chain that is factorised after all, where GMRES stalls
    :param residual: largest residual at which a GMRES solution is taken, relative to the right-hand side
    :param restart: probability per step of a uniform restart, for a chain of several closed classes, which has no
        stationary law of its own
    """

    factorised_nonzeros: int = 500_000
    factorised_size: int = 20_000
    residual: float = 1e-12
    restart: float = 1e-8


class Chain:
    """
    The chain of one policy, ergodic (``discount`` None) or discounted. With P the transition matrix and c a cost per state,

    - ergodic: ``(I − P) V = c − J``, ``V[reference] = 0``, ``ρ P = ρ``, by A = (I − P) with the reference's column replaced by
      ones: ``A [V; J] = c`` and ``Aᵀ ρ = e_reference``;
    - discounted: ``V = (I − γP)⁻¹ c``, ``ρ = (1 − γ) μ₀ (I − γP)⁻¹``, ``J = (1 − γ) μ₀·V``.

    :param transition: P
    :param discount: γ in [0, 1), or None
    :param initial: μ₀ (n,), used when discounted
    :param reference: the state where V is 0 when ergodic
    :param linear: how the systems are solved
    """

    def __init__(
        self,
        transition: Transition,
        discount: float | None,
        initial: np.ndarray,
        reference: int,
        linear: LinearSolver = LinearSolver(),
    ) -> None:
        self.transition, self.discount, self.initial = transition, discount, initial
        self.reference, self.linear = reference, linear
        #: whether the chain had several closed classes, so that the answers are those of a chain that restarts
        self.restarted = False
        self._lu: splinalg.SuperLU | None = None
        if min(transition.step.nnz * transition.noise.reach, transition.size**2) <= linear.factorised_nonzeros:
            self._lu = self._factorise()

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
        try:
            lu = splinalg.splu(self._matrix())
            if np.abs(lu.U.diagonal()).min() > 1e-14:
                return lu
        except RuntimeError:
            if self.restarted:
                raise
        # Several closed classes leave J to where the chain starts: the answer is then that of a uniform start.
        n = self.transition.size
        self.restarted, self.discount, self.initial = True, 1 - self.linear.restart, np.full(n, 1 / n)
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
            if residual <= self.linear.residual * scale:
                return np.asarray(solution)
            if n > self.linear.factorised_size:
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

    def spectral_gap(self, iterations: int = 30) -> float:
        """
        The least |1 − λ| over the other eigenvalues λ of P, by power iteration with the inverse that is already there: the
        rate at which the slowest of the chain's parts exchange mass. The estimate is sharp near 0, where it matters.
        """
        if self.restarted:
            # What is left of the gap after a factorisation failed is round-off.
            return 0.0
        rho = self.occupancy()
        vector = np.random.default_rng(0).standard_normal(len(rho))
        growth = 0.0
        for _ in range(iterations):
            vector -= rho @ vector
            vector /= np.linalg.norm(vector)
            following, _ = self.value(vector)
            following -= rho @ following
            growth, previous = float(np.linalg.norm(following)), growth
            vector = following
            if abs(growth - previous) <= 1e-3 * growth:
                break
        return min(1.0, 1.0 / growth)
