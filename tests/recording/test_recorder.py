"""The recorder: what it makes of beginnings that it has not seen, of episodes that never end, of occupancies."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_wasserstein import Target
from sb3_wasserstein.embeddings import BoundEmbedding, Embedding, EmbeddingError, FinalState, MeanState, StateOccupancy
from sb3_wasserstein.embeddings.base import FeatureEmbedding
from sb3_wasserstein.embeddings.validated import ValidatedEmbedding
from sb3_wasserstein.recording import Recorder, Rollout

BOX = spaces.Box(-np.inf, np.inf, (1,), np.float64)


def recorder_of(embedding: Embedding, n_envs: int = 1, **kwargs: Any) -> Recorder:
    return Recorder(ValidatedEmbedding(embedding.bind(BOX, None, n_envs), str(embedding), n_envs), embedding, **kwargs)


def record(recorder: Recorder, states: list[float], over: bool = True, truncated: bool = False, after: float = 0.0) -> Rollout:
    """An episode of one environment through these states; the next one begins at ``after``."""
    for time, state in enumerate(states, 1):
        last = over and time == len(states)
        info = {"terminal_observation": np.array([state]), "TimeLimit.truncated": truncated} if last else {}
        recorder.step(np.array([[after if last else state]]), np.zeros(1), [1.0], [last], [info])
    return recorder.flush()


def test_an_episode_whose_beginning_was_not_recorded_is_left_out() -> None:
    recorder = recorder_of(MeanState(), n_envs=2)
    recorder.start(np.array([[4.0], [1.0]]), known=np.array([False, True]))
    for time in range(4):
        ended = [time == 1, time == 2]
        infos: list[dict[str, Any]] = [{"terminal_observation": np.array([9.0])} if end else {} for end in ended]
        recorder.step(np.full((2, 1), 2.0), np.zeros(2), [1.0, 1.0], ended, infos)
    rollout = recorder.flush()
    assert [(episode.env, episode.step, episode.length) for episode in rollout.episodes] == [(1, 2, 3)]
    np.testing.assert_array_equal(rollout.known[:, 0], [False, False, True, True])
    assert rollout.known[:, 1].all()
    np.testing.assert_array_equal(rollout.ends, rollout.terminated)
    recorder.step(
        np.full((2, 1), 2.0), np.zeros(2), [1.0, 1.0], [True, False], [{"terminal_observation": np.array([6.0])}, {}]
    )
    (episode,) = recorder.flush().episodes
    np.testing.assert_allclose(episode.points, [[(2 + 2 + 2 + 6) / 4]])
    assert (episode.length, episode.episode_return) == (3, 3.0)


def test_terminated_truncated_and_segments_are_told_apart() -> None:
    recorder = recorder_of(FinalState(), segment_length=2)
    recorder.start(np.zeros((1, 1)))
    rollout = record(recorder, [1.0, 2.0, 3.0], truncated=True)
    np.testing.assert_array_equal(rollout.ends.ravel(), [False, True, True])
    np.testing.assert_array_equal(rollout.truncated.ravel(), [False, False, True])
    assert not rollout.terminated.any()
    assert rollout.has_truncated
    np.testing.assert_array_equal([episode.points.item() for episode in rollout.episodes], [2.0, 3.0])
    np.testing.assert_array_equal(rollout.start_values.ravel(), [0.0, 2.0])


def test_arrays_that_an_environment_uses_again_are_copied() -> None:
    recorder = recorder_of(MeanState())
    buffer, rewards = np.zeros((1, 1)), np.zeros(1)
    recorder.start(buffer)
    for value in (1.0, 2.0):
        buffer[:], rewards[:] = value, value
        recorder.step(buffer, np.zeros(1), rewards, [False], [{}])
    buffer[:] = rewards[:] = 99.0
    rollout = recorder.flush()
    assert rollout.after is not None
    np.testing.assert_allclose(rollout.after.ravel(), [0.5, 1.0])


def test_a_fault_is_named_by_its_step() -> None:
    recorder = recorder_of(FinalState(), n_envs=2)
    recorder.start(np.zeros((2, 1)))
    assert recorder.fault() is None
    for time in range(3):
        recorder.step(np.zeros((2, 1)), np.zeros(2), [0.0, np.nan if time == 1 else 0.0], [False, False], [{}, {}])
    assert recorder.fault() == "env 1 returned the reward nan at step 2 of the rollout"
    with pytest.raises(ValueError, match="env 1 returned the reward nan at step 2"):
        recorder.flush()
    with pytest.raises(EmbeddingError, match="terminal_observation"):
        recorder.step(np.zeros((2, 1)), np.zeros(2), [0.0, 0.0], [True, False], [{}, {}])


def test_states_of_an_episode_that_never_ends_stay_few_and_spread_out() -> None:
    recorder = recorder_of(StateOccupancy(horizon=10, states_per_episode=16))
    recorder.start(np.zeros((1, 1)))
    for begin in range(0, 5000, 50):
        record(recorder, [float(begin + k) for k in range(1, 51)], over=False)
    (episode,) = record(recorder, [5001.0]).episodes
    states = episode.points.ravel()
    assert len(states) == 16
    np.testing.assert_allclose(np.diff(np.sort(states)), 5001 / 16, rtol=0.5)


@pytest.mark.parametrize("long_first", [True, False])
def test_a_state_weighs_the_same_in_a_short_and_in_a_long_episode(long_first: bool) -> None:
    recorder = recorder_of(StateOccupancy(after_termination="ignore"), longest=639)
    sizes = {}
    for length in (639, 63) if long_first else (63, 639):
        recorder.start(np.zeros((1, 1)))
        sizes[length] = len(record(recorder, [1.0] * length).episodes[0].points)
    assert sizes[639] == 64
    assert sizes[63] in (6, 7)
    points = Target.from_trajectories(
        [np.zeros((2560, 1)), np.ones((256, 1))], StateOccupancy(after_termination="ignore")
    ).points
    np.testing.assert_allclose(points.mean(), 256 / (2560 + 256), atol=0.01)


def test_without_a_horizon_it_is_the_longest_episode_so_far() -> None:
    recipe = StateOccupancy()
    recorder = recorder_of(recipe, longest=3)
    recorder.start(np.zeros((1, 1)))
    record(recorder, [1.0] * 7, truncated=True)
    assert recorder.embedding.horizon == 7
    assert recorder.embedding.config() == recipe.config()
    (episode,) = record(recorder, [1.0, 5.0]).episodes
    np.testing.assert_array_equal(episode.points.ravel(), [0.0, 1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0])
    assert recipe.horizon is None


def test_a_time_limit_completes_a_recipe_and_does_not_stay() -> None:
    recipe = StateOccupancy()
    short = recipe.with_time_limit(5)
    assert (short.horizon, short.with_time_limit(9).horizon, short.with_time_limit(None).horizon) == (5, 9, None)
    assert short.config() == recipe.config()
    assert StateOccupancy(horizon=4).with_time_limit(9).horizon == 4
    assert MeanState().with_time_limit(9).horizon is None


class Own(FeatureEmbedding):
    """An occupancy of the user's."""

    samples_states = True
    after_termination = "hold"

    def bind(self, observation_space: Any, action_space: Any, n_envs: int = 1) -> BoundEmbedding:
        return FinalState(self.features).bind(observation_space, action_space, n_envs)


def test_an_occupancy_of_one_s_own_is_one() -> None:
    recorder = recorder_of(Own().with_time_limit(4))
    recorder.start(np.zeros((1, 1)))
    (episode,) = record(recorder, [1.0, 2.0]).episodes
    np.testing.assert_array_equal(episode.points.ravel(), [0.0, 1.0, 2.0, 2.0, 2.0])
    points = Target.from_trajectories([np.arange(3.0)[:, None], np.zeros((5, 1))], Own()).points
    assert points.shape == (10, 1)


def test_an_episode_keeps_its_number_over_a_rollouts_cut() -> None:
    recorder = recorder_of(FinalState(), n_envs=2, first_number=10)
    recorder.start(np.zeros((2, 1)))
    found: dict[int, set[tuple[int, int]]] = {}
    episodes = []
    #: when each environment ends an episode, over three rollouts of four steps
    ends = np.zeros((12, 2), dtype=bool)
    ends[[2, 6], 0] = ends[[3, 4, 9], 1] = True
    for begin in range(0, 12, 4):
        for time in range(begin, begin + 4):
            infos: list[dict[str, Any]] = [{"terminal_observation": np.ones(1)} if end else {} for end in ends[time]]
            recorder.step(np.zeros((2, 1)), np.zeros(2), [0.0, 0.0], ends[time], infos)
        rollout = recorder.flush()
        episodes += rollout.episodes
        for (time, env), number in np.ndenumerate(rollout.numbers):
            found.setdefault(int(number), set()).add((begin + time, env))
    expected: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for env in range(2):
        for time in range(12):
            expected.setdefault((env, int(ends[:time, env].sum())), set()).add((time, env))
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
    assert all(number >= 10 for number in found)
    for episode in episodes:
        assert len(found[episode.number]) == episode.length
    assert recorder.next_number > max(found)
