"""Steps that are kept for a rollout: as they were returned, over every chunk."""

import numpy as np
import pytest

from sb3_wasserstein.recording.steps import CHUNK, Steps


@pytest.mark.parametrize("n_steps", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
@pytest.mark.parametrize("kind", ["array", "dict"])
def test_observations_are_what_was_returned(n_steps, kind):
    rng = np.random.default_rng(0)
    returned = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(n_steps)]
    steps = Steps(keeps_actions=False)
    for _ in range(2):
        for time, observation in enumerate(returned):
            steps.add(observation if kind == "array" else {"a": observation, "b": -observation}, [time], [0.0, 1.0])
        assert len(steps) == n_steps
        found = steps.observations()
        parts = {"a": found} if kind == "array" else found
        for key, sign in {"array": {"a": 1}, "dict": {"a": 1, "b": -1}}[kind].items():
            assert parts[key].dtype == np.float32
            np.testing.assert_array_equal(parts[key], sign * np.stack(returned))
        # A copy: terminal observations are put into it.
        parts["a"][0] = np.nan
        assert np.isfinite(returned[0]).all()
        assert steps.actions == []
        steps.clear()
        assert not steps


def test_floats_after_integers_stay_floats():
    steps = Steps(keeps_actions=True)
    steps.add(np.zeros((1, 1), dtype=np.int64), "first", [0.0])
    steps.add(np.full((1, 1), 0.5), "second", [0.0])
    np.testing.assert_array_equal(steps.observations().ravel(), [0.0, 0.5])
    assert steps.actions == ["first", "second"]


@pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK + 5])
def test_a_fault_is_named_by_its_step(at):
    steps = Steps(keeps_actions=False)
    assert steps.fault() is None
    for time in range(CHUNK + 10):
        steps.add(np.full((2, 1), np.inf if time == at else 0.0), None, [0.0, 0.0])
    assert steps.fault() == f"env 0 returned the observation [inf] at step {at + 1} of the rollout"
