"""The natural gradient: metric and solver against dense algebra, the gradient against closed forms, Riccati, and resuming."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import scipy.linalg
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from torch import nn
from torch.func import functional_call, jacrev

from sb3_wasserstein.envs import CoupledOscillators, NonlinearRegulator
from sb3_wasserstein.flow import NaturalGradient, NeuralPolicy
from sb3_wasserstein.flow.neural.chains import Chains, gaussian
from sb3_wasserstein.flow.neural.metric import WassersteinMetric, dot, natural_direction
from sb3_wasserstein.flow.neural.policy import MLP


def oscillators(n=2, beta=0.0, policy=(16,), **kwargs):
    env = CoupledOscillators(n, beta)
    bounds = {"action_low": -1, "action_high": 1, "action_dim": n}
    task = {"noise": env.noise, "initial": env.initial_std, "seed": 0}
    return NaturalGradient(policy, env.dynamics, env.cost, **{**bounds, **task, **kwargs})


def riccati(env):
    P = scipy.linalg.solve_discrete_are(*env.linear_quadratic())
    A, B, _, R = env.linear_quadratic()
    return np.trace(env.noise.T @ P @ env.noise), np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A), P


def test_the_metric_is_the_averaged_squared_jacobian() -> None:
    torch.manual_seed(0)
    module = MLP(3, 2, (5,)).double()
    states, weights = torch.randn(11, 3, dtype=torch.float64), torch.rand(11, dtype=torch.float64)
    weights /= weights.sum()
    parameters = {name: value.detach() for name, value in module.named_parameters()}

    def act(at):
        return functional_call(module, at, (states,))

    jacobian = torch.cat([part.reshape(11, 2, -1) for part in jacrev(act)(parameters).values()], 2)
    dense = torch.einsum("n,nki,nkj->ij", weights, jacobian, jacobian)
    v = {name: torch.randn_like(value) for name, value in parameters.items()}
    flat = torch.cat([value.reshape(-1) for value in v.values()])
    found = WassersteinMetric(act, parameters, weights)(v)
    np.testing.assert_allclose(torch.cat([x.reshape(-1) for x in found.values()]), dense @ flat, atol=1e-12)

    solved = natural_direction(WassersteinMetric(act, parameters, weights), v, 1e-2, 200, tolerance=1e-14)
    exact = torch.linalg.solve(dense + 1e-2 * torch.eye(len(dense)), flat)
    np.testing.assert_allclose(torch.cat([x.reshape(-1) for x in solved.vector.values()]), exact, atol=1e-9)
    assert solved.length == pytest.approx(float(exact @ dense @ exact) ** 0.5, rel=1e-7)
    again = natural_direction(WassersteinMetric(act, parameters, weights), v, 1e-2, 3, start=solved.vector)
    assert again.residual < 1e-9
    assert float(dot(again.vector, again.vector)) == pytest.approx(float(exact @ exact), rel=1e-6)
    nowhere = {name: torch.zeros_like(value) for name, value in parameters.items()}
    assert natural_direction(WassersteinMetric(act, parameters), nowhere, 0.1, 5).length == 0.0


def linear_chains(env, gain, n_chains, seed=0):
    module = nn.Linear(len(env.noise), env.action_space.shape[0], bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(-gain))
    noise = torch.as_tensor(env.noise)
    return Chains(module, env.dynamics, env.cost, noise, gaussian(env.initial_std, len(env.noise)), n_chains, 0.0, seed)


def test_the_curvature_is_riccatis() -> None:
    """At the optimum ∂²Q/∂a² = 2 (R + Bᵀ P B)."""
    env = CoupledOscillators(2, 0.0)
    _, gain, P = riccati(env)
    _, B, _, R = env.linear_quadratic()
    exact = np.trace(2 * (R + B.T @ P @ B)) / 2
    chains = linear_chains(env, gain, 16)
    found = np.mean([chains.curvature(150) for _ in range(4)])
    assert found == pytest.approx(exact, rel=0.05)


def test_the_gradient_is_that_of_the_ergodic_cost() -> None:
    """dJ/dK of a linear policy by finite differences of the exact J(K), from Lyapunov's equation."""
    env = CoupledOscillators(1, 0.0)
    A, B, Q, R = env.linear_quadratic()
    _, gain, _ = riccati(env)
    gain = 0.7 * gain

    def J(K):
        P = scipy.linalg.solve_discrete_lyapunov((A - B @ K).T, Q + K.T @ R @ K)
        return np.trace(env.noise.T @ P @ env.noise)

    step = 1e-5 * np.eye(2)[:, None, :]
    exact = -np.array([(J(gain + h) - J(gain - h)) / 2e-5 for h in step])
    chains = linear_chains(env, gain, 128)
    chains.window(200)
    found = chains.window(1500).gradient["weight"].numpy()[0]
    np.testing.assert_allclose(found, exact, rtol=0.1, atol=0.02 * np.abs(exact).max())


def test_a_newton_step_from_a_stable_gain_is_nearly_riccatis() -> None:
    """One step at rate 1 on a linear policy: policy iteration, which squares the error."""
    env = CoupledOscillators(1, 0.0)
    best, gain, _ = riccati(env)
    module = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(-0.6 * gain))
    learner = oscillators(
        1, policy=module, windows=(128, 128), n_chains=256, learning_rate=1.0, damping=1e-6, restart=0.0, max_displacement=9.0
    )
    before = learner.evaluate() / best
    learner.learn(2 * 256 * 128)
    assert learner.n_updates == 2
    assert before > 1.05
    assert learner.evaluate() / best < 1.02


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_it_learns_the_oscillators(beta) -> None:
    env = CoupledOscillators(2, beta)
    learner = oscillators(2, beta, learning_rate=lambda progress: min(0.7, progress)).learn(40_000)
    assert learner.evaluate() <= 1.08 * riccati(CoupledOscillators(2, 0.0))[0]
    mean, _ = evaluate_policy(learner.as_policy(), Monitor(env), n_eval_episodes=5)
    assert mean / env.horizon == pytest.approx(-learner.evaluate(), rel=0.3)


@pytest.mark.parametrize("method", ["gradient", "adam"])
def test_the_other_methods_descend(method) -> None:
    learner = oscillators(method=method, learning_rate=0.01 if method == "adam" else 1.0, windows=(16, 16))
    before = learner.evaluate(32, 0, 100)
    assert learner.learn(20 * 1024).evaluate(32, 0, 100) < before


class Noisy(nn.Module):
    """A Gaussian policy by reparametrisation."""

    noise_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(1, 1)
        self.log_std = nn.Parameter(torch.tensor([-1.0]))

    def forward(self, states, noise):
        return self.mean(states) + self.log_std.exp() * noise


def test_a_stochastic_policy_loses_its_noise() -> None:
    env = NonlinearRegulator()
    torch.manual_seed(0)
    learner = NaturalGradient(Noisy(), env.dynamics, env.cost, noise=env.noise, initial=env.initial_std, seed=0)
    learner.learn(40_000)
    assert float(learner.policy.log_std.detach().exp()) < 0.12
    policy = learner.as_policy(seed=0)
    one, _ = policy.predict(np.zeros(1), deterministic=True)
    assert one.shape == (1,)
    assert np.std([policy.predict(np.zeros(1))[0] for _ in range(20)]) > 0.0


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.policy.parameters(), other.policy.parameters(), strict=True))


@pytest.mark.parametrize("method", ["natural", "adam"])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, method) -> None:
    kwargs = {"method": method, "learning_rate": 0.01}
    whole = oscillators(**kwargs).learn(12_000)
    path = tmp_path / "folder" / "checkpoint.pt"
    oscillators(**kwargs).learn(12_000, callback=lambda m: m.n_updates < 4, checkpoint=path)
    resumed = oscillators(**kwargs, policy=MLP(4, 2, (16,), scale=0.3)).learn(12_000, checkpoint=path)
    assert resumed.num_timesteps == whole.num_timesteps
    assert same(whole, resumed)
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_policy_comes_back_from_its_file(tmp_path) -> None:
    learner = oscillators()
    learner.as_policy().save(tmp_path / "policy.pt")
    loaded = NeuralPolicy.load(tmp_path / "policy.pt")
    states = np.random.default_rng(0).standard_normal((5, 4))
    np.testing.assert_array_equal(loaded.predict(states)[0], learner.as_policy().predict(states)[0])
    assert np.abs(loaded.predict(1e6 * states)[0]).max() <= 1.0
    own = NeuralPolicy(nn.Linear(4, 2))
    own.save(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="module must be given"):
        NeuralPolicy.load(tmp_path / "own.pt")
    again = NeuralPolicy.load(tmp_path / "own.pt", nn.Linear(4, 2))
    np.testing.assert_array_equal(again.predict(states)[0], own.predict(states)[0])


def test_files_that_are_no_policies(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="path="):
        NeuralPolicy.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no")
    with pytest.raises(ValueError, match="does not hold a neural policy"):
        NeuralPolicy.load(tmp_path / "text.pt")
    oscillators().as_policy().save(tmp_path / "policy.pt")
    with pytest.raises(ValueError, match="does not hold a natural gradient"):
        oscillators().load_checkpoint(tmp_path / "policy.pt")


def test_chains_that_explode_start_anew() -> None:
    env = CoupledOscillators(2, 0.0)
    chains = linear_chains(env, -3 * riccati(env)[1], 8)
    assert chains.window(64).diverged == 8
    assert chains.states.abs().max() < 1.0


def test_it_logs_through_sb3(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    oscillators(tensorboard_log=str(tmp_path)).learn(11 * 1024, log_interval=2)
    assert len(list((tmp_path / "NaturalGradient_1").iterdir())) == 1


def test_a_gymnasium_script(tmp_path) -> None:
    env = gym.make("wasserstein/CoupledOscillators-v0", n=2)
    task: Any = env.unwrapped
    learner = NaturalGradient(
        (8,), task.dynamics, task.cost, noise=task.noise, initial=task.initial_std, action_low=-np.ones(2), action_high=1
    ).learn(1024)
    mean, _ = evaluate_policy(learner.as_policy(), Monitor(env), n_eval_episodes=1)
    assert np.isfinite(mean)
