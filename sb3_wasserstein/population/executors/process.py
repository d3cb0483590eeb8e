"""Members in processes of their own, spawned: safe with threads, CUDA and every platform."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cloudpickle
import torch as th

from sb3_wasserstein.population.executors.base import Executor, MemberError, carried_out, made, raise_first
from sb3_wasserstein.population.member import Member, MemberSpec

_MEMBERS: dict[int, Member] = {}


class ProcessExecutor(Executor):
    """
    A pool of one process for each core, or for each member if there are fewer. A member stays in its process: state that
    lives there, environments above all, never moves.

    :param specs: one for each member
    :raises ValueError: if what a member is made from cannot be pickled; the message names it
    """

    def __init__(self, specs: list[MemberSpec]) -> None:
        super().__init__(specs)
        packed = [pickled(spec) for spec in specs]
        context = multiprocessing.get_context("spawn")
        n_processes = min(len(specs), _cores())
        threads = th.get_num_threads()
        self._pools = [ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(threads,)) for _ in range(n_processes)]
        self._gather("__init__", {k: self._pool(k).submit(_make, k, blob) for k, blob in enumerate(packed)})

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        return self._gather(
            method,
            {k: self._pool(k).submit(_call, k, method, cloudpickle.dumps(given), then) for k, given in arguments.items()},
        )

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self, member: int) -> ProcessPoolExecutor:
        return self._pools[member % len(self._pools)]

    def _gather(self, method: str, futures: dict[int, Future[Any]]) -> dict[int, Any]:
        results: dict[int, Any] = {}
        errors: dict[int, MemberError] = {}
        for k, future in futures.items():
            try:
                results[k] = future.result()
            except MemberError as error:
                errors[k] = error
            except BrokenProcessPool as error:
                errors[k] = MemberError(k, method, f"its process died: {error}")
        raise_first(errors)
        return results


def pickled(spec: MemberSpec) -> bytes:
    """
    :param spec: what a member is made from
    :return: by cloudpickle
    :raises ValueError: if it cannot be pickled, with the part that cannot
    """
    for name in ("env", "env_kwargs", "policy", "kwargs"):
        try:
            cloudpickle.dumps(getattr(spec, name))
        # What a user's object raises when it is pickled can be anything.
        except Exception as error:
            what = "algorithm_kwargs" if name == "kwargs" else name
            raise ValueError(
                f"{what} cannot be sent to another process ({type(error).__name__}: {error}): give what can be pickled (for "
                "env an id, a class or a function that makes it), or use executor='serial'"
            ) from error
    blob: bytes = cloudpickle.dumps(spec)
    return blob


def _prepare(threads: int) -> None:
    # Ctrl-C is for the parent: members that died of it could not be saved.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    th.set_num_threads(threads)


def _make(member: int, blob: bytes) -> None:
    _MEMBERS[member] = made(member, cloudpickle.loads(blob))


def _call(member: int, method: str, arguments: bytes, then: str | None) -> Any:
    result = carried_out(member, _MEMBERS[member], method, cloudpickle.loads(arguments))
    return result if then is None else carried_out(member, _MEMBERS[member], then, ())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
