"""Every embedding, over whole chunks of steps and step by step, against a plain loop over each episode's observations."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_wasserstein.embeddings import (
    BoundEmbedding,
    Embedding,
    EmbeddingError,
    FinalState,
    FunctionEmbedding,
    MeanState,
    Path,
    StateOccupancy,
    VisitHistogram,
)
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations
from sb3_wasserstein.embeddings.steps import Ends, Steps
from sb3_wasserstein.embeddings.validated import ValidatedEmbedding

N, DIM = 3, 2
BOX = spaces.Box(-np.inf, np.inf, (DIM,), np.float64)


def path_of(episode: Floats) -> Floats:
    times = np.linspace(0, len(episode) - 1, 4)
    return np.stack([np.interp(times, np.arange(len(episode)), column) for column in episode.T], axis=1).ravel()


def visits_of(episode: Floats) -> Floats:
    low, width = np.array([-2.0, -2.0]), np.array([4 / 3, 1.0])
    counts = np.zeros((3, 4))
    for row, column in np.clip((episode - low) // width, 0, [2, 3]).astype(int):
        counts[row, column] += 1
    return counts.ravel() / len(episode)


class Extent(Embedding):
    """An embedding of the user's, which says nothing of whole chunks."""

    def bind(self, observation_space: Any, action_space: Any, n_envs: int = 1) -> BoundEmbedding:
        return BoundExtent(DIM, n_envs)


class BoundExtent(BoundEmbedding):
    def reset(self, observations: Observations, mask: Mask) -> None:
        if not hasattr(self, "low"):
            self.low, self.high = np.zeros((2, self.n_envs, self.dim))
        self.low[mask] = self.high[mask] = observations[mask]

    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        self.low, self.high = np.minimum(self.low, observations), np.maximum(self.high, observations)

    def value(self) -> Floats:
        return self.high - self.low


CASES: list[tuple[Embedding, Callable[[Floats], Any]]] = [
    (FinalState(), lambda episode: episode[-1]),
    (FinalState(features=[1]), lambda episode: episode[-1, 1:]),
    (MeanState(), lambda episode: episode.mean(axis=0)),
    (MeanState(features=lambda observation: observation**2), lambda episode: (episode**2).mean(axis=0)),
    (Path(4), path_of),
    (VisitHistogram([-2, -2], [2, 2], (3, 4)), visits_of),
    (StateOccupancy(), lambda episode: episode[-1]),
    (FunctionEmbedding(lambda trajectory: trajectory.observations.max(axis=0), DIM), lambda episode: episode.max(axis=0)),
    (Extent(), lambda episode: np.ptp(episode, axis=0)),
]


def chunks(rate: float) -> Iterator[tuple[Floats, Mask, Floats]]:
    """Observations after each step, ends, and the first observations of the new episodes."""
    rng = np.random.default_rng(0)
    for n_steps in (1, 7, 1, 20):
        mask = rng.random((n_steps, N)) < rate
        mask[-1, 1] |= rate > 0
        yield rng.normal(size=(n_steps, N, DIM)), mask, rng.normal(size=(int(mask.sum()), DIM))


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("embedding", "by_hand"), CASES, ids=lambda value: str(value) if isinstance(value, Embedding) else "")
def test_a_scan_and_its_steps_are_the_plain_loop(embedding: Embedding, by_hand: Callable[[Floats], Any], rate: float) -> None:
    scanned, stepped = embedding.bind(BOX, None, N), embedding.bind(BOX, None, N)
    first = np.random.default_rng(1).normal(size=(N, DIM))
    everywhere = np.ones(N, dtype=bool)
    episodes = [[row] for row in first]
    for bound in (scanned, stepped):
        bound.reset(first, everywhere)
    for observations, mask, begins in chunks(rate):
        found = scanned.scan(Steps(observations, begins, Ends(mask)))
        n_ended = 0
        for time, ended in enumerate(mask):
            for env in range(N):
                episodes[env].append(observations[time, env])
            stepped.update(observations[time], None, None, everywhere)
            expected = np.stack([by_hand(np.array(episode)) for episode in episodes])
            np.testing.assert_allclose(stepped.value(), expected, atol=1e-12)
            if found.after is not None:
                np.testing.assert_allclose(found.after[time], expected, atol=1e-12)
            for env in np.flatnonzero(ended).tolist():
                np.testing.assert_allclose(found.finals[n_ended], expected[env], atol=1e-12)
                if found.after is not None:
                    np.testing.assert_allclose(found.first[n_ended], by_hand(begins[n_ended][None]), atol=1e-12)
                again = np.full((N, DIM), np.nan)
                again[env] = begins[n_ended]
                stepped.reset(again, np.arange(N) == env)
                episodes[env], n_ended = [begins[n_ended]], n_ended + 1
        assert (found.after is None) != embedding.has_prefixes
        np.testing.assert_array_equal(scanned.value(), stepped.value())


@pytest.mark.parametrize("embedding", [embedding for embedding, _ in CASES], ids=str)
def test_where_a_chunk_is_cut_does_not_change_a_bit(embedding: Embedding) -> None:
    rng = np.random.default_rng(2)
    observations, mask = rng.normal(size=(30, N, DIM)), rng.random((30, N)) < 0.1
    begins = rng.normal(size=(int(mask.sum()), DIM))
    whole, cut = embedding.bind(BOX, None, N), embedding.bind(BOX, None, N)
    for bound in (whole, cut):
        bound.reset(np.zeros((N, DIM)), np.ones(N, dtype=bool))
    at_once = whole.scan(Steps(observations, begins, Ends(mask)))
    k = int(mask[:13].sum())
    parts = [
        cut.scan(Steps(observations[:13], begins[:k], Ends(mask[:13]))),
        cut.scan(Steps(observations[13:], begins[k:], Ends(mask[13:]))),
    ]
    np.testing.assert_array_equal(at_once.finals, np.concatenate([part.finals for part in parts]))
    if at_once.after is not None:
        np.testing.assert_array_equal(at_once.after, np.concatenate([part.after for part in parts if part.after is not None]))


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_lengths_and_stretches(rate: float) -> None:
    mask = np.random.default_rng(4).random((9, 4)) < rate
    carried = (0, 5, 2, 0)
    expected, running, finished = np.zeros(mask.shape, dtype=int), np.array(carried), []
    for time, ended in enumerate(mask):
        running = running + 1
        expected[time] = running
        finished += running[ended].tolist()
        running = np.where(ended, 0, running)
    ends = Ends(mask, carried)
    np.testing.assert_array_equal(ends.lengths, expected)
    found = [ends.length(stretch) for stretch in ends.stretches]
    assert (found[: ends.count], found[ends.count :]) == (finished, running.tolist())


def test_errors_name_environment_and_episode() -> None:
    def fails(trajectory: Any) -> Any:
        if len(trajectory) == 4:
            raise RuntimeError("out of ideas")
        return [0.0]

    validated = ValidatedEmbedding(FunctionEmbedding(fails, 1).bind(BOX, None, 2), "mine", 2)
    validated.start(np.zeros((2, DIM)), np.ones(2, dtype=bool))
    mask = np.zeros((8, 2), dtype=bool)
    mask[[2, 6], 1] = True
    with pytest.raises(EmbeddingError, match=r"embedding mine raised RuntimeError: out of ideas \(in env 1, episode 2\)"):
        validated.scan(Steps(np.zeros((8, 2, DIM)), np.zeros((2, DIM)), Ends(mask)))
    validated = ValidatedEmbedding(MeanState().bind(BOX, None, 2), "mean", 2)
    validated.start(np.zeros((2, DIM)), np.ones(2, dtype=bool))
    observations = np.zeros((8, 2, DIM))
    observations[5, 1] = np.inf
    with pytest.raises(EmbeddingError, match=r"every entry must be finite.*\(in env 1, episode 2\)"):
        validated.scan(Steps(observations, np.zeros((2, DIM)), Ends(mask)))
