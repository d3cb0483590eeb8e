"""The control tasks against the environment checkers, the written equations, and scipy's Riccati solution."""

import gymnasium as gym
import numpy as np
import pytest
import scipy.linalg
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env

from sb3_wasserstein.envs import CoupledOscillators, NonlinearRegulator
from sb3_wasserstein.flow import Grid, ParticleFlow

TASKS = [
    ("NonlinearRegulator", {}),
    ("NonlinearRegulator", {"beta": 0.0}),
    ("CoupledOscillators", {"n": 3}),
    ("CoupledOscillators", {"n": 1, "beta": 0.0}),
]


@pytest.mark.parametrize(("name", "kwargs"), TASKS)
def test_the_checkers_are_content(name, kwargs) -> None:
    env = gym.make(f"wasserstein/{name}-v0", render_mode="rgb_array", **kwargs)
    gymnasium_check_env(env.unwrapped, skip_render_check=True)
    check_env(env.unwrapped)
    env.reset(seed=0)
    assert env.render().dtype == np.uint8
    assert env.render().shape[2] == 3


def written_oscillators(env, state, action, w):
    """One step as the docstring writes it, coordinate by coordinate."""
    n, q, p = env.n, state[: env.n], state[env.n :]
    u = 3 * action
    q_after, p_after = np.zeros(n), np.zeros(n)
    for i in range(n):
        neighbours = [j for j in (i - 1, i + 1) if 0 <= j < n]
        pull = sum(q[j] - q[i] for j in neighbours) + q[i] - env.beta * q[i] ** 3
        p_after[i] = p[i] + 0.05 * (pull - 0.1 * p[i] + u[i]) + 0.3 * np.sqrt(0.05) * w[i]
        q_after[i] = q[i] + 0.05 * p_after[i]
    return np.concatenate([q_after, p_after]), np.mean(q**2 + p**2 + 0.1 * u**2)


def test_the_oscillators_are_the_written_equations() -> None:
    env = CoupledOscillators(n=4, beta=1.5)
    env.reset(seed=0)
    for _ in range(20):
        state = env.state.copy()
        action = env.action_space.sample()
        w = np.random.Generator(type(env.np_random.bit_generator)())
        w.bit_generator.state = env.np_random.bit_generator.state
        expected, cost = written_oscillators(env, state, action.astype(np.float64), w.standard_normal(4))
        _, reward, terminated, _, _ = env.step(action)
        np.testing.assert_allclose(env.state, expected, atol=1e-12)
        assert reward == pytest.approx(-cost)
        assert not terminated


def test_the_linear_matrices_are_the_dynamics() -> None:
    env = CoupledOscillators(n=5, beta=0.0)
    A, B, Q, R = env.linear_quadratic()
    rng = np.random.default_rng(0)
    s, a = rng.standard_normal((7, 10)), rng.standard_normal((7, 5))
    np.testing.assert_allclose(env.dynamics(torch.as_tensor(s), torch.as_tensor(a)), s @ A.T + a @ B.T, atol=1e-12)
    cost = np.einsum("bi,ij,bj->b", s, Q, s) + np.einsum("bi,ij,bj->b", a, R, a)
    np.testing.assert_allclose(env.cost(torch.as_tensor(s), torch.as_tensor(a)), cost, atol=1e-12)
    assert np.abs(np.linalg.eigvals(A)).max() > 1.02


def test_riccatis_cost_is_what_the_environment_pays() -> None:
    env = CoupledOscillators(n=5, beta=0.0, horizon=20_000)
    A, B, Q, R = env.linear_quadratic()
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    gain = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
    expected = np.trace(env.noise.T @ P @ env.noise)
    env.reset(seed=0)
    costs = [-env.step(-gain @ env.state)[1] for _ in range(6000)]
    assert np.mean(costs) == pytest.approx(expected, rel=0.03)


def test_fifty_oscillators_cost_what_was_published_here() -> None:
    env = CoupledOscillators(n=50, beta=0.0)
    P = scipy.linalg.solve_discrete_are(*env.linear_quadratic())
    assert np.trace(env.noise.T @ P @ env.noise) == pytest.approx(0.0377, abs=5e-5)


def test_the_flow_solves_the_regulator_as_it_stands() -> None:
    env = NonlinearRegulator(beta=0.0)
    flow = ParticleFlow(env.dynamics, env.cost, Grid(-3, 3, 101), -4, 4, 1, env.noise)
    flow.solve()
    P = scipy.linalg.solve_discrete_are([[1.1]], [[1.0]], [[0.1]], [[1.0]])
    gain = 1.1 * P.item() / (1.0 + P.item())
    inner = flow.grid.nodes.abs()[:, 0] < 1
    np.testing.assert_allclose(flow.particles[inner, 0], -gain * flow.grid.nodes[inner], atol=1e-6)


def test_an_episode_is_truncated_and_the_state_is_clipped() -> None:
    env = CoupledOscillators(n=2, beta=0.0, horizon=300)
    env.reset(seed=0)
    ends = [env.step(np.ones(2, dtype=np.float32))[2:4] for _ in range(300)]
    assert ends[-1] == (False, True)
    assert not any(truncated for _, truncated in ends[:-1])
    assert np.abs(env.state).max() == 5.0
