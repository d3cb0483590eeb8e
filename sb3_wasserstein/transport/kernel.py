"""The absorbed kernel of Sinkhorn's iteration: one pass of exp, then products with vectors only."""

from __future__ import annotations

import math

import numpy as np
import torch

from sb3_wasserstein._numba import compiled_for
from sb3_wasserstein.cloud import Array
from sb3_wasserstein.transport.cost_matrix import Pairs, namespace

#: sums of a kernel's row within which exp needs no offset: what float32 then loses is 1e-16 of the row
LEAST_SUM, MOST_SUM = math.exp(-50.0), math.exp(50.0)
LOG2_E = math.log2(math.e)
#: entries above which a product takes the kernel in blocks: each is then read from memory once, not twice
IN_CACHE = 2**22


class Kernel:
    """
    K_ij = exp(s_j − c_ij / ε − o_i), with the products that Sinkhorn's iteration starts with.

    :param pairs: the costs; what they hold is taken
    :param log_scaling: (m,) s
    :param epsilon: ε in the cost's unit
    :param weights: (n,) p
    """

    def __init__(self, pairs: Pairs, log_scaling: Array, epsilon: float, weights: Array) -> None:
        xp = namespace(weights)
        held = pairs.take()
        self.weights = weights
        self._blocks = list(pairs.blocks())
        self.matrix: Array = pairs.empty(pairs.shape[0]) if held is None else held
        #: (n,) o
        self.offsets: Array = xp.zeros_like(weights)
        #: (n,) K 1
        self.rows: Array = xp.empty_like(weights)
        #: (m,) Kᵀ (p / K 1)
        self.columns: Array = xp.zeros_like(log_scaling)
        compiled = compiled_for(self.matrix)
        # What is held and needs no more passes over it is read once in any case.
        whole = compiled and held is not None and pairs.limit is None
        scratch = None if compiled else pairs.empty(self._blocks[0].stop)
        for rows in [slice(0, len(weights))] if whole else self._blocks:
            block = self.matrix[rows]
            costs = block if scratch is None else scratch[: len(block)]
            if held is None:
                pairs.raw(rows, costs)
            elif scratch is not None:
                costs[...] = block
            if compiled:
                root = pairs.root and pairs.limit is None
                if not root:
                    pairs.finish(costs)
                self.offsets[rows], self.rows[rows], columns = compiled.absorb(
                    costs, root, log_scaling, np.float32(1.0 / epsilon), weights[rows]
                )
            else:
                pairs.finish(costs)
                self.offsets[rows], self.rows[rows] = _absorb(costs, log_scaling, epsilon, block)
                columns = (weights[rows] / self.rows[rows]) @ block
            self.columns += columns

    def products(self, v: Array) -> tuple[Array, Array]:
        """
        What one iteration needs.

        :param v: (m,) scalings
        :return: (n,) K v and (m,) Kᵀ (p / K v)
        """
        compiled = compiled_for(self.matrix)
        if compiled:
            rows, columns = compiled.products(self.matrix, v, self.weights)
            return rows, columns
        if self.matrix.shape[0] * self.matrix.shape[1] <= IN_CACHE or not isinstance(v, np.ndarray):
            rows = self.matrix @ v
            return rows, (self.weights / rows) @ self.matrix
        rows, columns = np.empty_like(self.rows), np.zeros_like(self.columns)
        for part in self._blocks:
            block = self.matrix[part]
            rows[part] = block @ v
            columns += (self.weights[part] / rows[part]) @ block
        return rows, columns


def _absorb(costs: Array, log_scaling: Array, epsilon: float, kernel: Array) -> tuple[Array, Array]:
    """Turn costs, which are overwritten, into rows of the kernel: their offsets, 0 where that is safe, and their sums."""
    ones = namespace(costs).ones_like(log_scaling)
    # torch's exp2 is twice as fast as numpy's exp and four times as its own, and it takes the factor with the difference.
    exponents, out = torch.as_tensor(costs), torch.as_tensor(kernel)
    torch.sub(torch.as_tensor(LOG2_E * log_scaling), exponents, alpha=LOG2_E / epsilon, out=exponents)
    torch.exp2(exponents, out=out)
    with np.errstate(over="ignore"):
        sums = kernel @ ones
    if float(sums.min()) >= LEAST_SUM and float(sums.max()) <= MOST_SUM:
        return 0.0 * sums, sums
    largest = torch.amax(exponents, 1)
    exponents -= largest[:, None]
    torch.exp2(exponents, out=out)
    offsets = largest / LOG2_E
    return (offsets.numpy() if isinstance(costs, np.ndarray) else offsets), kernel @ ones
