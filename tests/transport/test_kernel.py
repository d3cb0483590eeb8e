"""The absorbed kernel against float64 by the formula, with numpy's loops and with numba's."""

import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sb3_wasserstein import _numba as extra
from sb3_wasserstein.cloud import Kind
from sb3_wasserstein.duals import GroundCost, SaturatingCost, SinkhornDual
from sb3_wasserstein.transport.kernel import Kernel
from sb3_wasserstein.transport.median import median_of

FLOAT32 = Kind("float32")


def clouds(n, m, d):
    rng = np.random.default_rng(n + m + d)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock", SaturatingCost()])
@pytest.mark.parametrize(("n", "m", "d"), [(1, 5, 2), (37, 70, 3), (300, 129, 9), (120, 300, 40)])
def test_costs_made_in_blocks_are_scipys(loops, cost, n, m, d):
    x, y = clouds(n, m, d)
    ground_cost = GroundCost(cost)
    pairs = ground_cost.pairs(x, y, FLOAT32)
    base = cdist(x, y, "euclidean" if isinstance(cost, SaturatingCost) else cost)
    scale = ground_cost.measure_pairs(pairs)
    assert ground_cost.base_median == pytest.approx(np.median(base), rel=1e-6)
    costs = scale / (1 - np.exp(-1)) * -np.expm1(-base / np.median(base)) if isinstance(cost, SaturatingCost) else base
    np.testing.assert_allclose(pairs.matrix(), costs, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(pairs.transposed().matrix(), costs.T, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(pairs.thinned(3, 2).matrix(), costs[::3, ::2], rtol=2e-5, atol=2e-6)
    assert costs.max() <= 1.0001 * pairs.bound()
    assert pairs.largest() == pytest.approx(costs.max(), rel=1e-5)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock"])
@pytest.mark.parametrize("epsilon", [10.0, 0.5, 0.02])
@pytest.mark.parametrize("level", [0.0, 3000.0, -3000.0])
def test_kernel_rows_and_columns(loops, cost, epsilon, level, held):
    x, y = clouds(150, 90, 3)
    pairs = GroundCost(cost).pairs(x, y, FLOAT32)
    if held:
        pairs.hold()
    rng = np.random.default_rng(0)
    log_scaling = rng.normal(size=90).astype(np.float32) + np.float32(level)
    p = rng.random(150)
    kernel = Kernel(pairs, log_scaling, epsilon, p.astype(np.float32))
    exponents = log_scaling.astype(float) - cdist(x, y, cost) / epsilon
    rows = np.log(np.exp(exponents - exponents.max(1, keepdims=True)).sum(1)) + exponents.max(1)
    rounding = 3e-7 * np.abs(exponents).max()
    np.testing.assert_allclose(np.log(kernel.rows) + kernel.offsets, rows, atol=1e-5 + rounding, rtol=0)
    plan = np.exp(exponents - rows[:, None])
    np.testing.assert_allclose(kernel.matrix / kernel.rows[:, None], plan, atol=1e-5 + rounding)
    np.testing.assert_allclose(kernel.columns, p @ plan, rtol=1e-4 + 10 * rounding, atol=1e-6)
    v = rng.random(90)
    again, columns = kernel.products(v.astype(np.float32))
    np.testing.assert_allclose(again / kernel.rows, plan @ v, rtol=1e-4 + 10 * rounding)
    np.testing.assert_allclose(columns, (p / (plan @ v)) @ plan, rtol=1e-4 + 10 * rounding, atol=1e-6)


def test_products_of_a_kernel_larger_than_the_cache(loops, monkeypatch):
    from sb3_wasserstein.transport import cost_matrix as pairs_module
    from sb3_wasserstein.transport import kernel as module

    x, y = clouds(100, 60, 3)
    p, v = np.full(100, 0.01, np.float32), np.linspace(0.5, 2, 60).astype(np.float32)
    whole = Kernel(GroundCost().pairs(x, y, FLOAT32), np.zeros(60, np.float32), 1.0, p)
    monkeypatch.setattr(module, "IN_CACHE", 1)
    monkeypatch.setattr(pairs_module, "BLOCK", 420)
    blocks = Kernel(GroundCost().pairs(x, y, FLOAT32), np.zeros(60, np.float32), 1.0, p)
    for ours, theirs in zip(blocks.products(v), whole.products(v), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("shape", [(100, 90), (300, 400), (1200, 1000)])
def test_median_is_numpys(loops, shape):
    values = np.random.default_rng(0).gamma(2.0, size=shape).astype(np.float32)
    exact = values.size <= 2**20
    assert median_of(values) == pytest.approx(float(np.median(values)), rel=1e-6 if exact else 2e-2)


@pytest.mark.parametrize(("d", "epsilon"), [(2, 0.1), (2, 0.01), (16, 0.01)])
def test_a_whole_update_is_the_same_either_way(monkeypatch, d, epsilon):
    pytest.importorskip("numba")
    x, y = clouds(300, 280, d)
    compiled = SinkhornDual(epsilon=epsilon, tol=1e-4)
    compiled.update(x, y)
    monkeypatch.setattr(extra, "_compiled", lambda *_: None)
    plain = SinkhornDual(epsilon=epsilon, tol=1e-4)
    plain.update(x, y)
    assert compiled.scale == pytest.approx(plain.scale, rel=1e-6)
    assert compiled.distance == pytest.approx(plain.distance, rel=1e-4)
    assert np.std(compiled.potential(x) - plain.potential(x)) <= 0.03 * np.std(plain.potential(x))


def test_without_numba_nothing_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "sb3_wasserstein.transport._kernels", raising=False)
    extra._compiled.cache_clear()
    try:
        assert extra.compiled_for(np.zeros(2**20, np.float32)) is None
        dual = SinkhornDual()
        dual.update(*clouds(200, 200, 3))
        assert dual.residual <= 1e-3
    finally:
        extra._compiled.cache_clear()
