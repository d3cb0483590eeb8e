"""Benchmarks that time parts of the package still find them: a changed signature would stop them only there."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))


def test_long_run() -> None:
    from long_run import by_hand_costs, our_costs

    ours, episodes = our_costs(2)
    assert episodes == 2 * 1024 // 10 // 16 * 16
    assert len(ours) == len(by_hand_costs(2)) == 2
    assert min(ours) > 0


def test_attribution() -> None:
    from overhead import ALGORITHMS, PARTS, attribution

    _, ours, n_envs, kwargs, _ = ALGORITHMS["a2c"]
    shares = attribution(ours, "CartPole-v1", n_envs, kwargs, "λ ≠ 0", 400)
    assert set(shares) == {"attribution", *PARTS}
    assert all(shares[name] > 0 for name in PARTS)
    assert 0 < shares["attribution"] < 1
