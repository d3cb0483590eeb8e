"""The command line that the benchmarks share; each runs what is missing, shows it and compares it with the claims."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch as th

from benchmarks._lib.rows import RESULTS, Row, Rows, Value, read, write
from benchmarks._lib.statistics import Show, table
from benchmarks.claims import CLAIMS

Run = tuple[Mapping[str, object], Callable[[], Mapping[str, Value]]]


@dataclass(frozen=True)
class Study:
    """
    Many runs, each a row of a CSV.

    :param description: the script's docstring, which ``--help`` prints
    :param name: of the CSV in ``benchmarks/results``
    :param keys: the columns that tell runs apart
    :param results: the columns that a run fills in
    :param runs: each run's key and the function that does it, from the command line's arguments
    :param by: the columns that make the groups of the table
    :param columns: what the table shows of each group
    :param seeds: the default of ``--seeds``
    :param options: adds options of this benchmark to the command line
    :param prepare: changes the rows before they are shown
    """

    description: str | None
    name: str
    keys: Sequence[str]
    results: Sequence[str]
    runs: Callable[[argparse.Namespace], Iterator[Run]]
    by: Sequence[str]
    columns: dict[str, Show] = field(default_factory=dict)
    seeds: int = 1
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    prepare: Callable[[list[Row]], list[Row]] = lambda rows: rows

    def main(self) -> int:
        """:return: the exit status: 1 where a claim on this CSV does not hold, unless the run was a quick one"""
        parser = _parser(self.description, self.name)
        parser.add_argument("--seeds", type=int, default=self.seeds, help="how many (default: %(default)s)")
        parser.add_argument("--first-seed", type=int, default=0)
        parser.add_argument("--table", action="store_true", help="show what the CSV holds, and run nothing")
        self.options(parser)
        args = parser.parse_args()
        th.set_num_threads(1)
        rows = Rows(None if args.quick else args.out, self.keys, self.results)
        args.seeds = range(args.first_seed, args.first_seed + (1 if args.quick else args.seeds))
        if not args.table:
            for key, run in self.runs(args):
                rows.add(key, run)
        print(table(self.prepare(rows.rows), self.by, self.columns))
        return 0 if args.quick else report(self.name, rows.rows)


def measure_at_once(
    description: str | None,
    name: str,
    measure: Callable[[argparse.Namespace], list[dict[str, object]]],
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None,
) -> int:
    """
    A benchmark that cannot be resumed: its rows replace the CSV.

    :param description: the script's docstring
    :param name: of the CSV in ``benchmarks/results``
    :param measure: all rows, from the command line's arguments
    :param options: adds options of this benchmark to the command line
    :return: the exit status, as that of :meth:`Study.main`
    """
    parser = _parser(description, name)
    options(parser)
    args = parser.parse_args()
    th.set_num_threads(1)
    rows = measure(args)
    if args.quick:
        return 0
    write(args.out, rows)
    return report(name, read(args.out))


def _parser(description: str | None, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.csv", help="the CSV (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke run, which keeps no rows")
    return parser


def report(name: str, rows: list[Row]) -> int:
    """
    Print what the claims on a CSV come to.

    :return: 1 where one does not hold, else 0
    """
    verdicts = [(claim, claim.verdict(rows)) for claim in CLAIMS if claim.csv == name]
    for claim, verdict in verdicts:
        print(f"{verdict}: {claim.text}")
    return int(any(verdict.holds is False for _, verdict in verdicts))
