"""The linear algebra of a Markov chain with costs: one factorisation serves values, stationary law and derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg as dense
import scipy.sparse as sparse
import scipy.sparse.linalg as splinalg

from sb3_wasserstein.flow.transition import Transition

# Up to here, or with this many non-zeros a row on the way to the next limit, a dense factorisation is the fastest.
_DENSE_SIZE, _DENSE_SHARE, _DENSE_LIMIT = 600, 0.04, 2_000
# From here on GMRES beats a sparse factorisation, which fills in. Where it stalls, up to the limit, the factorisation is
# made after all.
KRYLOV_SIZE, _FACTOR_LIMIT = 3_000, 20_000
# A GMRES solution is taken at this residual, relative to the right-hand side, or at round-off of the solution.
_GMRES_RESIDUAL, _GMRES_FLOOR = 1e-12, 1e-3
# A chain with several closed classes has no stationary law of its own: it restarts uniformly with this probability.
_RESTART = 1e-8


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
    """

    def __init__(self, transition: Transition, discount: float | None, initial: np.ndarray, reference: int) -> None:
        self.transition = transition
        self.discount = discount
        self.initial = initial
        self.reference = reference
        self.restarted = False
        # Multiplied out, noise along several axes fills the matrix: GMRES needs its action only.
        self._krylov = transition.size > (_DENSE_SIZE if transition.noise.axes > 1 else KRYLOV_SIZE)
        if not self._krylov:
            self._factorise()

    def _apply(self, x: np.ndarray) -> np.ndarray:
        """(I − γP) V, or A [V; J] when ergodic."""
        if self.discount is not None:
            return np.asarray(x - self.discount * self.transition.expect(x))
        V = x.copy()
        V[self.reference] = 0.0
        return np.asarray(V - self.transition.expect(V) + x[self.reference])

    def _apply_transposed(self, x: np.ndarray) -> np.ndarray:
        if self.discount is not None:
            return np.asarray(x - self.discount * self.transition.spread(x))
        y = x - self.transition.spread(x)
        y[self.reference] = x.sum()
        return np.asarray(y)

    def _matrix(self) -> sparse.csc_matrix:
        """I − γP, or A when ergodic."""
        n = self.transition.size
        gamma = 1.0 if self.discount is None else self.discount
        matrix = (sparse.identity(n, format="csr") - gamma * self.transition.matrix).tocsc()
        if self.discount is None:
            ones = sparse.csc_matrix(np.ones((n, 1)))
            matrix = sparse.hstack([matrix[:, : self.reference], ones, matrix[:, self.reference + 1 :]], format="csc")
        return sparse.csc_matrix(matrix)

    def _factorise(self) -> None:
        if not self._regular():
            # Several closed classes leave J to where the chain starts: the answer is then that of a uniform start.
            n = self.transition.size
            self.restarted, self.discount, self.initial = True, 1 - _RESTART, np.full(n, 1 / n)
            self._regular()

    def _regular(self) -> bool:
        """Factorise, and say whether the matrix was regular."""
        n = self.transition.size
        self._dense = n <= _DENSE_SIZE or (n <= _DENSE_LIMIT and self.transition.matrix.nnz > _DENSE_SHARE * n * n)
        if self._dense:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dense.LinAlgWarning)
                self._lu = dense.lu_factor(self._matrix().toarray(), check_finite=False)
            return bool(np.abs(np.diagonal(self._lu[0])).min() > 1e-14)
        try:
            self._splu = splinalg.splu(self._matrix())
        except RuntimeError:
            return False
        return bool(np.abs(self._splu.U.diagonal()).min() > 1e-14)

    def _solve(self, right: np.ndarray, transposed: bool = False) -> np.ndarray:
        if self._krylov:
            n = len(right)
            apply = self._apply_transposed if transposed else self._apply
            operator = splinalg.LinearOperator((n, n), matvec=apply, dtype=np.float64)
            solution, _ = splinalg.gmres(operator, right, rtol=1e-14, restart=150, maxiter=3)
            scale = max(float(np.abs(right).max()), float(np.abs(solution).max()) * _GMRES_FLOOR)
            residual = float(np.abs(apply(solution) - right).max())
            if residual <= _GMRES_RESIDUAL * scale:
                return np.asarray(solution)
            if n > _FACTOR_LIMIT:
                raise ArithmeticError(
                    f"GMRES did not converge on this policy's chain of {n:,} states (residual {residual:.1e}): "
                    "it mixes too slowly. Use a discount, more noise, or fewer cells"
                )
            self._krylov = False
            self._factorise()
        if self._dense:
            return np.asarray(dense.lu_solve(self._lu, right, trans=1 if transposed else 0, check_finite=False))
        return np.asarray(self._splu.solve(right, "T" if transposed else "N"))  # type: ignore[call-overload]

    def value(self, cost: np.ndarray) -> tuple[np.ndarray, float]:
        """
        V and J of a cost per state.

        :param cost: c_π (n,)
        """
        solution = self._solve(cost)
        if self.discount is None:
            J = float(solution[self.reference])
            solution[self.reference] = 0.0
            return solution, J
        J = float((1 - self.discount) * self.initial @ solution)
        return (solution - solution[self.reference] if self.restarted else solution), J

    def occupancy(self) -> np.ndarray:
        """ρ (n,), the stationary law or the discounted occupancy; sums to one, and round-off below zero is cut."""
        if self.discount is None:
            rho = self._solve(np.eye(1, len(self.initial), self.reference)[0], transposed=True)
        else:
            rho = (1 - self.discount) * self._solve(self.initial, transposed=True)
        rho = np.maximum(rho, 0.0)
        return np.asarray(rho / rho.sum())

    def adjoint(self, row: np.ndarray) -> np.ndarray:
        """
        The row vector m with ``m·g = row·V'`` for the value V' of every cost g: ρ' where row = ρP'.

        :param row: (n,)
        """
        if self.discount is None:
            row = row.copy()
            row[self.reference] = 0.0
        return self._solve(row, transposed=True)

    def spectral_gap(self, iterations: int = 30) -> float:
        """
        The least |1 − λ| over the other eigenvalues λ of P, by power iteration with the inverse that is already there: the
        rate at which the slowest of the chain's parts exchange mass. Sharp near 0, where it matters.
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
