"""Statistics of runs: shares, interquartile means, and intervals by a stratified bootstrap (Agarwal et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from benchmarks._lib.rows import Row

Show = Callable[[list[Row]], str]


def values(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """A column as floats; an empty cell is nan."""
    return np.array([float(row[name] or "nan") for row in rows])


def share(rows: Sequence[Row], condition: Callable[[Row], bool]) -> float:
    """The share of the rows for which the condition holds; nan of no rows."""
    return float(np.mean([condition(row) for row in rows])) if rows else float("nan")


def interquartile_mean(sample: ArrayLike) -> float:
    """The mean of the middle half."""
    return float(trim_mean(np.ravel(sample), 0.25))


def interval(
    strata: Sequence[ArrayLike],
    statistic: Callable[[ArrayLike], float] = interquartile_mean,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """
    A percentile bootstrap of a statistic of pooled runs, resampled within each task.

    :param strata: the runs of each task
    :param statistic: of all runs together
    :param level: of confidence
    :param n_resamples: how often the runs are drawn again, with replacement
    :param seed: of the draws
    :return: the interval's ends
    """
    rng = np.random.default_rng(seed)
    tasks = [np.ravel(np.asarray(stratum, dtype=float)) for stratum in strata]
    found = [statistic(np.concatenate([rng.choice(task, len(task)) for task in tasks])) for _ in range(n_resamples)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def count(condition: Callable[[Row], bool]) -> Show:
    """For a table: how many runs of how many."""
    return lambda rows: f"{sum(map(condition, rows))}/{len(rows)}"


def mean(name: str) -> Show:
    """For a table: a column's mean."""
    return lambda rows: f"{values(rows, name).mean():.4g}"


def middle(name: str) -> Show:
    """For a table: a column's interquartile mean and its interval of 95 %."""

    def show(rows: list[Row]) -> str:
        low, high = interval([values(rows, name)])
        return f"{interquartile_mean(values(rows, name)):.4g} [{low:.4g}, {high:.4g}]"

    return show


def only(name: str) -> Show:
    """For a table of single runs: the cell."""
    return lambda rows: rows[0][name]


def extremes(name: str) -> Show:
    """For a table: a column's least and largest value."""
    return lambda rows: f"{values(rows, name).min():.4g} … {values(rows, name).max():.4g}"


def table(rows: Sequence[Row], by: Sequence[str], columns: dict[str, Show]) -> str:
    """
    Aligned text: a line for each group of rows.

    :param rows: of a CSV
    :param by: the columns that make the groups, in the order of their first rows
    :param columns: what is shown of each group
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    lines = [[*by, *columns], *([*key, *(show(group) for show in columns.values())] for key, group in groups.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
