"""The wrapper, inside the environments, and the recorder, outside of them, see the same behaviour."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from scipy.ndimage import gaussian_filter
from scripted import SPACES, ScriptedEnv
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_wasserstein import TrajectoryEmbeddingWrapper, WassersteinPPO
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding, MeanState, Path, StateOccupancy, VisitHistogram
from sb3_wasserstein.embeddings.features import Features
from sb3_wasserstein.embeddings.validated import EmbeddingError, ValidatedEmbedding
from sb3_wasserstein.recording import Recorder

LENGTHS = [(3, 7, 5), (11, 4), (40,), (1, 2, 9)]
N_STEPS = 12


def function_of(trajectory):
    first = trajectory.observations
    first = next(iter(first.values())) if isinstance(first, dict) else first
    return [len(trajectory), np.sum(trajectory.rewards), np.mean(trajectory.actions), float(np.sum(first[-1]))]


def embeddings_for(space):
    common = [
        FinalState(),
        MeanState(),
        Path(4),
        StateOccupancy(horizon=10),
        StateOccupancy(after_termination="ignore"),
        FunctionEmbedding(function_of, 4),
    ]
    if space == "discrete":
        return [*common, VisitHistogram(shape=(2, 3), smoothing=0.7)]
    if space == "dict":
        return [*common, VisitHistogram([-1, -1], [1, 1], (3, 4), smoothing=0.5, features="position"), FinalState("mode")]
    return [*common, VisitHistogram([-2, -2], [2, 2], 4, features=[0, 2]), MeanState(slice(0, 2)), Path(3, lambda o: o[:1])]


def make_envs(space, embedding, kind, wrap, normalize):
    def one(lengths, seed):
        def make():
            env = ScriptedEnv(space, lengths, shift=30.0 if normalize else 0.0, seed=seed)
            return TrajectoryEmbeddingWrapper(env, embedding) if wrap else env

        return make

    venv = kind([one(lengths, seed) for seed, lengths in enumerate(LENGTHS)])
    return VecNormalize(venv, clip_obs=0.5) if normalize else venv


def recorded(space, embedding, kind, wrap, normalize):
    env = make_envs(space, embedding, kind, wrap, normalize)
    policy = "MultiInputPolicy" if space == "dict" else "MlpPolicy"
    dim = embedding.bind(SPACES[space], env.action_space).dim
    # At a coefficient of 0 rollouts this short are taken in together.
    ours = {"embedding": embedding, "target": np.zeros((1, dim)), "wasserstein_coef": -1e-9}
    model = WassersteinPPO(policy, env, n_steps=N_STEPS, batch_size=48, n_epochs=1, seed=3, **ours)
    rollouts = []
    collect = type(model).collect_rollouts

    def spy(self, *args, **kwargs):
        complete = collect(self, *args, **kwargs)
        rollouts.append(self.tracker.rollout)
        return complete

    model.collect_rollouts = spy.__get__(model)
    model.learn(4 * N_STEPS * len(LENGTHS))
    env.close()
    return rollouts, model.embeddings


def check(space, embedding, kind, normalize) -> None:
    ours, window = recorded(space, embedding, kind, wrap=False, normalize=normalize)
    theirs, their_window = recorded(space, embedding, kind, wrap=True, normalize=normalize)
    np.testing.assert_allclose(window, their_window, rtol=1e-6, atol=1e-6)
    assert len(window) >= 10
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        assert [(e.env, e.step, e.length) for e in a.episodes] == [(e.env, e.step, e.length) for e in b.episodes]
        np.testing.assert_allclose([e.episode_return for e in a.episodes], [e.episode_return for e in b.episodes], atol=1e-5)
        np.testing.assert_array_equal(a.starts, b.starts)
        np.testing.assert_array_equal(a.terminated, b.terminated)
        if embedding.has_prefixes:
            np.testing.assert_allclose(a.after, b.after, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(a.start_values, b.start_values, rtol=1e-6, atol=1e-6)
        else:
            assert a.after is None
            assert b.after is None


CASES = [(space, embedding) for space in ("discrete", "box", "dict") for embedding in embeddings_for(space)]


@pytest.mark.parametrize(("space", "embedding"), CASES, ids=lambda value: str(value))
def test_they_agree(space, embedding) -> None:
    check(space, embedding, DummyVecEnv, normalize=False)


@pytest.mark.parametrize("embedding", [FinalState(), MeanState(), Path(4), StateOccupancy(horizon=10)], ids=str)
@pytest.mark.parametrize("space", ["box", "matrix"])
def test_they_agree_on_the_original_observations_under_vec_normalize(space, embedding) -> None:
    """The observations lie far outside the clipped range: normalised terminal ones could not be turned back."""
    check(space, embedding, DummyVecEnv, normalize=True)


@pytest.mark.parametrize("normalize", [False, True])
def test_they_agree_in_subprocesses(normalize) -> None:
    check("box", Path(4), SubprocVecEnv, normalize)


def test_a_function_embedding_stays_in_its_subprocess() -> None:
    """A lambda cannot be sent through a pipe: the algorithm outside must not ask for it."""
    env = SubprocVecEnv([lambda: TrajectoryEmbeddingWrapper(ScriptedEnv(), FunctionEmbedding(lambda t: [len(t)], 1))] * 2)
    model = WassersteinPPO("MlpPolicy", env, target=[[4.0]], wasserstein_coef=-1.0, n_steps=16, batch_size=32, seed=0)
    model.learn(64)
    assert set(model.embeddings.ravel()) == {3.0, 7.0, 5.0}
    env.close()


@pytest.mark.parametrize("space", ["discrete", "box", "dict", "multi_discrete", "multi_binary", "image"])
@pytest.mark.parametrize("cls", [FinalState, MeanState, Path])
def test_the_wrapper_passes_sb3s_env_checker(space, cls) -> None:
    features = (lambda image: image.mean(axis=(0, 1))) if space == "image" else None
    check_env(TrajectoryEmbeddingWrapper(ScriptedEnv(space), cls(features=features)))


def test_values_by_hand() -> None:
    env = TrajectoryEmbeddingWrapper(ScriptedEnv("box", lengths=(2,)), "mean_state")
    first, info = env.reset()
    np.testing.assert_allclose(info["wasserstein"], first)
    second, _, _, _, info = env.step(0)
    np.testing.assert_allclose(info["wasserstein"], (first + second) / 2, rtol=1e-6)
    third, _, terminated, truncated, info = env.step(0)
    assert terminated
    assert not truncated
    np.testing.assert_allclose(info["wasserstein"], (first + second + third) / 3, rtol=1e-6)
    assert info["wasserstein"].dtype == np.float32


def test_path_interpolates_the_episode_so_far() -> None:
    path = Path(3).bind(spaces.Box(-9, 9, (1,)), None)
    one = np.ones(1, dtype=bool)
    path.reset(np.array([[0.0]]), one)
    np.testing.assert_allclose(path.value(), [[0, 0, 0]])
    for observation in (2.0, 4.0, 8.0):
        path.update(np.array([[observation]]), None, None, one)
    np.testing.assert_allclose(path.value(), [[0.0, 3.0, 8.0]])


def test_visits_sum_to_one_and_the_blur_reaches_neighbours_only() -> None:
    space = spaces.Discrete(12)
    bound = VisitHistogram(shape=(3, 4), smoothing=0.5).bind(space, None)
    one = np.ones(1, dtype=bool)
    bound.reset(np.array([0]), one)
    bound.update(np.array([0]), None, None, one)
    value = bound.value().reshape(3, 4)
    assert value.sum() == pytest.approx(1.0)
    assert value[0, 0] > value[0, 1] > value[1, 1] > value[2, 3] >= 0
    assert value[0, 1] == pytest.approx(value[1, 0])


def test_visits_of_a_box_count_outliers_in_the_nearest_cell() -> None:
    bound = VisitHistogram([0.0, 0.0], [1.0, 2.0], (2, 4)).bind(spaces.Box(-np.inf, np.inf, (2,)), None)
    one = np.ones(1, dtype=bool)
    bound.reset(np.array([[-1e300, 1e300]]), one)
    bound.update(np.array([[0.6, 0.6]]), None, None, one)
    expected = np.zeros((2, 4))
    expected[0, 3] = expected[1, 1] = 0.5
    np.testing.assert_allclose(bound.value().reshape(2, 4), expected)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4, 30)])
def test_the_blurred_image_of_a_visit_is_scipys(shape) -> None:
    n_cells = math.prod(shape)
    bound = VisitHistogram(shape=shape, smoothing=0.8).bind(spaces.Discrete(n_cells, start=3), None, n_envs=2)
    visited = np.array([7, n_cells - 1])
    bound.reset(visited + 3, np.ones(2, dtype=bool))
    one_hot = np.zeros((2, n_cells))
    one_hot[[0, 1], visited] = 1.0
    for found, visit in zip(bound.value(), one_hot.reshape(2, *shape), strict=True):
        np.testing.assert_allclose(found.reshape(shape), gaussian_filter(visit, 0.8, mode="reflect"), atol=1e-12)


@pytest.mark.parametrize("observation", [2, 15])
def test_an_observation_outside_of_the_grid_is_refused(observation) -> None:
    bound = VisitHistogram(shape=(3, 4)).bind(spaces.Discrete(12, start=3), None)
    with pytest.raises(ValueError, match="outside of the space's 12 values from 3 on"):
        bound.reset(np.array([observation]), np.ones(1, dtype=bool))


def test_features_flatten_as_gymnasium_does() -> None:
    for space in (space for name, space in SPACES.items() if name != "image"):
        sample = space.sample()
        batch = {k: np.asarray(v)[None] for k, v in sample.items()} if isinstance(sample, dict) else np.asarray(sample)[None]
        flat = spaces.flatten(space, sample)
        got = Features(space)(batch)[0]
        # Gymnasium sorts a Dict's keys as its space does.
        np.testing.assert_allclose(got, flat)


def test_a_spec_rebuilds_the_wrapper() -> None:
    env = TrajectoryEmbeddingWrapper(gym.make("CartPole-v1"), Path(3, features=[0, 2]), every_step=False)
    rebuilt = gym.make(env.spec)
    assert isinstance(rebuilt, TrajectoryEmbeddingWrapper)
    assert rebuilt.trajectory_embedding.config() == Path(3, features=[0, 2]).config()
    assert not rebuilt.every_step
    assert isinstance(gym.make(type(env.spec).from_json(env.spec.to_json())), TrajectoryEmbeddingWrapper)


def test_every_step_false_writes_at_the_end_only() -> None:
    env = TrajectoryEmbeddingWrapper(ScriptedEnv(lengths=(2,)), "final_state", every_step=False)
    assert "wasserstein" not in env.reset()[1]
    assert "wasserstein" not in env.step(0)[4]
    assert "wasserstein" in env.step(0)[4]


def test_occupancy_holds_the_terminal_state_to_the_horizon() -> None:
    occupancy = StateOccupancy(horizon=9)
    times = occupancy.times(length=3, terminated=True, n_samples=10, offset=0.5)
    np.testing.assert_array_equal(times, [0, 1, 2, 3, 3, 3, 3, 3, 3, 3])
    np.testing.assert_array_equal(occupancy.times(3, False, 10, 0.5), [0, 1, 2, 3])
    assert len(occupancy.times(9, True, 4, 0.0)) == 4


@pytest.mark.parametrize("lengths", [(4,), (1, 3), (2,), (3, 5), (8,)])
def test_lengths_and_returns_are_monitors_even_where_an_episode_ends_with_a_rollout(lengths) -> None:
    env = make_vec_env(lambda: ScriptedEnv(lengths=lengths), 2)
    ours = {"target": np.zeros((1, 3)), "wasserstein_coef": -1e-9}
    model = WassersteinPPO("MlpPolicy", env, n_steps=4, batch_size=8, n_epochs=1, seed=0, **ours)
    episodes: list[Any] = []

    def keep() -> None:
        episodes.extend(model.tracker.rollout.episodes)

    model.train = keep
    model.learn(4 * 2 * 8)
    assert len(episodes) >= 8
    assert [episode.length for episode in episodes] == [info["l"] for info in model.ep_info_buffer]
    np.testing.assert_allclose([e.episode_return for e in episodes], [info["r"] for info in model.ep_info_buffer], atol=1e-5)


@pytest.mark.parametrize("lengths", [(4,), (1, 3), (2,), (3, 5), (8,)])
def test_prefixes_are_sb3s_own_observations_even_where_an_episode_ends_with_a_rollout(lengths) -> None:
    """φ = the last observation: before a step it is what the buffer holds, whatever the recorder does."""
    env = make_vec_env(lambda: ScriptedEnv(lengths=lengths), 2)
    ours = {"embedding": FinalState(), "target": np.zeros((1, 3)), "wasserstein_coef": -1e-9}
    model = WassersteinPPO("MlpPolicy", env, n_steps=4, batch_size=8, n_epochs=1, seed=0, **ours)
    seen = []

    def check_rollout() -> None:
        rollout, buffer = model.tracker.rollout, model.rollout_buffer
        starts = buffer.episode_starts.astype(bool)
        np.testing.assert_array_equal(rollout.starts[1:], starts[1:])
        assert rollout.starts[0].all()
        np.testing.assert_allclose(rollout.start_values, buffer.observations[rollout.starts], atol=1e-6)
        inside = ~starts[1:]
        np.testing.assert_allclose(rollout.after[:-1][inside], buffer.observations[1:][inside], atol=1e-6)
        seen.append(rollout.ends[-1].any())

    model.train = check_rollout
    model.learn(4 * 2 * 6)
    assert len(seen) == 6
    assert any(seen)


@pytest.mark.parametrize(("value", "is_fine"), [(1e200, True), (math.inf, False), (math.nan, False)])
def test_numbers_whose_squares_overflow_are_numbers(value, is_fine) -> None:
    recipe, space = FinalState(), spaces.Box(-np.inf, np.inf, (2,), np.float64)
    recorder = Recorder(ValidatedEmbedding(recipe.bind(space, None, 2), "final state", 2), recipe)
    recorder.start(np.zeros((2, 2)))
    after = np.array([[1.0, 2.0], [3.0, value]])
    recorder.step(after, np.zeros(2), [0.0, 0.0], [False, False], [{}, {}])
    if is_fine:
        np.testing.assert_array_equal(recorder.flush().after, [after])
    else:
        with pytest.raises(EmbeddingError, match="env 1"):
            recorder.flush()
