"""Running sums over a rollout against a loop over its steps."""

import numpy as np
import pytest

from sb3_wasserstein.embeddings.running import FEW, WIDE, Ends


def by_steps(mask, values, fresh, carried):
    sums, running, j = np.zeros(values.shape), carried.copy(), 0
    for time, ended in enumerate(mask):
        running = running + values[time]
        sums[time] = running
        for env in np.flatnonzero(ended):
            running[env] = fresh[j]
            j += 1
    return sums, running


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 2), (1, 1, 4), (12, 3, WIDE)])
def test_running_sums(shape, share):
    rng = np.random.default_rng(3)
    mask = rng.random(shape[:2]) < share
    ends = Ends(mask)
    values = rng.normal(size=shape)
    fresh, carried = rng.normal(size=(ends.count, *shape[2:])), rng.normal(size=shape[1:])
    expected = by_steps(mask, values, fresh, carried)
    before = carried.copy()
    for found, wanted in zip(ends.running_sums(values, fresh, carried), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_array_equal(carried, before)


def test_both_ways_of_adding_are_tried():
    counts = [Ends(np.random.default_rng(3).random((12, 3)) < share).count for share in (0.05, 0.5)]
    assert 0 < counts[0] <= FEW < counts[1]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("known", [True, False])
def test_lengths(share, known):
    mask = np.random.default_rng(4).random((9, 4)) < share
    mask[-1, 1] = share > 0.0
    carried = [0, 5, 2, 0]
    expected, running, finished = np.zeros(mask.shape, dtype=int), np.array(carried), []
    for time, ended in enumerate(mask):
        running = running + 1
        expected[time] = running
        finished += running[ended].tolist()
        running = np.where(ended, 0, running)
    places = [(int(time), int(env)) for time, env in np.argwhere(mask)]
    ends = Ends.of(9, 4, places, carried) if known else Ends(mask, carried=carried)
    np.testing.assert_array_equal(ends.mask, mask)
    np.testing.assert_array_equal(ends.lengths, expected)
    assert ends.finished() == (finished, running.tolist())
    np.testing.assert_array_equal(ends.starts, np.vstack([np.ones((1, 4), dtype=bool), mask[:-1]]))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(FEW, 3, 2), (FEW + 4, 3, 2), (FEW + 4, 2, WIDE)])
def test_running_means(shape, share):
    rng = np.random.default_rng(5)
    mask = rng.random(shape[:2]) < share
    mask[-1, 0] = share > 0.0
    before = rng.integers(0, 8, shape[1])
    ends = Ends(mask, carried=before.tolist())
    values = rng.normal(size=shape)
    fresh, carried = rng.normal(size=(ends.count, shape[2])), rng.normal(size=shape[1:])
    sums, last = by_steps(mask, values, fresh, carried)
    found = ends.running_means(values.copy(), fresh, carried, before[:, None] + 1.0)
    running = np.array(ends.finished()[1])
    for one, wanted in zip(found, (sums / (ends.lengths[:, :, None] + 1), last, running[:, None] + 1), strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-12)


def test_arrays_that_are_shared_cannot_be_written_to():
    ends = Ends.of(5, 3, [], [0, 0, 0])
    for shared in (ends.mask, ends.starts):
        with pytest.raises(ValueError, match="read-only"):
            shared[0, 0] = True
