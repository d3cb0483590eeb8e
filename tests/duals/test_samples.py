"""A debiased dual of samples: zero where the laws are equal, in value and in gradient, and no point counts for itself."""

from __future__ import annotations

import numpy as np
import pytest

from sb3_wasserstein import Target
from sb3_wasserstein.cloud import Cloud
from sb3_wasserstein.duals import Dual, SemiDiscreteDual, SinkhornDual, make_dual


def within(costs: np.ndarray, draws: np.ndarray, epsilon: float) -> np.ndarray:
    """The symmetric potential of equally weighted points, by plain averaged iterations on the whole matrix."""
    n, others = len(costs), draws[:, None] != draws
    reference = others / others.sum()
    f = np.zeros(n)
    for _ in range(5000):
        scaled = np.where(others, np.exp((f[None, :] - costs) / epsilon), 0.0)
        f = 0.5 * (f - epsilon * np.log((reference * scaled).sum(axis=1) * n))
    return f


@pytest.mark.parametrize("dimension", [4, 16])
@pytest.mark.parametrize("n", [20, 100])
def test_two_samples_of_one_law_are_at_distance_zero(dimension: int, n: int) -> None:
    found = []
    for seed in range(30):
        rng = np.random.default_rng([dimension, n, seed])
        dual = SinkhornDual(epsilon=0.3)
        dual.update(rng.normal(size=(n, dimension)), rng.normal(size=(n, dimension)))
        found.append(dual.distance / dual.scale)
        # The bias that a law's self-transport would leave is seen at once.
        assert abs(found[-1]) < 0.1
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found)) + 1e-3


@pytest.mark.parametrize("dimension", [2, 8, 32])
def test_the_spread_of_a_policy_at_its_target_is_left_alone(dimension: int) -> None:
    """The score-function gradient of the spread s of N(0, s²) towards samples of N(0, 1): positive above 1, negative below."""

    def gradient(spread: float) -> float:
        values = []
        for seed in range(8):
            rng = np.random.default_rng([dimension, seed])
            x = spread * rng.normal(size=(256, dimension))
            dual = SinkhornDual()
            dual.update(x, rng.normal(size=(100, dimension)))
            values.append(((x**2).sum(axis=1) / spread**2 - dimension) @ dual.shaping(x) / 256)
        return float(np.mean(values))

    assert gradient(0.9) < 0.0 < gradient(1.1)


@pytest.mark.parametrize("per_draw", [1, 3])
def test_potentials_leave_a_points_own_draw_out(per_draw: int) -> None:
    rng, epsilon = np.random.default_rng(0), 0.4
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(25, 2)) + 1.0
    draws = 7 + np.arange(30) // per_draw
    dual = SinkhornDual(epsilon, relative=False, dtype="float64", tol=1e-9)
    dual.update_laws(Cloud.sample(x, draws=draws), Cloud.sample(y))
    plain = SinkhornDual(epsilon, relative=False, debias=False, dtype="float64", tol=1e-9)
    plain.update(x, y)
    costs = np.linalg.norm(x[:, None] - x, axis=2)
    own = within(costs, draws, epsilon)
    expected = plain.potential(x) - (own - own.mean())
    np.testing.assert_allclose(dual.shaping_of(x, draws), expected, atol=1e-6)
    # Points that are in the sample are found without being told.
    np.testing.assert_allclose(dual.potential(x), expected, atol=1e-6)
    # A point of a draw that ends near its atom, as an episode's last prefixes are, does not see the atom.
    near = x + 1e-9
    np.testing.assert_allclose(dual.shaping_of(near, draws), expected, atol=1e-6)
    assert np.abs(dual.shaping_of(near, np.full(30, -1)) - expected).max() > 0.05


@pytest.mark.parametrize("name", ["alternating", "rkhs", "semidiscrete"])
def test_a_stochastic_dual_leaves_them_out_too(name: str) -> None:
    rng = np.random.default_rng(0)
    dual: Dual = make_dual(name, {"seed": 0, "debias": True, "epsilon": 0.2})
    x = rng.normal(size=(200, 3))
    dual.update_laws(Cloud.sample(x, draws=np.arange(100, 300)), Cloud.sample(rng.normal(size=(200, 3)) + 1.0))
    numbers = np.arange(100, 300)
    left_out, plain = dual.shaping_of(x, numbers), dual.shaping_of(x, np.full(200, -1))
    # To a point that counts for itself the law is nearer: its potential against itself is lower, and h is higher.
    assert (plain - left_out).min() > 0.0
    other = make_dual(name, {"seed": 0, "debias": True, "epsilon": 0.2})
    other.load_state_dict(dual.state_dict())
    np.testing.assert_array_equal(other.shaping_of(x, numbers), left_out)


def test_a_law_that_is_written_down_is_no_sample() -> None:
    rng = np.random.default_rng(0)
    x, corners = rng.normal(size=(300, 2)), np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0], [3.0, 0.0]])
    law = SinkhornDual(epsilon=0.3, relative=False)
    law.update(Target(corners), Target(corners, [1, 1, 1, 1]))
    assert law.distance == 0.0
    drawn = Target(corners[rng.integers(0, 4, 400)], is_sample=True)
    distances = {}
    for name, target in {"law": Target(corners), "sample": drawn}.items():
        dual = SinkhornDual(epsilon=0.3, relative=False)
        dual.update(x, target)
        distances[name] = dual.distance
    # 400 draws of four corners say what the four corners say.
    assert distances["sample"] == pytest.approx(distances["law"], rel=0.05)
    with pytest.raises(ValueError, match="`y_weights` must be None where `y` is a Target"):
        dual.update(x, Target(corners), None, np.ones(4))


def test_one_sample_twice_is_at_distance_zero() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    dual = SinkhornDual()
    dual.update(x, x.copy())
    assert dual.distance == 0.0
    np.testing.assert_allclose(dual.potential(np.ones((2, 3))), 0.0, atol=1e-9)


def test_points_come_in_and_go_out_in_their_own_units() -> None:
    rng, units = np.random.default_rng(0), np.array([100.0, 0.01])
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) + 1.0
    for made in (SinkhornDual, SemiDiscreteDual):
        one, other = made(), made()
        if made is SemiDiscreteDual:
            one, other = SemiDiscreteDual(seed=0), SemiDiscreteDual(seed=0)
        other.units = units
        one.update(x, y)
        other.update(x * units, y * units)
        np.testing.assert_allclose(other.potential(x * units), one.potential(x), atol=1e-6)
        loaded = type(other)(**({"seed": 0} if made is SemiDiscreteDual else {}))
        loaded.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(loaded.potential(x * units), other.potential(x * units))
