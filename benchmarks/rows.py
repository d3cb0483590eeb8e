"""A CSV of runs that a benchmark resumes from: what is there already is not run again."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


class Rows:
    """
    :param path: of the CSV; None keeps nothing
    :param keys: the columns that tell runs apart
    :param results: the columns that a run fills in; CPU seconds and the commit are added
    """

    def __init__(self, path: Path | None, keys: list[str], results: list[str]) -> None:
        self._path = path
        self._keys = keys
        self._fields = [*keys, *results, "cpu_s", "commit"]
        self.rows: list[dict[str, str]] = []
        if path is not None and path.exists():
            with path.open() as file:
                self.rows = list(csv.DictReader(file))
        command = ["git", "rev-parse", "--short", "HEAD"]
        self._commit = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()

    def add(self, key: dict[str, object], run: Callable[[], Mapping[str, float | str]]) -> None:
        """Do a run, unless it is there, and append its row."""
        named = {name: str(value) for name, value in key.items()}
        if any(all(row[name] == value for name, value in named.items()) for row in self.rows):
            return
        begin = time.process_time()
        values = {name: value if isinstance(value, str) else round(value, 2) for name, value in run().items()}
        row = {**named, **values, "cpu_s": round(time.process_time() - begin, 1), "commit": self._commit}
        self.rows.append({field: str(row[field]) for field in self._fields})
        print(*self.rows[-1].values(), flush=True)
        if self._path is None:
            return
        new = not self._path.exists()
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self._fields, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(self.rows[-1])

    def where(self, **key: object) -> list[dict[str, str]]:
        """The rows with these values."""
        return [row for row in self.rows if all(row[name] == str(value) for name, value in key.items())]
