"""A two-armed bandit has closed forms: the law after training, and the gradient."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinPPO, behaviour_distance


class Bandit(gym.Env):
    """One step; the observation after it is the arm's number. Both arms pay nothing."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action):
        return np.full(1, float(action), dtype=np.float32), 0.0, True, False, {}


def bandit_model(coef, credit, seed, **kwargs):
    return WassersteinPPO(
        "MlpPolicy",
        make_vec_env(Bandit, 8, seed=seed),
        embedding="final_state",
        target=[[0.0], [1.0]],
        wasserstein_coef=coef,
        credit=credit,
        normalize_bonus=False,
        # Not debiased, unregularised but for a trace: W = |p − q| for two points at distance 1.
        dual_kwargs={"epsilon": 0.02, "relative": False, "debias": True, "dtype": "float64", "tol": 1e-9},
        n_steps=32,
        batch_size=256,
        gamma=1.0,
        gae_lambda=1.0,
        seed=seed,
        **kwargs,
    )


def probability(model):
    """Of arm 1."""
    observation = model.policy.obs_to_tensor(np.zeros((1, 1), dtype=np.float32))[0]
    return float(model.policy.get_distribution(observation).distribution.probs[0, 1].detach())


@pytest.mark.parametrize("credit", ["telescoping", "terminal", "episode"])
def test_a_positive_coefficient_raises_the_distance_and_a_negative_one_lowers_it(credit) -> None:
    ends = {}
    for coef in (-1.0, 1.0):
        model = bandit_model(coef, credit, seed=0, learning_rate=3e-3, episode_window=256)
        with th.no_grad():
            model.policy.action_net.bias += th.tensor([0.0, 1.5])
        start = probability(model)
        with pytest.warns(UserWarning, match="counts as 1"):
            model.learn(256 * 12)
        ends[coef] = abs(probability(model) - 0.5)
    assert ends[-1.0] < abs(start - 0.5) - 0.1 < abs(start - 0.5) + 0.05 < ends[1.0]


@pytest.mark.parametrize("credit", ["telescoping", "terminal", "episode"])
def test_the_estimated_gradient_matches_the_analytic_one(credit) -> None:
    """
    The law is (1 − p, p) on {0, 1}. dW/dθ = p (1 − p) (h(1) − h(0)) for the logit θ; the estimate is the mean over the
    rollout of advantage · ∂ log π(a)/∂θ, and the difference of W over small changes of p is the oracle.
    """
    estimates = []
    for seed in range(12):
        model = bandit_model(1.0, credit, seed=seed, learning_rate=0.0, episode_window=256)
        with th.no_grad():
            model.policy.action_net.bias += th.tensor([0.0, 1.0])
            model.policy.value_net.weight.zero_()
        grabbed: dict[str, Any] = {}

        def spy(model=model, grabbed=grabbed) -> None:
            actions = model.rollout_buffer.actions[..., 0]
            grabbed["gradient"] = float(np.mean(model.rollout_buffer.advantages * (actions - probability(model))))

        model.train = spy
        with pytest.warns(UserWarning, match="counts as 1"):
            model.learn(256)
        estimates.append(grabbed["gradient"])
    p = probability(model)

    def distance(p):
        dual_kwargs = {"epsilon": 0.02, "relative": False}
        points = np.array([[0.0], [1.0]])
        return behaviour_distance(Target(points, [1 - p, p]), Target(points), **dual_kwargs)

    step = 1e-3
    analytic = p * (1 - p) * (distance(p + step) - distance(p - step)) / (2 * step)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    # Without a baseline's error the estimate is biased by 1/n: the law that h comes from is the sample's own.
    assert abs(np.mean(estimates) - analytic) < 3 * error + abs(analytic) / 256
    assert abs(analytic) > 10 * error
