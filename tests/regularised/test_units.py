"""The units of an occupancy's features, and from when on there is a distance: what mutations have got past the other tests."""

from functools import partial

import numpy as np
import pytest
from scripted import ScriptedEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import Target, WassersteinA2C
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.regularised import TrackerOptions

UNITS = np.array([1.0, 50.0, 0.01])
TARGET = np.random.default_rng(0).uniform(-2, 2, size=(20, 3))


class Scaled(ScriptedEnv):
    def __init__(self, units) -> None:
        super().__init__("box", lengths=(5,))
        self.units = units.astype(np.float32)

    def _observe(self):
        return super()._observe() * self.units


def learnt(units, dual="sinkhorn"):
    env = DummyVecEnv([lambda: Scaled(units)])
    model = WassersteinA2C(
        "MlpPolicy", env, embedding=StateOccupancy(horizon=5), target=TARGET * units, dual=dual, wasserstein_coef=0.0,
        episode_window=8, seed=0, device="cpu",
    )  # fmt: skip
    return model.learn(100)


def test_an_occupancys_features_count_alike_whatever_their_units() -> None:
    plain, scaled = learnt(np.ones(3)), learnt(UNITS)
    points = np.random.default_rng(1).uniform(-2, 2, size=(30, 3))
    expected = plain.tracker.shaping(points)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(scaled.tracker.shaping(points * UNITS), expected, atol=0.02 * np.ptp(expected))
    np.testing.assert_allclose(scaled.tracker.dual.units / plain.tracker.dual.units, UNITS, rtol=1e-3)


def test_whole_episodes_are_standardized_where_that_is_asked_for() -> None:
    potentials = []
    for units in (np.ones(3), UNITS):
        env = DummyVecEnv([partial(Scaled, units)])
        options = TrackerOptions(standardize=True)
        target = Target(TARGET * units)
        model = WassersteinA2C(
            "MlpPolicy", env, target=target, episode_window=8, seed=0, device="cpu", tracker_options=options
        )
        model.learn(100)
        # The dual speaks in the units of the embeddings, and standardises inside.
        potentials.append(model.dual.potential(model.embeddings))
    np.testing.assert_allclose(*potentials, atol=1e-3 * np.ptp(potentials[0]))


def test_the_unit_is_each_features_own_spread() -> None:
    tracker = learnt(UNITS).tracker
    assert tracker.dual.units.shape == (3,)
    # Uniform on ± 2: a deviation of 2.3 / 2.
    np.testing.assert_allclose(tracker.dual.units, 1.155 * UNITS, rtol=0.15)


@pytest.mark.parametrize(("steps", "fitted"), [(5, False), (10, True)])
@pytest.mark.filterwarnings("ignore:.*have finished.*")
def test_two_episodes_are_enough_for_a_distance(steps, fitted) -> None:
    env = DummyVecEnv([lambda: ScriptedEnv(lengths=(5,))])
    model = WassersteinA2C("MlpPolicy", env, target=np.ones((1, 3)), wasserstein_coef=0.0, seed=0, device="cpu").learn(steps)
    assert len(model.tracker.window) == steps // 5
    assert model.dual.is_fitted == fitted


def test_a_feature_that_never_varies_keeps_its_unit() -> None:
    """And one warning names it."""
    with pytest.warns(UserWarning, match=r"entries \[1\] of the embedding") as caught:
        model = learnt(np.array([1.0, 0.0, 1.0]))
    assert model.tracker.dual.units[1] == 1.0
    assert len(caught) == 1


def test_a_segments_bonus_goes_on_to_the_episodes_end() -> None:
    """GAE stops where an episode ended, not where a segment did."""
    env = DummyVecEnv([lambda: ScriptedEnv(lengths=(5,))])
    model = WassersteinA2C(
        "MlpPolicy", env, n_steps=16, target=np.ones((1, 3)), wasserstein_coef=-1.0, segment_length=3, seed=0, device="cpu"
    )
    model.learn(16)
    rollout, ends = model.tracker.rollout, np.arange(1, 17) % 5 == 0
    np.testing.assert_array_equal((rollout.terminated | rollout.truncated)[:, 0], ends)
    np.testing.assert_array_equal(rollout.ends[:, 0], ends | (np.arange(16) % 5 == 2))


def test_a_segment_of_one_step() -> None:
    env = DummyVecEnv([lambda: ScriptedEnv(lengths=(5,))])
    model = WassersteinA2C("MlpPolicy", env, target=np.ones((1, 3)), segment_length=1, seed=0, device="cpu").learn(10)
    assert len(model.tracker.window) == 10
