"""CSVs of runs, each row with the command and the commit that made it."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"

Row = dict[str, str]
Value = float | str


def read(path: Path) -> list[Row]:
    """The rows of a CSV; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a CSV by these rows, each with the command and the commit of this process."""
    common = {"command": command(), "commit": commit()}
    save(path, [{name: _shown(value) for name, value in row.items()} | common for row in rows])


def save(path: Path, rows: Sequence[Row]) -> None:
    """Replace a CSV by these rows as they are, command and commit last; what a row does not have is empty."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    fields = [*dict.fromkeys(name for row in rows for name in row if name not in ("command", "commit")), "command", "commit"]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def command() -> str:
    """The command line of this process."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    return shlex.join(["python", *program, *sys.argv[1:]])


@cache
def commit() -> str:
    """The commit that runs, with a + where a Python file differs from it; empty outside a repository."""
    root = Path(__file__).parents[2]
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "*.py"], cwd=root, capture_output=True).returncode == 1
    return found.stdout.strip() + "+" * changed


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


class Rows:
    """
    A table that a benchmark resumes from: a run whose row is there is not run again.

    :param path: of the CSV; None keeps the rows in memory only
    :param keys: the columns that tell runs apart
    :param results: the columns that a run fills in; ``cpu_s``, ``command`` and ``commit`` are added to them
    :raises ValueError: the CSV has other columns
    """

    def __init__(self, path: Path | None, keys: Sequence[str], results: Sequence[str]) -> None:
        self._path = path
        self._fields = [*keys, *results, "cpu_s", "command", "commit"]
        self.rows = [] if path is None else read(path)
        if self.rows and list(self.rows[0]) != self._fields:
            raise ValueError(f"{path} has the columns {list(self.rows[0])}, this benchmark writes {self._fields}")

    def add(self, key: Mapping[str, object], run: Callable[[], Mapping[str, Value]]) -> None:
        """Do a run, unless its row is there, and append the row. What the run does not fill in is empty."""
        named = {name: str(value) for name, value in key.items()}
        if self.where(**named):
            return
        begin = _cpu_seconds()
        values = run()
        common = {"cpu_s": f"{_cpu_seconds() - begin:.1f}", "command": command(), "commit": commit()}
        row = dict.fromkeys(self._fields, "") | common | named | {name: _shown(value) for name, value in values.items()}
        self.rows.append(row)
        print(*(value for name, value in row.items() if name != "command"), flush=True)
        if self._path is None:
            return
        new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self._fields, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def where(self, **key: object) -> list[Row]:
        """The rows with these values."""
        return where(self.rows, **key)


def where(rows: list[Row], **key: object) -> list[Row]:
    """The rows with these values."""
    named = {name: str(value) for name, value in key.items()}
    return [row for row in rows if all(row[name] == value for name, value in named.items())]
