"""Members in processes of their own, spawned: safe with threads, CUDA and every platform."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle
import torch as th

from sb3_wasserstein.population.executors.base import Answer, Failure, Host, RemoteExecutor, Request
from sb3_wasserstein.population.member import MemberSpec


class ProcessExecutor(RemoteExecutor):
    """
    One process for each member, so that none can take another with it. State that lives there, environments above all, never
    moves. A member whose process has died or hung fails, and is made again from its last snapshot at its next call. The
    processes end with this one, however it ends.

    :param specs: one for each member
    :param timeout: seconds that a member may take for one call before its process is killed, None for no limit
    :raises ValueError: if what a member is made from cannot be pickled; the message names it
    :raises RuntimeError: if the processes cannot import the script that makes the population
    """

    def __init__(self, specs: list[MemberSpec], timeout: float | None = None) -> None:
        super().__init__(specs, timeout)
        self._workers: dict[int, Worker] = {}
        # Replies belong to the call that waits for them, from whatever thread it comes.
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _end, self._workers, os.getpid())
        self._make()

    def close(self) -> None:
        self._end()

    def _living(self) -> set[int]:
        return set(self._workers)

    def _ask(self, requests: dict[int, Request]) -> dict[int, Answer]:
        if not self._end.alive:
            raise RuntimeError("the population is closed, and its members' processes have ended")
        with self._lock:
            for k in sorted(requests.keys() - self._workers.keys()):
                self._workers[k] = Worker(self.specs[k])
            for k, request in requests.items():
                self._workers[k].send(request)
            return self._gather(requests)

    def _gather(self, requests: dict[int, Request]) -> dict[int, Answer]:
        begin = time.monotonic()
        answers: dict[int, Answer] = {}
        while waiting := requests.keys() - answers.keys():
            connections = {self._workers[k].connection: k for k in sorted(waiting)}
            late = self.timeout is not None and time.monotonic() > begin + self.timeout
            # Looked up each second: a dead process's end of the pipe may live on in a child that it forked.
            found = wait(connections, 0.0 if late else 1.0)
            ready = {k for connection, k in connections.items() if connection in found}
            for k in sorted(waiting):
                worker, text = self._workers[k], None
                try:
                    if k in ready:
                        answer = worker.receive()
                        if answer is not None:
                            answers[k] = answer
                    elif not worker.process.is_alive():
                        text = worker.end()
                    elif late:
                        text = f"It has not answered within member_timeout={self.timeout:g} s, and was ended. {worker.end()}"
                except (EOFError, OSError):
                    text = worker.end()
                if text is not None:
                    answers[k] = Answer(failure=_failure(requests[k], text, worker.has_begun))
                    del self._workers[k]
        return answers


class Worker:
    """
    A member's process, as seen from this one.

    :param spec: what the member is made from
    """

    def __init__(self, spec: MemberSpec) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, th.get_num_threads()))
        with theirs:
            self.process.start()
        #: whether the process has come as far as our own code
        self.has_begun = False
        self._spec: bytes | None = cloudpickle.dumps(spec)
        self._n_requests = 0

    def send(self, request: Request) -> None:
        """
        :param request: what the member is to do; a process that has died is found when its answer is waited for
        """
        self._n_requests += 1
        with suppress(OSError):
            if self._spec is not None:
                self.connection.send_bytes(self._spec)
                self._spec = None
            self.connection.send((self._n_requests, request))

    def receive(self) -> Answer | None:
        """
        :return: the answer to the last request, None if the message was another one
        :raises EOFError: if the process has ended
        :raises OSError: if the process has ended in the middle of an answer
        """
        number, answer = self.connection.recv()
        self.has_begun = True
        # An answer that was no longer waited for, after an interrupt, is of an earlier request.
        return answer if number == self._n_requests else None

    def end(self, patience: float = 0.0) -> str:
        """
        :param patience: seconds to let the process finish by itself
        :return: how it ended
        """
        self.connection.close()
        # A process that has closed its end of the pipe needs a moment to be gone.
        self.process.join(max(patience, 0.5))
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"Its process {f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'}."


def _failure(request: Request, text: str, has_begun: bool) -> Failure:
    doing = request.method or "__init__"
    if has_begun:
        return Failure(doing, text)
    script = getattr(sys.modules["__main__"], "__file__", None)
    return Failure(
        doing,
        f"{text} It had not imported the script ({script}), and its own message stands above. Each process imports it: "
        "what makes a population with executor='process' must stand under if __name__ == \"__main__\":",
        RuntimeError,
    )


def _end(workers: dict[int, Worker], parent: int) -> None:
    # A child that this process forked is not the one to end them.
    if os.getpid() != parent:
        return
    for worker in workers.values():
        worker.connection.close()
    # A member in the middle of a rollout may take long, and one that hangs for ever.
    deadline = time.monotonic() + 5.0
    for worker in workers.values():
        worker.end(deadline - time.monotonic())
    workers.clear()


def _work(connection: Connection[Any, Any], threads: int) -> None:
    # Ctrl-C is for the parent: members that died of it could not be saved.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    host = None
    with suppress(EOFError, OSError):
        connection.send((0, None))
        host = Host(connection.recv_bytes(), threads)
        while True:
            number, request = connection.recv()
            connection.send((number, host.answer(request)))
    if host is not None:
        host.close()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
