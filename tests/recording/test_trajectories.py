"""Recorded episodes in other tools' forms: the same episode comes out of each."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sb3_wasserstein.embeddings import Trajectory
from sb3_wasserstein.recording.trajectories import as_trajectories

OBSERVATIONS = [np.arange(8.0).reshape(4, 2), np.arange(6.0).reshape(3, 2)]
ACTIONS = [np.arange(3), np.arange(2)]
REWARDS = [np.ones(3), np.zeros(2)]
TERMINATED = [True, False]


def minari() -> SimpleNamespace:
    episodes = [
        SimpleNamespace(observations=o, actions=a, rewards=r, terminations=np.array([False] * (len(a) - 1) + [t]))
        for o, a, r, t in zip(OBSERVATIONS, ACTIONS, REWARDS, TERMINATED, strict=True)
    ]
    return SimpleNamespace(iterate_episodes=lambda: iter(episodes))


def imitation() -> list[SimpleNamespace]:
    zipped = zip(OBSERVATIONS, ACTIONS, REWARDS, TERMINATED, strict=True)
    return [SimpleNamespace(obs=o, acts=a, rews=r, terminal=t) for o, a, r, t in zipped]


def d4rl() -> dict[str, np.ndarray]:
    return {
        "observations": np.concatenate([o[:-1] for o in OBSERVATIONS]),
        "next_observations": np.concatenate([o[1:] for o in OBSERVATIONS]),
        "actions": np.concatenate(ACTIONS),
        "rewards": np.concatenate(REWARDS),
        "terminals": np.array([0, 0, 1, 0, 0]),
        "timeouts": np.array([0, 0, 0, 0, 1]),
    }


def check(found: list[Trajectory]) -> None:
    assert len(found) == 2
    for k, item in enumerate(found):
        np.testing.assert_array_equal(item.observations, OBSERVATIONS[k])
        np.testing.assert_array_equal(item.actions, ACTIONS[k])
        np.testing.assert_array_equal(item.rewards, REWARDS[k])
        assert item.terminated is TERMINATED[k]


@pytest.mark.parametrize("form", [minari, imitation, d4rl])
def test_the_forms_of_other_tools(form) -> None:
    check(as_trajectories(form()))


def test_a_file(tmp_path) -> None:
    arrays: dict[str, Any] = {}
    for k in range(2):
        arrays |= {f"observations_{k}": OBSERVATIONS[k], f"actions_{k}": ACTIONS[k]}
        arrays |= {f"rewards_{k}": REWARDS[k], f"terminated_{k}": TERMINATED[k]}
    np.savez(tmp_path / "demos.npz", **arrays, returns=np.ones(2))
    check(as_trajectories(tmp_path / "demos.npz"))
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    with pytest.raises(ValueError, match=r"demonstrations=.*holds no observations_0"):
        as_trajectories(tmp_path / "other.npz", "demonstrations")
    with pytest.raises(FileNotFoundError, match="demonstrations="):
        as_trajectories(tmp_path / "none.npz", "demonstrations")


def test_a_flat_dictionary_without_the_last_observations() -> None:
    data = {key: value for key, value in d4rl().items() if key != "next_observations"}
    found = as_trajectories(data)
    assert [len(item) for item in found] == [2, 1]
    np.testing.assert_array_equal(found[0].observations, OBSERVATIONS[0][:-1])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], ValueError, "trajectories is empty"),
        (7, TypeError, "trajectories must be a list of episodes"),
        ({"x": 1}, ValueError, "without observations"),
        (
            [OBSERVATIONS[0], SimpleNamespace(obs=OBSERVATIONS[0], acts=np.ones(7))],
            ValueError,
            r"trajectories\[1\] is no episode",
        ),
    ],
)
def test_bad_recordings_are_named(value, error, message) -> None:
    with pytest.raises(error, match=message):
        as_trajectories(value)
