"""Costs in blocks and the kernel that they turn into, against the formula in float64; with numpy's loops and numba's."""

import sys
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sb3_wasserstein import _numba
from sb3_wasserstein.cloud import FLOAT32
from sb3_wasserstein.duals import GroundCost, SaturatingCost, SinkhornDual
from sb3_wasserstein.transport.cost_matrix import EuclideanPairs, absorb
from sb3_wasserstein.transport.costs import Cost, median_of


def clouds(n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + m + d)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock", SaturatingCost()])
@pytest.mark.parametrize(("n", "m", "d"), [(1, 5, 2), (37, 70, 3), (300, 129, 9), (1200, 300, 40)])
def test_costs_made_in_blocks_are_scipys(cost: Cost, n: int, m: int, d: int) -> None:
    x, y = clouds(n, m, d)
    ground_cost = GroundCost(cost)
    measured, scale = ground_cost.measured_pairs(x, y, FLOAT32)
    base = cdist(x, y, "euclidean" if isinstance(cost, SaturatingCost) else cost)
    assert ground_cost.base_median == pytest.approx(np.median(base), rel=1e-6)
    costs = scale / (1 - np.exp(-1)) * -np.expm1(-base / np.median(base)) if isinstance(cost, SaturatingCost) else base
    for pairs in (measured, ground_cost.pairs(x, y, FLOAT32)):
        unit = pairs.unit
        np.testing.assert_allclose(unit * pairs.matrix(), costs, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(unit * pairs.transposed().matrix(), costs.T, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(unit * pairs.thinned(3, 2).matrix(), costs[::3, ::2], rtol=2e-5, atol=2e-6)
        assert costs.max() <= 1.0001 * unit * pairs.bound()


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("epsilon", [10.0, 0.5, 0.02])
@pytest.mark.parametrize("level", [0.0, 3000.0, -3000.0])
def test_the_kernel_and_its_rows(epsilon: float, level: float) -> None:
    x, y = clouds(150, 90, 3)
    costs = cdist(x, y)
    log_scaling = np.random.default_rng(0).normal(size=90).astype(np.float32) + np.float32(level)
    block = costs.astype(np.float32)
    offsets = absorb(block, log_scaling, epsilon)
    sums = block.sum(1)
    exponents = log_scaling.astype(float) - costs / epsilon
    rows = np.log(np.exp(exponents - exponents.max(1, keepdims=True)).sum(1)) + exponents.max(1)
    rounding = 3e-7 * np.abs(exponents).max()
    np.testing.assert_allclose(np.log(sums) + offsets, rows, atol=1e-5 + rounding, rtol=0)
    np.testing.assert_allclose(block / sums[:, None], np.exp(exponents - rows[:, None]), atol=1e-5 + rounding)


@pytest.mark.usefixtures("loops")
def test_a_point_that_is_left_out_is_at_no_finite_cost_from_itself() -> None:
    x, _ = clouds(700, 1, 3)
    pairs = GroundCost().pairs(x, x, FLOAT32)
    pairs.left_out = np.arange(700), np.arange(700)
    costs, own = pairs.unit * pairs.matrix(), np.eye(700, dtype=bool)
    np.testing.assert_allclose(costs[~own], cdist(x, x)[~own], atol=1e-5)
    kernel = pairs.matrix()
    absorb(kernel, np.zeros(700, np.float32), 0.1)
    assert (kernel[own] < 1e-29).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (300, 400), (1200, 1000)])
def test_median_is_numpys_up_to_all_pairs(shape: tuple[int, int], dtype: type) -> None:
    values: Any = np.random.default_rng(0).gamma(2.0, size=shape).astype(dtype)
    exact = values.size <= 2**20
    assert median_of(values) == pytest.approx(float(np.median(values)), rel=1e-6 if exact else 2e-2)
    assert median_of(np.round(values)) == np.median(np.round(values))


@pytest.mark.parametrize(("d", "epsilon"), [(2, 0.1), (2, 0.01), (16, 0.01)])
def test_a_whole_update_is_the_same_either_way(monkeypatch: pytest.MonkeyPatch, d: int, epsilon: float) -> None:
    pytest.importorskip("numba")
    x, y = clouds(300, 280, d)
    compiled = SinkhornDual(epsilon=epsilon, tol=1e-4)
    compiled.update(x, y)
    monkeypatch.setattr(_numba, "_compiled", lambda *_: None)
    plain = SinkhornDual(epsilon=epsilon, tol=1e-4)
    plain.update(x, y)
    assert compiled.scale == pytest.approx(plain.scale, rel=1e-6)
    assert compiled.distance == pytest.approx(plain.distance, rel=1e-4)
    assert np.std(compiled.potential(x) - plain.potential(x)) <= 0.03 * np.std(plain.potential(x))


def test_without_numba_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "sb3_wasserstein.transport._kernels", raising=False)
    _numba._compiled.cache_clear()
    try:
        assert _numba.compiled_for(np.zeros(2**20, np.float32)) is None
        dual = SinkhornDual()
        dual.update(*clouds(200, 200, 3))
        assert dual.residual <= 1e-3
    finally:
        _numba._compiled.cache_clear()


@pytest.mark.parametrize("dim", [2, 6])
def test_a_block_is_the_same_whatever_was_computed_before(dim: int) -> None:
    """The last block is too small for compiled loops, where there are any, and the first ones are computed again after it."""
    x, y = np.random.default_rng(0).normal(scale=0.2, size=(2, 1000, dim)).astype(np.float32)
    pairs = EuclideanPairs(x[:527], y, False, FLOAT32)
    blocks = list(pairs.blocks(2**18))
    assert [rows.stop - rows.start for rows in blocks] == [262, 262, 3]
    for _ in range(2):
        for rows in blocks:
            found = pairs.fill(rows, np.empty((rows.stop - rows.start, 1000), np.float32))
            np.testing.assert_allclose(found, cdist(x[rows], y), atol=1e-5)
