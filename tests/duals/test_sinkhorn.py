"""SinkhornDual against POT's dense solve, closed forms, and what must hold of any divergence."""

from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from sb3_wasserstein import behaviour_distance
from sb3_wasserstein.duals import SaturatingCost, SinkhornDual, dual_from_config, make_dual


@pytest.fixture
def clouds() -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(40, 3)) * 0.7 + 0.5
    return x, y, rng.random(30) + 0.1, rng.random(40) + 0.1


def exact(tol: float = 1e-12, **kwargs: Any) -> SinkhornDual:
    return SinkhornDual(tol=tol, dtype="float64", max_iterations=100_000, **kwargs)


def dense(costs: np.ndarray, p: np.ndarray, q: np.ndarray, epsilon: float) -> Any:
    """POT's log-domain Sinkhorn to the last digit, as potentials of the product reference, f centred under p."""
    log = ot.sinkhorn(p, q, costs, epsilon, method="sinkhorn_log", stopThr=1e-14, numItermax=100_000, log=True)[1]
    f, g = epsilon * (log["log_u"] - np.log(p)), epsilon * (log["log_v"] - np.log(q))
    return f - p @ f, g - q @ g


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock"])
@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_potentials_at_samples_and_new_points_agree_with_pot(clouds: Any, cost: Any, epsilon: float) -> None:
    x, y, p, q = clouds
    p, q = p / p.sum(), q / q.sum()
    dual = exact(cost=cost, epsilon=epsilon, debias=False)
    dual.update(x, y, p, q)
    costs = cdist(x, y, cost)
    assert dual.epsilon_ == pytest.approx(epsilon * np.median(costs), rel=1e-12)
    f, g = dense(costs, p, q, dual.epsilon_)
    spread = np.ptp(f)
    np.testing.assert_allclose(dual.potential(x), f, atol=1e-5 * spread)
    np.testing.assert_allclose(dual.potential_y(y), g, atol=1e-5 * spread)

    new = np.array([[0.3, -0.2, 0.9], [3.0, 3.0, -3.0]])
    for point in new:
        tiny = 1e-12
        f_with, _ = dense(cdist(np.vstack([x, point]), y, cost), np.append(p * (1 - tiny), tiny), q, dual.epsilon_)
        assert dual.potential(point[None])[0] == pytest.approx(f_with[-1] - p @ f_with[:-1], abs=1e-5 * spread)


def test_dirac_target_gives_the_cost_itself(clouds: Any) -> None:
    x, _, p, _ = clouds
    point = np.array([[0.2, 0.1, -0.3]])
    dual = SinkhornDual(debias=False)
    dual.update(x, point, p)
    new = np.random.default_rng(1).normal(size=(50, 3)) * 3
    difference = dual.potential(new) - cdist(new, point)[:, 0]
    assert np.ptp(difference) < 1e-6
    assert dual.distance == pytest.approx(p / p.sum() @ cdist(x, point)[:, 0], rel=1e-6)


def test_distance_of_a_law_to_itself_is_zero(clouds: Any) -> None:
    x, y, p, _ = clouds
    for dual in (exact(tol=1e-7), exact(tol=1e-7, cost=SaturatingCost()), exact(tol=1e-7, cost="cityblock")):
        dual.update(x, x, p, p)
        assert dual.distance == 0
        dual.update(x, x[::-1], p, p[::-1])
        assert abs(dual.distance) < 1e-6
    assert behaviour_distance(x, y) > 0.1


def test_state_round_trip_is_exact(clouds: Any, tmp_path: Path) -> None:
    import torch

    x, y, p, q = clouds
    dual = SinkhornDual()
    fresh = SinkhornDual()
    fresh.load_state_dict(dual.state_dict())
    assert not fresh.is_fitted
    dual.update(x, y, p, q)
    torch.save(dual.state_dict(), tmp_path / "dual.pt")
    fresh.load_state_dict(torch.load(tmp_path / "dual.pt", weights_only=True))
    np.testing.assert_array_equal(fresh.potential(x), dual.potential(x))
    np.testing.assert_array_equal(fresh.coupling(), dual.coupling())
    assert fresh.distance == dual.distance


def test_pots_own_potentials_are_in_another_convention(clouds: Any) -> None:
    """They are not multiplied by ε, and contain the weights: whoever compares with them has to know."""
    x, y, p, q = clouds
    p, q = p / p.sum(), q / q.sum()
    costs = cdist(x, y)
    solved = ot.solve(costs, p, q, reg=0.5, reg_type="entropy", max_iter=10_000, tol=1e-12)
    f, g = solved.potentials
    np.testing.assert_allclose(np.exp(f[:, None] + g - costs / 0.5), solved.plan, atol=1e-9)
    dual = exact(epsilon=0.5, relative=False, debias=False)
    dual.update(x, y, p, q)
    ours = 0.5 * (f - np.log(p))
    np.testing.assert_allclose(dual.potential(x), ours - p @ ours, atol=1e-6)


@pytest.mark.parametrize("name", ["sinkhorn", "rkhs", "alternating", "semidiscrete"])
def test_shaping_takes_an_array_and_a_tensor_and_refuses_what_is_no_cloud(name: str) -> None:
    rng = np.random.default_rng(3)
    dual = make_dual(name)
    dual.update(rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) + 1.0)
    # Near ones, and some so far off that sums of exponentials underflow.
    points = np.concatenate([rng.normal(size=(300, 3)), 1e3 * rng.normal(size=(20, 3))])
    np.testing.assert_array_equal(dual.shaping(torch.from_numpy(points)).numpy(), dual.shaping(points))
    for bad, what in (
        (np.full((2, 3), np.nan), "NaN"),
        (np.full((2, 3), 1e200), "too large"),
        (np.zeros((2, 4)), "dimension"),
    ):
        with pytest.raises(ValueError, match=what):
            dual.shaping(bad)


@pytest.mark.parametrize("name", ["potential", "potential_y", "shaping"])
def test_points_that_are_too_far_for_float32(name: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    near, far = rng.normal(size=(5, 3)), np.full((5, 3), 1e30)
    dual = SinkhornDual(debias=False)
    dual.update(x, y)
    values = getattr(dual, name)(np.concatenate([near, far]))
    np.testing.assert_allclose(values[5:], np.sqrt(3) * 1e30)
    np.testing.assert_allclose(values[:5], getattr(dual, name)(near), atol=1e-4)


def test_how_to_compute_is_free_where_a_state_is_loaded() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2))
    dual = SinkhornDual()
    dual.update(x, y)
    state = dual.state_dict()
    state["config"] |= {"device": "cuda", "dtype": "float64", "tol": 1e-5, "max_iterations": 7, "max_points": 40}
    other = SinkhornDual()
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.potential(x), dual.potential(x))
    state["config"]["debias"] = False
    with pytest.raises(ValueError, match="debias: saved False, here True"):
        other.load_state_dict(state)


def test_a_dual_that_was_saved_beside_another_device_computes_on_this_machine() -> None:
    config = SinkhornDual(device="xpu", max_iterations=77).config()
    dual = dual_from_config(config)
    assert isinstance(dual, SinkhornDual)
    assert (dual.device, dual.max_iterations) == ("cpu", 77)
    with pytest.raises(RuntimeError, match="`device`='xpu' is not available on this machine"):
        SinkhornDual(device="xpu").update(np.zeros((2, 1)), np.ones((2, 1)))
