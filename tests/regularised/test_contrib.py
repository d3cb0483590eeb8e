"""sb3-contrib's algorithms: the parent's bits at λ = 0, SB3's arithmetic at λ ≠ 0, save and load."""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env

sb3_contrib = pytest.importorskip("sb3_contrib", reason="needs the extra contrib")

from sb3_contrib.common.wrappers import ActionMasker  # noqa: E402

from sb3_wasserstein.regularised.contrib import (  # noqa: E402
    WassersteinMaskablePPO,
    WassersteinRecurrentPPO,
    WassersteinTRPO,
)

PAIRS = {
    "trpo": (WassersteinTRPO, sb3_contrib.TRPO, "MlpPolicy", {}),
    "recurrent": (
        WassersteinRecurrentPPO,
        sb3_contrib.RecurrentPPO,
        "MlpLstmPolicy",
        {"n_epochs": 2, "policy_kwargs": {"lstm_hidden_size": 8}},
    ),
    "maskable": (WassersteinMaskablePPO, sb3_contrib.MaskablePPO, "MlpPolicy", {"n_epochs": 2}),
}


def masked(env: gym.Env) -> gym.Env:
    return ActionMasker(env, lambda _: np.array([True, True]))


def made(cls, policy, kwargs, **ours):
    env = make_vec_env("CartPole-v1", 2, seed=3, wrapper_class=masked)
    return cls(policy, env, n_steps=64, batch_size=64, seed=3, **kwargs, **ours)


@pytest.mark.parametrize("name", PAIRS)
def test_coefficient_zero_is_the_parent_bit_for_bit(name) -> None:
    ours, theirs, policy, kwargs = PAIRS[name]
    model = made(ours, policy, kwargs, target=np.ones((2, 4))).learn(384)
    plain = made(theirs, policy, kwargs).learn(384)
    for key, value in plain.policy.state_dict().items():
        assert th.equal(value, model.policy.state_dict()[key]), key
    assert len(model.embeddings) == len(plain.ep_info_buffer) > 4


@pytest.mark.parametrize("name", PAIRS)
def test_advantages_are_those_of_the_reshaped_rewards(name) -> None:
    ours, _, policy, kwargs = PAIRS[name]
    model = made(ours, policy, kwargs, target=np.zeros((1, 4)), wasserstein_coef=-2.0)
    arguments: dict[str, Any] = {}
    checked = []
    compute = model.rollout_buffer.compute_returns_and_advantage

    def remember(last_values, dones) -> None:
        arguments.update(last_values=last_values, dones=dones.copy(), rewards=model.rollout_buffer.rewards.copy())
        compute(last_values, dones)

    def check() -> None:
        buffer = model.rollout_buffer
        advantages, returns = buffer.advantages.copy(), buffer.returns.copy()
        compute(arguments["last_values"], arguments["dones"])
        np.testing.assert_allclose(advantages, buffer.advantages, atol=1e-4)
        np.testing.assert_allclose(returns, buffer.returns, atol=1e-4)
        checked.append(np.any(buffer.rewards != arguments["rewards"]))

    model.rollout_buffer.compute_returns_and_advantage = remember
    model.train = check
    model.learn(512)
    assert len(checked) == 4
    assert all(checked[1:])


@pytest.mark.parametrize("name", PAIRS)
def test_save_and_load(name, tmp_path) -> None:
    ours, _, policy, kwargs = PAIRS[name]
    model = made(ours, policy, kwargs, target=np.zeros((1, 4)), wasserstein_coef=-1.0).learn(256)
    model.save(tmp_path / "model")
    loaded = ours.load(tmp_path / "model", env=model.get_env())
    np.testing.assert_array_equal(loaded.embeddings, model.embeddings)
    np.testing.assert_array_equal(loaded.dual.shaping(np.eye(4)), model.dual.shaping(np.eye(4)))
    loaded.learn(128, reset_num_timesteps=False)


def test_the_error_without_it_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.delitem(sys.modules, "sb3_wasserstein.regularised.contrib")
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[contrib\]"):
        import sb3_wasserstein.regularised.contrib  # noqa: F401
