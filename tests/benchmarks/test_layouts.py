"""The batched plane of the repulsion benchmark against Goals-v0, and its transport against the package's."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from scipy.spatial.distance import cdist

from benchmarks.repulsion.layouts import LAYOUTS, Plane, outcome
from benchmarks.repulsion.policy_gradient import sinkhorn, sinkhorn_self, transform
from sb3_wasserstein import Target
from sb3_wasserstein.duals import batched_sinkhorn
from sb3_wasserstein.envs import Goals


@pytest.mark.parametrize("reward", ["negative_distance", "inverse"])
@pytest.mark.parametrize("name", ["three", "wall"])
def test_plane_moves_as_goals_v0(name: str, reward: str) -> None:
    layout = LAYOUTS[name]
    env, plane = Goals(reward=reward, **layout.env_kwargs()), Plane([layout], reward)
    rng = np.random.default_rng(0)
    for seed in range(40):
        position = th.as_tensor(env.reset(seed=seed)[0])[None, None]
        for action in rng.normal((0.2, 1.0), 0.5, (16, 2)).astype(np.float32):
            observation, gained, *_ = env.step(action)
            position, gains = plane.step(position, th.as_tensor(action)[None, None])
            # Where a step meets the wall they stop at slightly different distances from it.
            np.testing.assert_allclose(position[0, 0].numpy(), observation, atol=2e-3)
            np.testing.assert_allclose(gains.item(), gained, atol=2e-3)


def test_wall_stands_in_the_way_of_both() -> None:
    plane = Plane([LAYOUTS["wall"]])
    position = th.zeros(1, 1, 2)
    for _ in range(8):
        position, _ = plane.step(position, th.tensor([[[0.1, 1.0]]]))
    assert 0.3 < position[0, 0, 1] < 0.35


def test_sinkhorn_is_the_packages() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 2
    costs = th.as_tensor(cdist(x, y))[None]
    epsilon = th.tensor([0.2], dtype=th.float64)
    f, g = sinkhorn(costs, epsilon, 500)
    selves = [sinkhorn_self(th.as_tensor(cdist(z, z))[None], epsilon, 200) for z in (x, y)]
    laws = [Target(x)], [Target(y)]
    potentials, distances = batched_sinkhorn(*laws, epsilon=0.2, relative=False, debias=True, tol=1e-6)
    h = (f - selves[0])[0].numpy()
    np.testing.assert_allclose(h - h.mean(), potentials[0], atol=1e-4)
    np.testing.assert_allclose(float(f.mean() + g.mean() - selves[0].mean() - selves[1].mean()), distances[0], atol=1e-4)
    np.testing.assert_allclose(transform(costs, g, epsilon).numpy(), f.numpy(), atol=1e-5)


def test_full_means_a_goal_for_each() -> None:
    along = np.linspace(0.0, 1.0, 17)[:, None]
    left, right = along * [-1.0, 1.0], along * [1.0, 1.0]
    assert outcome(LAYOUTS["two"], np.stack([left, right])) == (True, [0, 1])
    assert outcome(LAYOUTS["two"], np.stack([left, left])) == (False, [0, 0])
    assert outcome(LAYOUTS["two"], np.stack([left, 0.5 * right])) == (False, [0, -1])
    around_left = np.concatenate([along[:8] * [-0.4, 0.9], [[0.0, 1.4]]])
    around_right = around_left * [-1.0, 1.0]
    assert outcome(LAYOUTS["wall"], np.stack([around_left, around_right])) == (True, [0, 1])
