"""numpy's BLAS gets one thread wherever a training stops for our work: see ``sb3_wasserstein._threads``."""

import numpy as np
import pytest
from stable_baselines3 import PPO
from threadpoolctl import ThreadpoolController

from sb3_wasserstein import Population, WassersteinPPO, WassersteinSAC
from sb3_wasserstein import cloud as cloud_checks
from sb3_wasserstein._threads import LONG, one_blas_thread, sum_of_squares
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.population.pairwise import Pairwise
from sb3_wasserstein.population.potential import PairPotential

BLAS = ThreadpoolController().select(user_api="blas")


def threads():
    return {library.num_threads for library in BLAS.lib_controllers}


def spy_on(monkeypatch, *methods):
    """:return: each method's name and the numbers of threads in its calls, filled as they come"""
    seen: dict[str, set[int]] = {}

    def spied(name, original):
        def spy(self, *args, **kwargs):
            seen.setdefault(name, set()).update(threads())
            return original(self, *args, **kwargs)

        return spy

    for cls, name in methods:
        monkeypatch.setattr(cls, name, spied(name, getattr(cls, name)))
    return seen


@pytest.fixture
def several_threads():
    """Whatever the machine has: limits are seen only below another number."""
    if not BLAS.lib_controllers:
        pytest.skip("numpy has no BLAS that threadpoolctl knows")
    with BLAS.limit(limits=2):
        yield


@pytest.mark.usefixtures("several_threads")
def test_one_thread_inside_and_all_of_them_afterwards() -> None:
    assert threads() == {2}
    with one_blas_thread():
        assert threads() == {1}
    assert threads() == {2}


@pytest.mark.usefixtures("several_threads")
def test_a_training_solves_and_evaluates_with_one_thread(monkeypatch) -> None:
    seen = spy_on(monkeypatch, (SinkhornDual, "update_laws"), (SinkhornDual, "shaping_of"))
    model = WassersteinPPO(
        "MlpPolicy", "CartPole-v1", target=np.zeros((5, 4)), wasserstein_coef=-0.1, n_steps=256, batch_size=64, seed=0
    )
    model.learn(512)
    assert seen == {"update_laws": {1}, "shaping_of": {1}}
    assert threads() == {2}


@pytest.mark.usefixtures("several_threads")
def test_an_off_policy_training_solves_and_evaluates_with_one_thread(monkeypatch) -> None:
    seen = spy_on(monkeypatch, (SinkhornDual, "update_laws"), (SinkhornDual, "shaping_of"))
    # Episodes of 200 steps: two are needed for a potential, and 300 steps of 3 numbers are a batch to evaluate.
    WassersteinSAC(
        "MlpPolicy", "Pendulum-v1", target=np.zeros((5, 3)), wasserstein_coef=-0.1, learning_starts=420, seed=0
    ).learn(430)
    assert 1 in seen["shaping_of"]
    assert seen["update_laws"] == {1}
    assert threads() == {2}


@pytest.mark.usefixtures("several_threads")
def test_a_population_solves_and_evaluates_with_one_thread(monkeypatch) -> None:
    seen = spy_on(monkeypatch, (Pairwise, "solve"), (PairPotential, "__call__"))
    settings = {"n_steps": 256, "batch_size": 64, "wasserstein_coef": 1.0, "schedule": "constant", "seed": 0}
    Population(PPO, "MlpPolicy", "CartPole-v1", n_policies=2, **settings).learn(1280)
    assert seen == {"solve": {1}, "__call__": {1}}


@pytest.mark.parametrize("n", [1, LONG, LONG + 1, 3 * LONG])
def test_the_sum_of_squares(n) -> None:
    values = np.random.default_rng(0).normal(size=n)
    assert sum_of_squares(values) == pytest.approx((values**2).sum(), rel=1e-12)
    assert sum_of_squares(values[::-1]) == pytest.approx((values**2).sum(), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [3, 3 * LONG])
def test_one_bad_entry_is_seen_without_a_warning(n, bad) -> None:
    values = np.ones((n, 1))
    values[n // 2] = bad
    assert not np.isfinite(sum_of_squares(values))
    with pytest.raises(ValueError, match="NaN or inf in 1 of"):
        cloud_checks.as_cloud(values, "x")


def test_squares_that_overflow_are_finite_points_but_no_cloud() -> None:
    values = np.full((2 * LONG, 1), 1e200)
    with pytest.raises(ValueError, match="numbers too large"):
        cloud_checks.as_cloud(values, "x")
