"""λ by a constraint: a distance that is held, a teacher that is let go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripted import ScriptedEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import Target, WassersteinA2C, WassersteinPPO, WassersteinSAC
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.regularised import MultiplierOptions
from sb3_wasserstein.regularised.multiplier import Multiplier

#: off the way to both goals
ELSEWHERE = Target(np.random.default_rng(1).normal(size=(100, 2)) * 0.1 + [0.0, -0.5], is_sample=True)


def learnt(steps: int = 31_000, seed: int = 0, **kwargs: Any) -> WassersteinPPO:
    settings = {"n_steps": 96, "batch_size": 256, "n_epochs": 5, "learning_rate": 3e-3, "gamma": 1.0, "device": "cpu"}
    env = make_vec_env(Goals, 8, seed=seed)
    settings |= {"wasserstein_coef": "auto", "target": ELSEWHERE, "episode_window": 192, "seed": seed}
    return WassersteinPPO("MlpPolicy", env, **(settings | kwargs)).learn(steps)


@pytest.mark.filterwarnings("ignore:target_distance=.*is no less")
@pytest.mark.slow
def test_a_distance_is_held() -> None:
    free = learnt(wasserstein_coef=0.0).dual.distance
    found = learnt(target_distance=0.4)
    assert free > 0.8
    assert found.dual.distance == pytest.approx(0.4, rel=0.2)
    assert found.multiplier is not None
    assert found.multiplier.violation == pytest.approx(found.dual.distance / 0.4 - 1.0)


@pytest.mark.slow
def test_a_distance_is_kept_from_what_repels() -> None:
    at_a_goal = Target(np.random.default_rng(1).normal(size=(100, 2)) * 0.1 + [0.5, 0.5], is_sample=True)
    free = learnt(target=at_a_goal, wasserstein_coef=0.0).dual.distance
    apart = learnt(target=at_a_goal, target_distance=1.5, repel=True).dual.distance
    assert free < 1.2
    assert apart > 1.3


def test_a_multiplier_moves_by_the_share_of_the_training_and_stays_in_its_bounds() -> None:
    options = MultiplierOptions(rise=0.1, fall=0.2, proportional=0.0, lowest=0.1, highest=10.0)
    multiplier = Multiplier.of(0.9, options)
    assert multiplier.value(options) == pytest.approx(0.9)
    multiplier.step(5.0, 0.0, options)
    multiplier.step(5.0, 0.1, options)
    assert multiplier.value(options) == pytest.approx(np.e - 0.1)
    multiplier.step(-1.0, 0.3, options)
    assert multiplier.value(options) == pytest.approx(0.9)
    multiplier.step(-1.0, 1.0, options)
    assert (multiplier.value(options), multiplier.bound_hit(options)) == (0.0, -1)
    # Nothing has wound up at the bound: it rises at once.
    multiplier.step(1.0, 1.1, options)
    assert multiplier.value(options) == pytest.approx(0.1 * np.e - 0.1)
    multiplier.step(1.0, 0.0, options)
    assert multiplier.value(options) == pytest.approx(0.1 * np.e - 0.1)


def test_the_proportional_term_acts_at_once() -> None:
    options = MultiplierOptions(proportional=2.0)
    multiplier = Multiplier.of(1.0, options)
    multiplier.step(0.5, 0.0, options)
    assert multiplier.value(options) == pytest.approx(1.1 * np.e - 0.1)


def a2c(**kwargs: Any) -> WassersteinA2C:
    env = DummyVecEnv([lambda: ScriptedEnv(lengths=(5,))])
    settings = {"target": np.ones((1, 3)), "episode_window": 8, "seed": 0, "device": "cpu", "wasserstein_coef": "auto_0.5"}
    return WassersteinA2C("MlpPolicy", env, **(settings | kwargs))


def test_attraction_ends_where_the_return_is_reached() -> None:
    reached = a2c(target_return=-1e6).learn(400)
    assert reached.multiplier is not None
    assert reached.multiplier.value(MultiplierOptions()) == 0.0
    # Returns that do not change can never be reached: λ rises.
    missed = a2c(target_return=1e6).learn(400)
    assert missed.multiplier is not None
    assert missed.multiplier.value(MultiplierOptions()) > 1.0


def test_it_is_saved_and_goes_on(tmp_path: Any) -> None:
    model = a2c(target_return=1e6, multiplier_options=MultiplierOptions(rise=0.5)).learn(200)
    model.save(tmp_path / "model")
    loaded = WassersteinA2C.load(tmp_path / "model", env=model.get_env())
    assert loaded.multiplier == model.multiplier
    assert loaded.multiplier_options == MultiplierOptions(rise=0.5)
    assert (loaded.wasserstein_coef, loaded.target_return) == ("auto_0.5", 1e6)
    for one in (model, loaded):
        one.learn(200, reset_num_timesteps=False)
    assert loaded.multiplier.log_value == model.multiplier.log_value


def test_off_policy_it_moves_too() -> None:
    model = WassersteinSAC(
        "MlpPolicy", "Pendulum-v1", target=[[1.0, 0.0, 0.0]], wasserstein_coef="auto", target_distance=1e-3,
        episode_window=2, learning_starts=100, seed=0, policy_kwargs={"net_arch": [8]},
    )  # fmt: skip
    model.learn(700)
    assert model.multiplier is not None
    assert model.multiplier.value(MultiplierOptions()) > 1.0


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({}, "needs exactly one of target_distance= .* and target_return= .*got neither"),
        ({"target_distance": 1.0, "target_return": 1.0}, "got target_distance and target_return"),
        ({"wasserstein_coef": -1.0, "target_distance": 1.0}, 'target_distance goes with wasserstein_coef="auto"'),
        ({"wasserstein_coef": -1.0, "repel": True}, 'repel goes with wasserstein_coef="auto"'),
        ({"target_return": 1.0, "repel": True}, "repel=True goes with target_distance="),
        ({"wasserstein_coef": "auto_much", "target_distance": 1.0}, '"auto", or "auto_" and the first λ > 0'),
        ({"wasserstein_coef": "auto_-1", "target_distance": 1.0}, '"auto", or "auto_" and the first λ > 0'),
        ({"target_distance": 0.0}, "target_distance"),
        ({"target_return": float("nan")}, "target_return"),
    ],
)
def test_a_constraint_that_is_none_is_refused(kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        a2c(**kwargs)
