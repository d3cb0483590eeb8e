"""Interquartile means and their intervals; the table that a benchmark prints."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._lib.statistics import count, interquartile_mean, interval, mean, table


def test_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean([-1000.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1000.0]) == 2.5
    assert interquartile_mean([[1.0, 2.0], [3.0, 4.0]]) == 2.5


def test_the_interval_is_that_of_the_mean_where_it_is_known() -> None:
    sample = np.random.default_rng(0).normal(size=400)
    low, high = interval([sample], statistic=lambda values: float(np.mean(values)))
    assert high - low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.1)
    assert low < sample.mean() < high


def test_draws_stay_within_their_task() -> None:
    """Two tasks without any spread of their own: pooled draws would mix them in other shares."""
    low, high = interval([np.zeros(10), np.ones(10)], statistic=lambda values: float(np.mean(values)))
    assert low == high == 0.5


def test_a_table_has_a_line_for_each_group() -> None:
    rows = [{"task": "a", "value": "1"}, {"task": "b", "value": "2"}, {"task": "a", "value": "4"}]
    text = table(rows, ["task"], {"above 1": count(lambda row: float(row["value"]) > 1), "mean": mean("value")})
    assert text.splitlines() == ["task  above 1  mean", "a     1/2      2.5", "b     1/1      2"]
