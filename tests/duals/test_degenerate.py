"""Duplicated points and clusters farther apart than ε: discrete states, and policies that have become deterministic."""

from typing import Any

import numpy as np
import ot
import pytest

from sb3_wasserstein.duals import SinkhornDual


def pot(x: np.ndarray, y: np.ndarray, p: np.ndarray, q: np.ndarray, epsilon: float) -> Any:
    cost = np.abs(x - y.T)
    plan = ot.bregman.sinkhorn_log(p, q, cost, epsilon, numItermax=200_000, stopThr=1e-12)
    positive = plan > 0
    kl = float((plan[positive] * np.log((plan / np.outer(p, q))[positive])).sum())
    return float((plan * cost).sum()) + epsilon * kl


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.95, 1.0])
def test_two_atoms(loops: str, share: float, epsilon: float, dtype: str) -> None:
    n = 256
    x = (np.arange(n) < share * n).astype(float)[:, None]
    y = np.array([[0.0], [1.0]])
    dual = SinkhornDual(epsilon=epsilon, relative=False, debias=False, dtype=dtype, tol=1e-6)
    dual.update(x, y)
    law, counts = np.unique(x, return_counts=True)
    expected = pot(law[:, None], y, counts / n, np.full(2, 0.5), epsilon)
    assert dual.residual <= 1e-6
    assert dual.distance == pytest.approx(expected, abs=1e-5)


def test_a_policy_that_has_become_deterministic_but_for_a_few(loops: str) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(1, 8)), 256, axis=0)
    x[:5] = rng.normal(size=(5, 8)) * 3
    dual = SinkhornDual()
    for _ in range(3):
        dual.update(x, x[-1:])
        assert dual.residual <= 1e-3
        assert dual.iterations < 1000


@pytest.mark.filterwarnings("ignore:.*too coarse")
@pytest.mark.parametrize("seed", range(12))
def test_clouds_with_outliers_far_away(seed: int) -> None:
    """Scalings that span the type's range: a row of tiny ones once summed to zero, which the compiled product divided by."""
    rng = np.random.default_rng(seed)
    x = np.exp(1.5 * rng.normal(size=(400, 1))) * rng.normal(size=(400, 2))
    y = np.exp(1.5 * rng.normal(size=(500, 1))) * rng.normal(size=(500, 2)) + 5.0
    y[:250] *= 0.01
    x[200:] += 20.0 * rng.normal(size=2)
    dual = SinkhornDual(epsilon=0.02)
    dual.update(x, y)
    assert dual.residual <= 1e-3
    gamma = dual.coupling()
    np.testing.assert_allclose([np.abs(gamma.sum(1) - 1 / 400).sum(), np.abs(gamma.sum(0) - 1 / 500).sum()], 0.0, atol=1.5e-3)
    assert np.isfinite(dual.potential(x)).all()
