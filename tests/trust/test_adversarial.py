"""Rewards and behaviours that no unit is made for: nothing becomes NaN, and the bonus stays in proportion."""

import warnings

import numpy as np
import pytest
import torch as th
from logs import KeepingLogger
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WassersteinA2C, WassersteinPPO

CASES = ["noise", "spikes", "constant", "equal", "collapse"]
TARGET = np.random.default_rng(0).normal(size=(8, 4))


@pytest.fixture
def adversary(monkeypatch):
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.cost.soak import Adversary

    return Adversary


def learnt(adversary, case, cls=WassersteinA2C, steps=3200, **kwargs):
    env = DummyVecEnv([lambda: adversary(case, period=100)] * 4)
    given = {"target": TARGET, "wasserstein_coef": 1.0, "episode_window": 16, "n_steps": 10, "seed": 0, "device": "cpu"}
    model = cls("MlpPolicy", env, **{**given, **kwargs})
    model.set_logger(KeepingLogger())
    with warnings.catch_warnings():
        # Returns that do not differ have no spread, which is said once.
        warnings.filterwarnings("ignore", ".*do not differ.*")
        warnings.filterwarnings("ignore", ".*had one value throughout.*")
        return model.learn(steps, log_interval=10)


@pytest.mark.parametrize("credit", ["telescoping", "episode"])
@pytest.mark.parametrize("case", CASES)
def test_nothing_becomes_nan(case, credit, adversary) -> None:
    model = learnt(adversary, case, credit=credit)
    assert all(bool(th.isfinite(p).all()) for p in model.policy.parameters())
    logged = {name: value for row in model.logger.rows for name, value in row.items() if name.startswith("wasserstein/")}
    assert logged["wasserstein/window_episodes"] == 16
    assert all(np.isfinite(value) for value in logged.values())
    assert model.dual.residual <= model.dual.tol


@pytest.mark.parametrize("dual", ["rkhs", "alternating", "semidiscrete"])
def test_stochastic_duals_outlive_a_collapse(dual, adversary) -> None:
    model = learnt(adversary, "collapse", dual=dual, steps=2400)
    assert np.isfinite(model.tracker.shaping(np.zeros((1, 4)))).all()
    assert np.isfinite(model.tracker.shaping(TARGET)).all()


def test_a_potential_comes_back_after_a_collapse(adversary) -> None:
    """While all behaviours are one, h is one number on them; once they differ again, it tells them apart."""
    model = learnt(adversary, "collapse", steps=4 * 180)
    collapsed = model.tracker.window.embeddings
    assert np.ptp(collapsed) == 0.0
    model.learn(4 * 110, reset_num_timesteps=False)
    spread = model.tracker.window.embeddings
    assert np.ptp(model.tracker.shaping(spread)) > 0.1 * model.tracker.scales.ground_cost


def test_spikes_in_the_reward_do_not_drown_the_bonus_nor_the_other_way_round(adversary) -> None:
    """PPO with telescoping credit: an episode's bonus is of the order of the spread of returns, whatever that is."""
    for case in ("noise", "spikes"):
        model = learnt(adversary, case, WassersteinPPO, batch_size=40, n_epochs=1)
        scales = model.tracker.scales
        ratio = [row["wasserstein/bonus_to_return"] for row in model.logger.rows if "wasserstein/bonus_to_return" in row]
        assert ratio
        bonus = np.ptp(model.tracker.shaping(model.embeddings)) * scales.episode_return / scales.ground_cost
        assert 0.05 * scales.episode_return < bonus < 5 * scales.episode_return
