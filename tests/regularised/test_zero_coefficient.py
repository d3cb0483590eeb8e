"""wasserstein_coef=0 is the parent class, bit for bit, whether or not there is a target to measure against."""

import numpy as np
import pytest
import torch as th
from logs import KeepingLogger
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import DualCallback, WassersteinA2C, WassersteinPPO

CASES = {
    "CartPole x 1": ("CartPole-v1", 1, False, 4),
    "CartPole x 4, VecNormalize": ("CartPole-v1", 4, True, 4),
    "Pendulum x 2, VecNormalize": ("Pendulum-v1", 2, True, 3),
}
CLOCK = ("time/fps", "time/time_elapsed")


def train(cls, env_id, n_envs, normalize, **kwargs):
    env = make_vec_env(env_id, n_envs, seed=5)
    if normalize:
        env = VecNormalize(env)
    if issubclass(cls, PPO):
        kwargs.update(n_steps=128, batch_size=64, n_epochs=2)
    model = cls("MlpPolicy", env, seed=7, **kwargs)
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(1200, log_interval=1)
    return model, logger.rows


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return th.equal(a, b) if isinstance(a, th.Tensor) else a == b


@pytest.mark.parametrize("with_target", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("ours", "theirs"), [(WassersteinPPO, PPO), (WassersteinA2C, A2C)])
def test_bit_identical(ours, theirs, case, with_target):
    env_id, n_envs, normalize, dim = CASES[case]
    plain, plain_rows = train(theirs, env_id, n_envs, normalize)
    kwargs = {"target": np.ones((3, dim))} if with_target else {}
    model, rows = train(ours, env_id, n_envs, normalize, wasserstein_coef=0.0, **kwargs)
    for name in ("policy", "policy.optimizer"):
        assert equal(model.get_parameters()[name], plain.get_parameters()[name]), name
    assert len(rows) == len(plain_rows) > 1
    for row, plain_row in zip(rows, plain_rows, strict=True):
        kept = {key: value for key, value in row.items() if not key.startswith("wasserstein/")}
        assert kept.keys() == plain_row.keys()
        for key in plain_row.keys() - set(CLOCK):
            np.testing.assert_equal(kept[key], plain_row[key], err_msg=key)
    assert (len(model.embeddings) > 0) == with_target


def test_it_can_fail():
    """The comparison sees a coefficient that is not zero."""
    plain, _ = train(PPO, "CartPole-v1", 1, False)
    model, _ = train(WassersteinPPO, "CartPole-v1", 1, False, wasserstein_coef=1e-3, target=np.ones((3, 4)))
    assert not equal(model.get_parameters()["policy"], plain.get_parameters()["policy"])


def test_what_is_only_measured_waits_and_nothing_is_lost():
    """A2C's rollouts of 20 steps: the window is what a callback records that takes in each of them."""
    measured = WassersteinA2C("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=5), seed=7, target=np.ones((3, 4)))
    solved = []
    update = measured.dual.update
    measured.dual.update = lambda *clouds: (solved.append(measured.num_timesteps), update(*clouds))
    measured.learn(5000)
    callback = DualCallback("mean_state", np.ones((3, 4)))
    A2C("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=5), seed=7).learn(5000, callback)
    np.testing.assert_array_equal(measured.embeddings, callback.window.embeddings)
    np.testing.assert_array_equal(measured.dual_callback.window.returns, callback.window.returns)
    # The first rollouts that end at or past 2048 and 4096.
    assert solved == [2060, 4100]


def test_a_training_cut_in_two_measures_the_same():
    """Where rollouts wait, the cut must not solve the dual once more."""

    def made():
        model = WassersteinA2C("MlpPolicy", make_vec_env("Pendulum-v1", 2, seed=5), seed=7, target=np.ones((3, 3)))
        update, solved = model.dual.update, []
        model.dual.update = lambda *clouds: (solved.append(model.num_timesteps), update(*clouds))
        return model, solved

    whole, solved_whole = made()
    whole.learn(6000)
    halves, solved_halves = made()
    halves.learn(3000)
    halves.learn(3000, reset_num_timesteps=False)
    assert solved_halves == solved_whole == [2050, 4100]
    assert equal(halves.dual.state_dict(), whole.dual.state_dict())
    np.testing.assert_array_equal(halves.embeddings, whole.embeddings)


def test_a_coefficient_that_is_switched_on_gets_its_own_rollout():
    """What had waited is no part of a rollout with a bonus."""
    model = WassersteinA2C("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=5), seed=7, target=np.ones((3, 4)))
    switch = {"at": 3000}

    class Switch(BaseCallback):
        def _on_rollout_start(self):
            if self.num_timesteps >= switch["at"]:
                self.model.wasserstein_coef = -1.0

        def _on_step(self):
            return True

    shapes = []
    add_bonus = model._add_bonus

    def noting(buffer, behaviour):
        if model.wasserstein_coef:
            shapes.append(behaviour.rollout.ends.shape)
        add_bonus(buffer, behaviour)

    model._add_bonus = noting
    model.learn(4000, Switch())
    assert len(shapes) == 49
    assert set(shapes) == {(5, 4)}
