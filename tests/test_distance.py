"""behaviour_distance and Target.barycenter against POT itself and closed forms; models, recordings and arrays alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Target, WassersteinPPO, behaviour_distance, collect_embeddings, compare
from sb3_wasserstein.embeddings import FinalState

ot = pytest.importorskip("ot", reason="needs the extra ot")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(30, 3)) + 1.0
P, Q = RNG.dirichlet(np.full(40, 3.0)), RNG.dirichlet(np.full(30, 3.0))


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock"])
def test_emd_is_pots(cost: Any) -> None:
    expected = ot.emd2(P, Q, cdist(X, Y, cost))
    assert behaviour_distance(Target(X, P), Target(Y, Q), method="emd", cost=cost) == pytest.approx(expected, rel=1e-6)
    shifted = behaviour_distance(X, np.add(X, [3.0, 0.0, 4.0]), method="emd")
    assert shifted == pytest.approx(5.0)


def test_sliced_is_pots_and_a_shift_is_its_mean_projection() -> None:
    found = behaviour_distance(Target(X, P), Target(Y, Q), method="sliced", n_projections=2000, seed=0)
    lines = np.random.default_rng(1).normal(size=(3, 4000))
    lines /= np.linalg.norm(lines, axis=0)
    expected = np.mean([ot.wasserstein_1d(X @ line, Y @ line, P, Q, p=1) for line in lines.T[:1000]])
    assert found == pytest.approx(expected, rel=0.05)
    # The mean of |cos| over the sphere in three dimensions is a half.
    assert behaviour_distance(X, np.add(X, [2.0, 0.0, 0.0]), method="sliced", n_projections=5000, seed=0) == pytest.approx(
        1.0, rel=0.03
    )


def test_unbalanced_does_not_pay_more_than_the_price() -> None:
    far = np.concatenate([X, [[1e4, 0.0, 0.0]]])
    near = behaviour_distance(X, Y, method="unbalanced", relative=False, mass_price=50.0)
    assert near == pytest.approx(behaviour_distance(X, Y, method="emd"), rel=1e-9)
    with_outlier = behaviour_distance(far, Y, method="unbalanced", relative=False, mass_price=50.0)
    assert with_outlier < near + 50.0 / 41 + 0.2
    reg_m = behaviour_distance(Target(X, P), Target(Y, Q), method="unbalanced", relative=False, mass_price=1.5)
    # The total variation form: mass m moved, the rest paid for, over a fine grid of m.
    costs = cdist(X, Y)
    partial = [(ot.partial.partial_wasserstein2(P, Q, costs, m=m) + 1.5 * (1 - m)) for m in np.linspace(0.05, 0.999, 60)]
    assert reg_m == pytest.approx(min(partial), rel=0.02)


def test_two_samples_of_one_law_are_at_distance_zero_in_any_dimension() -> None:
    for dimension in (1, 2, 16):
        found = [
            behaviour_distance(*np.random.default_rng([dimension, seed]).normal(size=(2, 60, dimension))) for seed in range(40)
        ]
        assert abs(np.mean(found)) < 3.5 * np.std(found) / np.sqrt(40)
    assert behaviour_distance(X, X) == 0.0
    # What two samples of one law are apart is subtracted, also where the laws are far from each other.
    assert 3.0 < behaviour_distance(X, X + 3.0) < np.sqrt(27.0)


def test_a_law_that_is_written_down_is_taken_as_it_is() -> None:
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    assert behaviour_distance(Target(corners), Target(corners, [1, 1, 1, 1])) == 0.0
    assert behaviour_distance(Target(corners), Target(np.add(corners, 2.0))) == pytest.approx(np.sqrt(8.0), rel=0.05)


def test_models_recordings_and_arrays() -> None:
    model, other = (PPO("MlpPolicy", "CartPole-v1", seed=seed, device="cpu") for seed in (0, 1))
    settings: dict[str, Any] = {"n_episodes": 20, "seed": 0, "embedding": "final_state"}
    found = behaviour_distance(model, other, "CartPole-v1", **settings)
    compared = compare(model, other, "CartPole-v1", standardize=False, n_permutations=1, **settings)
    assert abs(found - compared.distance) < 0.5 * (compared.interval[1] - compared.interval[0])
    points = collect_embeddings(model, "CartPole-v1", "final_state", 20, seed=0)
    assert np.isfinite(behaviour_distance(model, points, **settings))
    episodes = [np.zeros((5, 4)) + k for k in range(6)]
    assert behaviour_distance(episodes, points) > 0.5


def test_the_models_own_embedding_is_the_default() -> None:
    model = WassersteinPPO(
        "MlpPolicy", "CartPole-v1", embedding=FinalState(features=[0, 1]), target=[[0.0, 0.0]], device="cpu"
    )
    assert collect_embeddings(model, "CartPole-v1", n_episodes=3).shape == (3, 2)
    assert Target.from_policy(model, "CartPole-v1", n_episodes=3).dim == 2


def test_a_model_is_a_target() -> None:
    teacher = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), seed=0, device="cpu")
    env = make_vec_env("CartPole-v1", 2)
    model = WassersteinPPO("MlpPolicy", env, target=teacher, wasserstein_coef=-1.0, n_steps=64, seed=0, device="cpu")
    assert model.target.is_sample
    assert len(model.target.points) == 100
    assert np.isfinite(model.learn(256).dual.distance)


def test_barycenters() -> None:
    # In one dimension the quantiles are averaged; translated laws have the translated law in the middle.
    one, other = np.sort(RNG.normal(size=60)), np.sort(RNG.normal(size=60) * 2.0 + 3.0)
    middle = Target.barycenter([Target(one[:, None]), Target(other[:, None])], [1, 3], n_points=60, seed=0)
    np.testing.assert_allclose(np.sort(middle.points[:, 0]), 0.25 * one + 0.75 * other, atol=1e-6)
    between = Target.barycenter([Target(X), Target(X + 4.0)], n_points=40, seed=0)
    assert behaviour_distance(between, Target(X + 2.0), method="emd") < 0.1
    objective = sum(ot.emd2([], [], cdist(between.points, law, "sqeuclidean")) for law in (X, X + 4.0))
    assert objective <= sum(ot.emd2([], [], cdist(X + 2.0, law, "sqeuclidean")) for law in (X, X + 4.0)) + 0.5


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"method": "exact"}, "method"),
        ({"method": "emd", "epsilon": 0.1}, "epsilon=0.1 is no option of method='emd', which takes cost, max_points"),
        ({"method": "sliced", "cost": "cityblock"}, "cost='cityblock' is no option of method='sliced'"),
        ({"n_projections": 10}, "n_projections=10 is no option of method='sinkhorn'"),
    ],
)
def test_what_is_no_option_is_refused(kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        behaviour_distance(X, Y, **kwargs)
