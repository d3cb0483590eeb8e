"""The stochastic duals against POT's exact dual and against the algorithms' own first steps."""

from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from sb3_wasserstein.duals import AlternatingDual, RKHSDual, SaturatingCost, SemiDiscreteDual, SinkhornDual, make_dual
from sb3_wasserstein.duals.rkhs_function import BoundedExpansion

RECENT = 256

STOCHASTIC = ["rkhs", "alternating", "semidiscrete"]


@pytest.fixture(scope="module")
def atoms() -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) * 0.7 + 1.0
    p, q = np.full(100, 0.01), np.full(100, 0.01)
    costs = cdist(x, y)
    epsilon = 0.1 * np.median(costs)
    log = ot.sinkhorn(p, q, costs, epsilon, method="sinkhorn_log", stopThr=1e-11, numItermax=20_000, log=True)[1]
    f = epsilon * log["log_u"]
    return x, y, epsilon, f - f.mean()


def batches(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, total: int, size: int) -> Any:
    for _ in range(total // size):
        yield x[rng.integers(len(x), size=size)], y[rng.integers(len(y), size=size)]


def test_semidiscrete_finds_the_exact_potential_in_4000_samples(atoms: Any) -> None:
    x, y, epsilon, f = atoms
    dual = SemiDiscreteDual(epsilon=epsilon, relative=False, seed=0)
    for batch, _ in batches(np.random.default_rng(1), x, y, 4000, 20):
        dual.update(batch, y)
    assert np.abs(dual.potential(x) - dual.potential(x).mean() - f).max() <= 0.03 * np.ptp(f)


def test_alternating_error_falls_with_the_samples(atoms: Any) -> None:
    x, y, epsilon, f = atoms
    dual = AlternatingDual(epsilon=epsilon, relative=False, seed=0)
    errors, seen = [], 0
    for batch_x, batch_y in batches(np.random.default_rng(1), x, y, 40_000, 50):
        dual.update(batch_x, batch_y)
        seen += 50
        if seen in (400, 4000, 40_000):
            values = dual.potential(x)
            errors.append(np.std(values - f) / np.std(f))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03
    assert np.corrcoef(dual.potential(x), f)[0, 1] > 0.99


def test_faithful_rkhs_starts_with_the_bump_of_algorithm_1() -> None:
    x, y = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    dual = RKHSDual(epsilon=2.0, relative=False, budget=None, bandwidth=1.5, step=10.0)
    dual.update(x, y)
    height = 10.0 * 2.0 * (1 - np.exp(-5.0 / 2.0))
    points = np.array([[0.0, 0.0], [1.5, 0.0], [100.0, 0.0]])
    bump = dual.potential(points) - dual.potential(points)[-1]
    np.testing.assert_allclose(bump, height * np.array([1.0, np.exp(-0.5), 0.0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("epsilon", "least"), [(0.1, 0.95), (0.02, 0.90)])
def test_bounded_rkhs_correlates_with_the_exact_potential(epsilon: float, least: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(800, 2)), rng.normal(size=(800, 2)) * 0.7 + 1.0
    exact = SinkhornDual(epsilon=epsilon, debias=False)
    exact.update(x, y)
    dual = RKHSDual(epsilon=epsilon, budget=128, seed=0)
    for _ in range(12):
        dual.update(rng.normal(size=(400, 2)), rng.normal(size=(400, 2)) * 0.7 + 1.0)
    new = rng.normal(size=(500, 2))
    assert np.corrcoef(dual.potential(new), exact.potential(new))[0, 1] > least
    assert np.corrcoef(dual.shaping(new), exact.potential(new))[0, 1] > least


@pytest.mark.parametrize("budget", [None, 64])
def test_rkhs_stays_finite_at_small_epsilon_and_far_clouds(budget: int | None) -> None:
    rng = np.random.default_rng(0)
    for epsilon, gap in [(0.005, 1.0), (0.005, 100.0)]:
        dual = RKHSDual(epsilon=epsilon, budget=budget, seed=0)
        for _ in range(10):
            dual.update(rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + gap)
        assert np.isfinite(dual.shaping(rng.normal(size=(50, 2)) * 100)).all()
        assert np.isfinite([dual.distance, dual.residual]).all()


def test_bounded_rkhs_follows_a_cloud_that_moves_away() -> None:
    rng = np.random.default_rng(0)
    dual = RKHSDual(epsilon=0.1, relative=False, budget=64, seed=0)
    for shift in np.linspace(0, 4, 60):
        dual.update(rng.normal(size=(64, 2)) + shift, np.zeros((1, 2)))
    new = rng.normal(size=(300, 2)) + 4
    assert np.corrcoef(dual.potential(new), np.linalg.norm(new, axis=1))[0, 1] > 0.9


@pytest.fixture(scope="module")
def few() -> Any:
    """Two laws of sixteen points, POT's f_μν − f_μμ and g_μν − g_νν, centred, and its S_ε."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(16, 2)), rng.normal(size=(16, 2)) * 0.7 + 0.5
    mass, epsilon = np.full(16, 1 / 16), 0.3

    def solve(a: np.ndarray, b: np.ndarray) -> Any:
        costs = cdist(a, b)
        log = ot.sinkhorn(mass, mass, costs, epsilon, method="sinkhorn_log", stopThr=1e-9, numItermax=100_000, log=True)[1]
        # POT's exp((u + v − c) / ε) is γ itself; f and g leave the masses out.
        f, g = (epsilon * (log[name] - np.log(mass)) for name in ("log_u", "log_v"))
        return f, g, float(f.mean() + g.mean())

    (f, g, cross), (f_x, g_x, own_x), (f_y, g_y, own_y) = solve(x, y), solve(x, x), solve(y, y)
    potentials = f - (f_x + g_x) / 2, g - (f_y + g_y) / 2
    return x, y, epsilon, [values - values.mean() for values in potentials], cross - (own_x + own_y) / 2


def shuffled(rng: np.random.Generator, points: np.ndarray) -> Any:
    """Each point equally often, as many in all as the duals remember."""
    return rng.permutation(np.tile(points, (RECENT // len(points), 1)))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_debiased_against_pot(name: str, few: Any) -> None:
    x, y, epsilon, (f, g), divergence = few
    kwargs = {"epsilon": epsilon, "relative": False, "seed": 0}
    dual, plain = make_dual(name, {**kwargs, "debias": True}), make_dual(name, kwargs)
    rng = np.random.default_rng(1)
    for _ in range(100):
        batch_x, batch_y = shuffled(rng, x), shuffled(rng, y)
        for one in (dual, plain):
            one.update(batch_x, y if name == "semidiscrete" else batch_y)
    for values, exact in ((dual.potential(x), f), (dual.shaping(x), f), (dual.potential_y(y), g)):
        assert np.corrcoef(values, exact)[0, 1] > 0.98
    assert dual.distance == pytest.approx(divergence, rel=0.2)
    # It is the correction that does it.
    assert abs(plain.distance - divergence) > 0.4 * divergence
    for name_of in ("potential", "shaping"):
        error, plain_error = (np.std(getattr(one, name_of)(x) - f) for one in (dual, plain))
        assert error < 0.6 * plain_error


@pytest.mark.parametrize("name", STOCHASTIC)
def test_debiased_two_equal_laws_are_at_no_distance(name: str, few: Any) -> None:
    x = few[0]
    plain, dual = (make_dual(name, {"epsilon": 1.0, "debias": debias, "seed": 0}) for debias in (False, True))
    rng = np.random.default_rng(0)
    for _ in range(60):
        batch, other = shuffled(rng, x), shuffled(rng, x)
        for one in (plain, dual):
            one.update(batch, x if name == "semidiscrete" else other)
    assert abs(dual.distance) < 0.15 * plain.distance
    assert np.std(dual.potential(x)) < 0.4 * np.std(plain.potential(x))


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("name", STOCHASTIC)
def test_potentials_are_centred_under_their_laws(name: str, debias: bool, few: Any) -> None:
    x, y, epsilon, *_ = few
    dual: Any = make_dual(name, {"epsilon": epsilon, "relative": False, "debias": debias, "seed": 0})
    rng = np.random.default_rng(1)
    for _ in range(60):
        dual.update(shuffled(rng, x), y if name == "semidiscrete" else shuffled(rng, y))
    raw = abs(dual._f(x).mean())
    assert raw > 0.2
    assert abs(dual.potential(x).mean()) < 0.1 * raw


@pytest.mark.parametrize("name", STOCHASTIC)
def test_debiasing_leaves_the_units_alone(name: str, few: Any) -> None:
    x, y, *_ = few
    dual = make_dual(name, {"cost": SaturatingCost(scale=2.0), "debias": True, "seed": 0})
    dual.update(x, 10.0 * y)
    before = dual.scale, dual.ground_cost.base_median
    assert before[1] > 2.0 * np.median(cdist(x, x))
    dual.shaping(x)
    assert np.isfinite(dual.distance)
    assert (dual.scale, dual.ground_cost.base_median) == before


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("name", STOCHASTIC)
def test_state_goes_on_to_the_bit(name: str, debias: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
    weights = rng.random(40)
    dual, other = (make_dual(name, {"seed": 1, "debias": debias}) for _ in range(2))
    other.load_state_dict(dual.state_dict())
    assert not other.is_fitted
    for _ in range(3):
        dual.update(x, y, weights)
    torch.save(dual.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        np.testing.assert_array_equal(other.shaping(x), dual.shaping(x))
        np.testing.assert_array_equal(other.potential_y(y), dual.potential_y(y))
        dual.update(x + 0.1, y, weights)
        other.update(x + 0.1, y, weights)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_dirac_target_ranks_by_distance(name: str) -> None:
    rng = np.random.default_rng(0)
    dual = make_dual(name, {"seed": 0, "epsilon": 0.1})
    for _ in range(40):
        dual.update(rng.normal(size=(50, 2)), np.full((1, 2), 0.5))
    new = rng.normal(size=(200, 2))
    assert np.corrcoef(dual.potential(new), np.linalg.norm(new - 0.5, axis=1))[0, 1] > 0.97


@pytest.mark.parametrize("name", STOCHASTIC)
def test_nothing_is_drawn_from_a_global_generator(name: str) -> None:
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    dual = make_dual(name)
    dual.update(np.random.default_rng(0).normal(size=(9, 2)), np.zeros((2, 2)), np.ones(9))
    dual.shaping(np.zeros((3, 2)))
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("name", ["alternating", "semidiscrete"])
def test_a_long_stream_in_one_update(name: str, atoms: Any) -> None:
    x, y, epsilon, f = atoms
    rng = np.random.default_rng(2)
    i, j = rng.integers(100, size=(2, 60_000))
    dual = make_dual(name, {"epsilon": 0.1, "seed": 0})
    dual.update(x[i], y[j] if name == "alternating" else y)
    assert dual.epsilon_ == pytest.approx(epsilon, rel=0.05)
    values = dual.potential(x)
    assert np.std(values - f) < 0.03 * np.std(f)
    assert np.corrcoef(values, f)[0, 1] > 0.998


@pytest.mark.parametrize(("apart", "made"), [(0.9, False), (1.4, True)])
def test_a_centre_is_made_where_the_centres_do_not_reach(apart: float, made: int) -> None:
    """exp(−apart² / 2) is .67 and .38: a full expansion takes a point in whose kernel with all centres is below a half."""
    expansion = BoundedExpansion(1, 1.0, 2)
    expansion.take_in(np.array([[0.0], [9.0]]))
    expansion.take_in(np.array([[apart]]))
    assert len(expansion.centres) == 2
    assert (apart in expansion.centres) == made
