"""
What the benchmarks of the duals share: one thread, CPU time, a row for the CSV, a line that holds or is missed.

To be imported before numpy, which asks the environment for its number of threads once.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import csv
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sb3_wasserstein import _numba as extra

#: seconds of CPU that are too few to be measured once, and the most calls that make up for it
SHORT, MOST_CALLS = 0.01, 20


def cpu(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def quiet() -> None:
    """Wait for what threads still do of an earlier call (jax frees 128 MB after its return): else the next one pays for it."""
    busy = True
    while busy:
        start = time.process_time()
        time.sleep(0.005)
        busy = time.process_time() - start > 0.001


def interleaved(repeats: int, **measured: Callable[[], float]) -> dict[str, float]:
    """
    Medians of the seconds that the functions return, all of them called in each round: noise then hits all alike. A short one
    is called again, and the mean of the later calls counts: the first refills the caches after the one before, and a peer that
    hands work to a thread of its own (jax) is not always asked at the same moment of it.
    """

    def settled(function: Callable[[], float]) -> float:
        quiet()
        seconds = function()
        times = min(MOST_CALLS, int(SHORT / max(seconds, 1e-9)))
        return seconds if times == 0 else float(np.mean([function() for _ in range(times)]))

    rounds = [[settled(function) for function in measured.values()] for _ in range(repeats)]
    return dict(zip(measured, np.median(rounds, axis=0).tolist(), strict=True))


def marginal_error(plan: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """L1 error of both marginals; inf for a plan that is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.abs(plan.sum(1) - p).sum() + np.abs(plan.sum(0) - q).sum())
    return error if np.isfinite(error) else np.inf


def exponent(counts: list[int], values: list[float]) -> float:
    """The power of the counts that the values grow with."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


class Report:
    """
    A benchmark's command line, rows and lines.

    :param description: the script's docstring
    """

    def __init__(self, description: str) -> None:
        self.parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.parser.add_argument("--quick", action="store_true", help="a smoke run, judges nothing")
        self.parser.add_argument("--csv", type=Path, help="write the rows there")
        self.parser.add_argument("--plain", action="store_true", help="without numba's loops, even where it is installed")
        self._rows: list[dict[str, object]] = []
        self._missed: list[str] = []

    def start(self) -> argparse.Namespace:
        self._arguments = self.parser.parse_args()
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        if self._arguments.plain:
            extra._compiled = lambda *_: None
        self._loops = "numba" if extra._compiled() else "plain"
        print(f"inner loops: {self._loops}", flush=True)
        return self._arguments

    def row(self, **values: object) -> None:
        self._rows.append(values)

    def at_least(self, name: str, value: float, line: float) -> None:
        self._line(value >= line, f"{name}: {value:.4g} < {line:g}")

    def at_most(self, name: str, value: float, line: float) -> None:
        self._line(value <= line, f"{name}: {value:.4g} > {line:g}")

    def end(self) -> int:
        """Write the rows, say what was missed; the exit status."""
        if self._arguments.csv:
            self._write(self._arguments.csv)
        for text in self._missed:
            print("missed:", text)
        return int(bool(self._missed) and not self._arguments.quick)

    def _line(self, holds: bool, text: str) -> None:
        if not holds:
            self._missed.append(text)

    def _write(self, path: Path) -> None:
        common = {"loops": self._loops, "commit": _commit()}
        rows = [{key: f"{v:.4g}" if isinstance(v, float) else v for key, v in (row | common).items()} for row in self._rows]
        names = list(dict.fromkeys(key for row in self._rows for key in row)) + list(common)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)


def _commit() -> str:
    """The commit that ran, with a + where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=+"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"
