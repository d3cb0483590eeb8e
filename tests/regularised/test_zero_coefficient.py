"""wasserstein_coef=0 is the parent class, bit for bit, whether or not there is a target to measure against."""

import numpy as np
import pytest
import torch as th
from logs import KeepingLogger
from stable_baselines3 import A2C, PPO
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
def test_bit_identical(ours, theirs, case, with_target) -> None:
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


def test_it_can_fail() -> None:
    """The comparison sees a coefficient that is not zero."""
    plain, _ = train(PPO, "CartPole-v1", 1, False)
    model, _ = train(WassersteinPPO, "CartPole-v1", 1, False, wasserstein_coef=1e-3, target=np.ones((3, 4)))
    assert not equal(model.get_parameters()["policy"], plain.get_parameters()["policy"])


def test_what_is_measured_is_what_a_callback_measures_under_the_parent() -> None:
    measured = WassersteinA2C("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=5), seed=7, target=np.ones((3, 4)))
    measured.learn(3000)
    callback = DualCallback("mean_state", np.ones((3, 4)))
    A2C("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=5), seed=7).learn(3000, callback)
    np.testing.assert_array_equal(measured.embeddings, callback.window.embeddings)
    np.testing.assert_array_equal(measured.tracker.window.returns, callback.window.returns)
    assert equal(measured.dual.state_dict(), callback.dual.state_dict())


def test_a_training_cut_in_two_measures_the_same() -> None:
    """The cut must not solve the dual once more."""

    def made():
        model = WassersteinA2C("MlpPolicy", make_vec_env("Pendulum-v1", 2, seed=5), seed=7, target=np.ones((3, 3)))
        update, solved = model.dual.update_laws, []
        model.dual.update_laws = lambda *clouds: (solved.append(model.num_timesteps), update(*clouds))
        return model, solved

    whole, solved_whole = made()
    whole.learn(6000)
    halves, solved_halves = made()
    halves.learn(3000)
    halves.learn(3000, reset_num_timesteps=False)
    assert solved_halves == solved_whole
    assert len(solved_whole) >= 3
    assert equal(halves.dual.state_dict(), whole.dual.state_dict())
    np.testing.assert_array_equal(halves.embeddings, whole.embeddings)
