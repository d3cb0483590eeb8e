"""CPU times of one thread, which noise of the machine is to hit alike, and what the duals' benchmarks measure besides."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray

import sb3_wasserstein

PACKAGE = Path(sb3_wasserstein.__file__).parent


def inner_loops(plain: bool = False) -> str:
    """
    Which inner loops the duals take. To be called before the first solve: the package reads ``NUMBA_DISABLE_JIT`` once.

    :param plain: whether numba's loops are not to be taken, even where numba is installed
    :return: "numba" or "plain"
    """
    if plain:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    without = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0" or find_spec("numba") is None
    return "plain" if without else "numba"


def cpu(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def resident_mib() -> float:
    """The resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Sampler:
    """
    Where CPU time goes, by looking at the stack every few milliseconds of it, from within ``with``.

    A sample belongs to the innermost frame that is of this package or of what it is built on (SB3, gymnasium): time in numpy
    and torch belongs to the code that called them. The kernel's clock ticks every 1 to 4 ms: 5 % of 30 s are known to 0.3 %.
    """

    def __init__(self) -> None:
        #: samples by folder of the package; ``""`` is everything that is not the package's
        self.samples: Counter[str] = Counter()
        self._owners: dict[str, str | None] = {}

    def __enter__(self) -> Sampler:
        self._before = signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, self._before)

    def shares(self) -> dict[str, float]:
        """Of all samples, by folder of the package."""
        total = sum(self.samples.values())
        return {owner: found / total for owner, found in self.samples.items()}

    def _sample(self, _: int, frame: FrameType | None) -> None:
        owner = None
        while frame is not None and owner is None:
            name = frame.f_code.co_filename
            if name not in self._owners:
                self._owners[name] = _owner(Path(name))
            owner, frame = self._owners[name], frame.f_back
        self.samples[owner or ""] += 1


def _owner(path: Path) -> str | None:
    """A file's folder in the package, ``""`` for what the package is built on, None for what only serves others."""
    if PACKAGE in path.parents:
        folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        return "" if folder == "envs" else folder
    return "" if {"stable_baselines3", "sb3_contrib", "gymnasium"} & set(path.parts) else None


def _wait_until_idle() -> None:
    """Wait for threads that still work for an earlier call (jax frees 128 MB after its return): the next call would pay."""
    busy = True
    while busy:
        start = time.process_time()
        time.sleep(0.005)
        busy = time.process_time() - start > 0.001


def interleaved(repeats: int, **measured: Callable[[], float]) -> dict[str, float]:
    """
    Medians of the seconds that the functions return, all of them called in each round: noise then hits all alike.

    A call of less than 10 ms is repeated, up to twenty times, and the mean of the later calls counts: the first one refills
    the caches, and a peer with a thread of its own (jax) is not always asked at the same moment of that thread's work.
    """

    def settled(function: Callable[[], float]) -> float:
        _wait_until_idle()
        seconds = function()
        times = min(20, int(0.01 / max(seconds, 1e-9)))
        return seconds if times == 0 else float(np.mean([function() for _ in range(times)]))

    rounds = [[settled(function) for function in measured.values()] for _ in range(repeats)]
    return dict(zip(measured, np.median(rounds, axis=0).tolist(), strict=True))


def marginal_error(plan: NDArray[np.float64], p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """L1 error of both marginals; inf for a plan that is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.abs(plan.sum(1) - p).sum() + np.abs(plan.sum(0) - q).sum())
    return error if np.isfinite(error) else np.inf


def exponent(counts: list[int], values: list[float]) -> float:
    """The power of the counts that the values grow with."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])
