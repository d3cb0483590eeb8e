"""Small pairs solved by one compiled function, against POT's log-domain Sinkhorn in float64."""

import os
import subprocess
import sys

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

from sb3_wasserstein import _numba as extra
from sb3_wasserstein.cloud import as_weights
from sb3_wasserstein.duals import SaturatingCost, batched_sinkhorn
from sb3_wasserstein.transport.costs import GroundCost

pytest.importorskip("numba")

COSTS = {
    "euclidean": ("euclidean", cdist),
    "sqeuclidean": ("sqeuclidean", lambda x, y: cdist(x, y, "sqeuclidean")),
    "saturating": (SaturatingCost(scale=1.0), lambda x, y: 1.5 * (1.0 - np.exp(-cdist(x, y) / 1.5))),
}


@pytest.fixture
def solver(monkeypatch):
    """The compiled one, of one pair, for pairs of any size."""
    from sb3_wasserstein.transport import batched

    monkeypatch.setattr(extra, "LEAST_PAIR_ENTRIES", 1)
    return lambda cost: batched._compiled_solver([(1, 1)], cost)


@pytest.mark.parametrize("sizes", [(1, 7), (40, 40), (30, 90)])
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.02])
@pytest.mark.parametrize("name", COSTS)
def test_it_is_pots_solution(name, epsilon, sizes, solver):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(sizes[0], 3)), rng.normal(size=(sizes[1], 3)) + 0.5
    p, q = rng.dirichlet(np.full(len(x), 5.0)), rng.dirichlet(np.full(len(y), 5.0))
    cost = GroundCost(COSTS[name][0])
    cost.base_median = 1.5
    costs = COSTS[name][1](x, y)
    found = solver(cost)(x, y, p, q, epsilon, 1e-5, 10_000)
    if found is None:
        # What takes hundreds of iterations is left to the accelerated solver.
        assert epsilon == 0.02
        return
    f, distance = found
    plan, log = ot.bregman.sinkhorn_log(p, q, costs, epsilon, numItermax=50_000, stopThr=1e-9, log=True)
    expected = epsilon * (log["log_u"] - np.log(p))
    value = float((plan * costs).sum() + epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(p, q))).sum())
    np.testing.assert_allclose(f, expected - p @ expected, atol=3e-4)
    assert distance == pytest.approx(value, abs=3e-4)


def test_it_gives_up_where_iterations_run_out(solver):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 2.0
    p = as_weights(None, 60, "p")
    assert solver(GroundCost("euclidean"))(x, y, p, p, 1e-3, 1e-6, 3) is None


def test_batches_are_the_same_with_and_without(monkeypatch):
    """Twenty pairs by the compiled function, and by numpy."""
    rng = np.random.default_rng(2)
    xs, ys = ([rng.normal(size=(int(n), 4)) for n in rng.integers(60, 120, 20)] for _ in range(2))
    compiled = batched_sinkhorn(xs, ys, debias=True, tol=1e-5)
    assert extra.compiled_for_pairs(sum(len(x) * len(y) for x, y in zip(xs, ys, strict=True))) is not None
    monkeypatch.setattr(extra, "LEAST_PAIR_ENTRIES", 2**40)
    plain = batched_sinkhorn(xs, ys, debias=True, tol=1e-5)
    np.testing.assert_allclose(compiled[1], plain[1], atol=1e-4)
    for one, other in zip(compiled[0], plain[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_what_is_compiled_and_what_is_loaded_from_the_cache_give_the_same_bits(tmp_path):
    script = """
import numpy as np
from sb3_wasserstein.duals import batched_sinkhorn

rng = np.random.default_rng(0)
potentials, distances = batched_sinkhorn([rng.normal(size=(200, 2))] * 4, [rng.normal(size=(180, 2)) + 1.0] * 4)
print(np.concatenate([*potentials, distances]).tobytes().hex())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    compiled, loaded = (
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert compiled == loaded
