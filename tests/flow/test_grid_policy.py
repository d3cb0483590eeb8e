"""The policy behind SB3's predict, the known physics, and the simulator, against Gymnasium's own environments."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from benchmarks.flow.problems import regulator
from sb3_wasserstein.flow import Grid, ParticleFlow, from_env, mountain_car, pendulum


@pytest.mark.parametrize(("problem", "name"), [(pendulum(9), "Pendulum-v1"), (mountain_car(9), "MountainCarContinuous-v0")])
def test_known_physics_is_gymnasiums(problem, name) -> None:
    env: Any = gym.make(name).unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(300):
        state = rng.uniform(problem.grid.low, problem.grid.high)
        action = rng.uniform(problem.action_low, problem.action_high)
        if name != "Pendulum-v1" and state[0] > 0.37:
            continue
        env.state = state.copy()
        env.step(action)
        s, a = torch.as_tensor(state)[None], torch.as_tensor(action)[None]
        np.testing.assert_allclose(problem.dynamics(s, a)[0], env.state, atol=1e-6)
        if name == "Pendulum-v1":
            env.state = state.copy()
            observation, reward, *_ = env.step(action)
            assert problem.cost(s, a).item() == pytest.approx(-reward, rel=1e-9)
            read = problem.observation_to_state(torch.as_tensor(observation, dtype=torch.float64)[None])[0]
            np.testing.assert_allclose(np.exp(1j * read[0].item()), np.exp(1j * env.state[0]), atol=1e-6)


def test_mountain_car_pays_the_environments_return() -> None:
    """Over one episode, discounted: cost = −(discounted return) + 100 / γ, by construction."""
    problem = mountain_car(9, discount=0.9)
    s = torch.tensor([[0.44, 0.05]], dtype=torch.float64)
    a = torch.tensor([[0.5]], dtype=torch.float64)
    total, weight = 0.0, 1.0
    for _ in range(200):
        total += weight * float(problem.cost(s, a))
        s, weight = problem.dynamics(s, a), 0.9 * weight
    assert total == pytest.approx(100 / 0.9 - (100 - 0.1 * 0.25), rel=1e-4)


def test_evaluate_policy_plays_the_real_pendulum() -> None:
    flow = pendulum(31).flow(2)
    flow.particles = 4 * torch.rand(flow.particles.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 2
    result = flow.solve()
    assert result.gap <= 1e-9
    env = Monitor(gym.make("Pendulum-v1"))
    env.reset(seed=0)
    upright = []

    def look(variables, _) -> None:
        if variables["done"]:
            upright.append(variables["info"]["terminal_observation"][0] > 0.99)

    mean, _ = evaluate_policy(flow.as_policy(), env, n_eval_episodes=20, callback=look)
    assert mean > -170
    assert len(upright) == 20
    assert all(upright)


def test_deterministic_is_the_interpolated_mean_and_stochastic_draws_particles() -> None:
    flow = regulator(31, 3)
    flow.weights = torch.tensor([[1.0, 2.0, 5.0]]).expand(31, 3)
    nodes = flow.grid.nodes.numpy()
    policy = flow.as_policy(seed=0)
    mean = (flow.particles * flow.weights[..., None]).sum(1)
    actions, state = policy.predict(nodes, deterministic=True)
    assert state is None
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, mean, atol=1e-6)
    one, _ = policy.predict((nodes[3] + nodes[4]) / 2, deterministic=True)
    assert one.shape == (1,)
    np.testing.assert_allclose(one, (mean[3] + mean[4]) / 2, atol=1e-6)
    draws, _ = policy.predict(np.tile(nodes[5], (4000, 1)))
    shares = [(np.abs(draws - float(a)) < 1e-6).mean() for a in flow.particles[5, :, 0]]
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8], atol=0.03)
    again, _ = flow.as_policy(seed=0).predict(np.tile(nodes[5], (4000, 1)))
    np.testing.assert_array_equal(draws, again)


def test_a_policy_is_a_snapshot() -> None:
    flow = regulator(31, 3)
    policy = flow.as_policy()
    before, _ = policy.predict(np.array([0.3]), deterministic=True)
    flow.particles[:] = 5.0
    np.testing.assert_array_equal(policy.predict(np.array([0.3]), deterministic=True)[0], before)


@pytest.mark.parametrize("periodic", [None, False])
def test_angles_are_read_from_cos_and_sin(periodic) -> None:
    grid = Grid([-np.pi, -8], [np.pi, 8], 9, periodic=periodic)
    flow = ParticleFlow(lambda s, a: 0.5 * s + a, lambda s, a: (s**2).sum(1), grid, -1, 1, 1, 0.1)
    read = flow.as_policy().states(torch.tensor([[np.cos(2.0), np.sin(2.0), 3.0]], dtype=torch.float64))
    np.testing.assert_allclose(read, [[2.0, 3.0]])
    with pytest.raises(ValueError, match=r"observation has 5 entries.*observation_to_state"):
        flow.as_policy().predict(np.zeros(5))


def test_any_environment_whose_state_can_be_set() -> None:
    known = pendulum(15)
    found = from_env("Pendulum-v1", known.grid)
    s = known.grid.nodes[(known.grid.nodes[:, 1].abs() < 6)]
    a = (torch.linspace(-2, 2, len(s), dtype=torch.float64)[:, None]).requires_grad_(True)
    for name in ("dynamics", "cost"):
        ours, theirs = (getattr(problem, name)(s, a) for problem in (found, known))
        np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=1e-6)
        slopes = [torch.autograd.grad(output.sum(), a)[0] for output in (ours, theirs)]
        np.testing.assert_allclose(*slopes, atol=1e-5)
    flow = found.flow(2)
    assert pytest.approx(known.flow(2).solve().J, rel=1e-2) == flow.solve().J
    assert flow.as_policy().predict(np.array([1.0, 0.0, 0.0]), deterministic=True)[0].shape == (1,)


def test_simulator_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="finite Box of one or two actions"):
        from_env("CartPole-v1", Grid(-1, 1, 9))
    with pytest.raises(ValueError, match="env terminates from state"):
        from_env("MountainCarContinuous-v0", Grid([-1.2, -0.07], [0.6, 0.07], 9)).flow(2)
