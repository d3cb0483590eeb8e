"""A visit histogram over a rollout at once, in both ways, against its own updates step by step."""

import numpy as np
import pytest
from gymnasium import spaces

from sb3_wasserstein import _numba as extra
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.embeddings.running import WIDE, Ends
from sb3_wasserstein.embeddings.validated import CheckedEmbedding, EmbeddingError
from sb3_wasserstein.recording.steps import Steps

T, N = 20, 6


@pytest.fixture(params=["numpy", "numba"])
def loops(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(extra, "_compiled", lambda *_: None)
    else:
        pytest.importorskip("numba")
    return request.param


def rebuilt(means):
    """The values, from what they are means of."""
    sums, counts, rows, fresh = means.sums.copy(), means.counts.copy(), [], iter(means.fresh)
    for index, ended in zip(means.index, means.ends, strict=True):
        sums, counts = sums + means.points[index], counts + 1
        rows.append(sums / counts[:, None])
        for env in np.flatnonzero(ended):
            sums[env], counts[env] = means.points[next(fresh)], 1
    return np.stack(rows)


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(7, 10), (2, 3)])
def test_a_scan_is_the_updates(shape, rate, loops):
    rng = np.random.default_rng(0)
    cells = int(np.prod(shape))
    to_the_bit = cells * N >= WIDE
    everywhere = np.ones(N, dtype=bool)
    scanned, updated = (VisitHistogram(shape=shape, smoothing=0.7).bind(spaces.Discrete(cells), None, N) for _ in range(2))
    first = rng.integers(0, cells, N)
    for bound in (scanned, updated):
        bound.reset(first, everywhere)
    for _ in range(3):
        visited, ends = rng.integers(0, cells, (T, N)), rng.random((T, N)) < rate
        resets = rng.integers(0, cells, ends.sum())
        after, fresh = scanned.scan(visited, resets, Ends(ends))
        np.testing.assert_allclose(rebuilt(scanned.means), after, atol=1e-14)
        begun = iter(resets)
        for time in range(T):
            updated.update(visited[time], None, None, everywhere)
            np.testing.assert_allclose(after[time], updated.value(), atol=0 if to_the_bit else 1e-14)
            if ends[time].any():
                again = np.zeros(N, dtype=int)
                again[ends[time]] = [next(begun) for _ in range(ends[time].sum())]
                updated.reset(again, ends[time])
        np.testing.assert_allclose(scanned.value(), updated.value(), atol=0 if to_the_bit else 1e-14)
        assert len(fresh) == ends.sum()


def test_where_images_are_not_kept_there_are_no_means():
    bound = VisitHistogram(shape=(30, 30), smoothing=0.7).bind(spaces.Discrete(900), None, N)
    bound.reset(np.zeros(N, dtype=int), np.ones(N, dtype=bool))
    bound.scan(np.ones((T, N), dtype=int), np.zeros(0, dtype=int), Ends(np.zeros((T, N), dtype=bool)))
    assert bound.means is None


def test_an_embedding_of_one_s_own_may_call_something_else_means():
    class Own:
        dim, has_prefixes, means = 1, True, np.zeros(3)

        def scan(self, observations, resets, ends):
            return observations, resets

    checked = CheckedEmbedding(Own(), "own", 2)
    assert checked.scans
    assert checked.means is None
    with pytest.raises(EmbeddingError, match="returned NaN or infinity"):
        checked.scan(Steps(False), np.full((4, 2, 1), np.nan), np.zeros((0, 1)), Ends(np.zeros((4, 2), dtype=bool)))
