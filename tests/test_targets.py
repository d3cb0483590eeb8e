from functools import partial
from typing import NoReturn

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from scripted import ScriptedEnv
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_wasserstein import Target, behaviour_distance, collect_embeddings
from sb3_wasserstein.embeddings import FunctionEmbedding, MeanState, StateOccupancy, Trajectory, VisitHistogram
from sb3_wasserstein.envs import HillyGrid


def test_weights_are_normalised() -> None:
    target = Target([[0.0], [1.0]], [3, 1])
    np.testing.assert_array_equal(target.weights, [0.75, 0.25])
    assert target.dim == 1
    np.testing.assert_allclose(Target([[0.0], [1.0]], [1e308, 1e308]).weights, [0.5, 0.5])


def test_save_and_load(tmp_path) -> None:
    target = Target(np.random.default_rng(0).normal(size=(4, 3)), [1, 2, 3, 4])
    for name in ("target", "other.npz", "dots.in.name"):
        target.save(tmp_path / name)
        loaded = Target.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.points, target.points)
        np.testing.assert_allclose(loaded.weights, target.weights, rtol=1e-15)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    Target([[1.0]]).save(tmp_path / "target.npz")

    def full(*args, **kwargs) -> NoReturn:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        Target([[2.0]]).save(tmp_path / "target.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["target.npz"]
    assert Target.load(tmp_path / "target.npz").points[0, 0] == 1.0


def test_hostile_files(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    with pytest.raises(FileNotFoundError):
        Target.load(tmp_path / "nothing.npz")
    np.savez(tmp_path / "pickle.npz", points=np.array([Bomb()], dtype=object), weights=np.ones(1))
    np.savez(tmp_path / "names.npz", p=np.zeros((1, 1)))
    np.savez(tmp_path / "text.npz", points=np.array([["a"]]), weights=np.ones(1))
    np.save(tmp_path / "array.npy", np.zeros((2, 2)))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    Target([[1.0, 2.0]]).save(tmp_path / "whole.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:100])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("pickle", "names", "text", "array", "half", "empty"):
        with pytest.raises(ValueError, match=r"target|Target"):
            Target.load(tmp_path / f"{name}.npz")


def test_from_trajectories() -> None:
    path = HillyGrid("zigzag").optimal_path
    target = Target.from_trajectories([path], VisitHistogram(shape=(7, 10)))
    assert target.dim == 70
    np.testing.assert_allclose(target.points[0, path], 1 / len(path))
    floats = Target.from_trajectories([np.array([[0.0, 2.0], [4.0, 4.0]]), Trajectory([[1.0, 1.0]])], "mean_state")
    np.testing.assert_allclose(floats.points, [[2.0, 3.0], [1.0, 1.0]])
    discrete = Target.from_trajectories([[0, 2]], MeanState(), observation_space=spaces.Discrete(4))
    np.testing.assert_allclose(discrete.points, [[0.5, 0, 0.5, 0]])
    mapping = Trajectory({"a": np.zeros((3, 2)), "b": np.array([0, 1, 1])})
    np.testing.assert_allclose(Target.from_trajectories([mapping], "final_state").points, [[0, 0, 0, 1]])


def test_from_trajectories_of_states_holds_the_end() -> None:
    states = np.arange(4.0)[:, None]
    held = Target.from_trajectories([states], StateOccupancy(horizon=9)).points.ravel()
    assert sorted(held) == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]
    # Without a horizon it is the longest episode.
    both = Target.from_trajectories([states, states[2:]], StateOccupancy()).points.ravel()
    assert sorted(both) == [0, 1, 2, 2, 3, 3, 3, 3]


def test_from_sampler() -> None:
    draws = np.random.default_rng(0)
    target = Target.from_sampler(lambda n: draws.normal(size=(n, 2)), 2)
    first, second = target.draw(5)[0], target.draw(5)[0]
    assert first.shape == (5, 2)
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="sampler"):
        target.save("anywhere")
    for function, error in (
        (None, TypeError),
        (lambda n: np.zeros((n, 3)), ValueError),
        (lambda n: [[np.nan, 0.0]] * n, ValueError),
    ):
        with pytest.raises(error, match="sampler"):
            Target.from_sampler(function, 2)


def test_distance_takes_targets_and_arrays() -> None:
    a, b = Target([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    assert behaviour_distance(a, b) == pytest.approx(5.0, rel=1e-6)
    assert behaviour_distance(a, a) == pytest.approx(0.0, abs=1e-6)


class Plain:
    """Anything with predict."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        n = len(next(iter(observation.values())) if isinstance(observation, dict) else observation)
        return np.zeros(n, dtype=int), state


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("space", ["box", "discrete", "dict"])
def test_collect_embeds_every_episode(space, n_envs) -> None:
    env = DummyVecEnv([partial(ScriptedEnv, space, seed=seed) for seed in range(n_envs)])
    points = collect_embeddings(Plain(), env, FunctionEmbedding(lambda t: [len(t), np.sum(t.rewards)], 2), n_episodes=9)
    assert points.shape == (9, 2)
    assert sorted(points[:, 0]) == sorted([3.0, 7.0, 5.0] * 3)


def test_collect_starts_from_the_resets_observation() -> None:
    env = ScriptedEnv("box", lengths=(2,))
    points = collect_embeddings(Plain(), env, "mean_state", n_episodes=1)
    again = ScriptedEnv("box", lengths=(2,))
    states = [again.reset()[0], again.step(0)[0], again.step(0)[0]]
    np.testing.assert_allclose(points[0], np.mean(states, axis=0), rtol=1e-6)


def test_collect_reads_original_observations_and_leaves_the_generators() -> None:
    env = VecNormalize(make_vec_env(lambda: ScriptedEnv("box", shift=50.0), 2), training=False)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, seed=0)
    before = th.get_rng_state()
    points = collect_embeddings(model, env, "mean_state", n_episodes=6, seed=3)
    assert th.equal(th.get_rng_state(), before)
    assert np.all(np.abs(points - 50.0) < 2.5)
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match="n_episodes"):
            collect_embeddings(model, env, "mean_state", n_episodes=bad)


def test_collect_is_repeatable_with_a_seed() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0)
    first, second, other = (collect_embeddings(model, "CartPole-v1", "path", n_episodes=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_from_policy_of_states_is_bounded() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0)
    target = Target.from_policy(model, "CartPole-v1", "state_occupancy", n_episodes=80, seed=0)
    assert target.dim == 4
    assert 80 < len(target.points) <= 5120


def test_a_target_knows_whether_it_is_a_sample(tmp_path):
    written, lived = Target([[0.0], [1.0]]), Target.from_trajectories([[[0.0], [1.0]], [[0.0], [2.0]]], "mean_state")
    assert (written.is_sample, lived.is_sample, Target.from_sampler(lambda n: np.zeros((n, 1)), 1).is_sample) == (
        False,
        True,
        True,
    )
    for target in (written, lived):
        target.save(tmp_path / "target")
        assert Target.load(tmp_path / "target").is_sample == target.is_sample
    # One episode is all that is known of the law.
    assert not Target.from_trajectories([[[0.0], [1.0]]], "mean_state").is_sample
    np.savez(tmp_path / "older.npz", points=np.zeros((1, 2)), weights=np.ones(1))
    assert not Target.load(tmp_path / "older.npz").is_sample
