"""Where members live, behind one small interface."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, NamedTuple

import cloudpickle
import torch as th

from sb3_wasserstein.population.member import LASTING, Member, MemberSpec, Snapshot

#: built-in errors that a wrong argument is answered with: no member's number makes them clearer
PLAIN = (ValueError, TypeError, ImportError, FileNotFoundError)


class MemberError(RuntimeError):
    """
    A member failed. The others have finished what they were doing, and the population can be saved and can learn on.

    :param member: its number
    :param doing: what it was asked to do
    :param traceback: where it failed, in its own process

    Example:
        >>> from sb3_wasserstein.population import MemberError
        >>> str(MemberError(1, "collect", "KeyError: 'x'")).splitlines()[0]
        'member 1 failed in collect(); the others are unharmed. Its own traceback:'
    """

    def __init__(self, member: int, doing: str, traceback: str) -> None:
        super().__init__(f"member {member} failed in {doing}(); the others are unharmed. Its own traceback:\n\n{traceback}")
        self.member = member
        self.doing = doing
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return MemberError, (self.member, self.doing, self.traceback)


class Failure(NamedTuple):
    """
    An exception as text: its class may not exist in another process, or may not be possible to make from its message.

    :param doing: the method that failed
    :param text: the traceback, or of a wrong argument the message alone
    :param plain: the built-in class that answers a wrong argument, None for all else
    """

    doing: str
    text: str
    plain: type[Exception] | None = None

    @classmethod
    def of(cls, doing: str, error: BaseException) -> Failure:
        """
        :param doing: the method that failed
        :param error: what it raised
        :return: the same as text
        """
        if doing == "__init__" and type(error).__module__ == "builtins":
            for plain in PLAIN:
                if isinstance(error, plain):
                    return cls(doing, str(error), plain)
        return cls(doing, "".join(traceback.format_exception(error)))

    def error(self, member: int) -> Exception:
        """
        :param member: its number
        :return: the exception to raise
        """
        return MemberError(member, self.doing, self.text) if self.plain is None else self.plain(self.text)


class Executor(ABC):
    """
    Holds K members and passes calls on to them. What goes to and fro is arrays, and what members are made from.

    :param specs: one for each member

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_wasserstein import Population
        >>> population = Population(PPO, "MlpPolicy", "CartPole-v1", n_policies=2, n_steps=64, seed=0)
        >>> population._members.is_local, len(population._members.specs)
        (True, 2)
        >>> population.close()
    """

    #: whether members live in this process, and their models can be had without a copy
    is_local = False

    def __init__(self, specs: list[MemberSpec]) -> None:
        self.specs = specs

    @abstractmethod
    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        """
        Call a method of some members, side by side where the executor can.

        :param method: a method of :class:`Member`
        :param arguments: of each member that is called
        :param then: a second method, without arguments; a member that is through with the first waits for no other
        :return: what each of them returned, from the last method
        :raises MemberError: if one failed; after all others have finished
        """

    @abstractmethod
    def close(self) -> None:
        """End the members' processes; calls after that are an error. Twice is no harm."""

    def snapshots(self) -> list[Snapshot]:
        """
        :return: what each member can be made again from
        :raises MemberError: if a member fails to give its own
        """
        found = self.call("snapshot", dict.fromkeys(range(len(self.specs)), ()))
        return [found[k] for k in range(len(self.specs))]


class Request(NamedTuple):
    """
    What a member in another process is asked to do.

    :param method: a method of :class:`Member`, None only to make the member
    :param arguments: of the method, by cloudpickle
    :param then: a second method, without arguments
    """

    method: str | None
    arguments: bytes = b""
    then: str | None = None


class Answer(NamedTuple):
    """
    :param result: what the last method returned
    :param snapshot: of the member, where one was asked for or due: begun, or as its training left it
    :param failure: what went wrong
    """

    result: Any = None
    snapshot: Snapshot | None = None
    failure: Failure | None = None


class Host:
    """
    A member in another process. Whatever its environment raises, ``sys.exit`` and KeyboardInterrupt included, is answered.

    :param spec: what the member is made from, by cloudpickle
    :param threads: of torch
    """

    def __init__(self, spec: bytes, threads: int) -> None:
        th.set_num_threads(threads)
        self._spec = spec
        self._member: Member | None = None
        self._snapshot_due = 0.0

    def answer(self, request: Request) -> Answer:
        """
        :param request: what to do
        :return: what came of it
        """
        doing, snapshot = "__init__", None
        try:
            if self._member is None:
                self._member = Member(cloudpickle.loads(self._spec))
            if request.method is None:
                return Answer()
            doing = request.method
            result = getattr(self._member, doing)(*cloudpickle.loads(request.arguments))
            if doing == "snapshot":
                # A member that dies later must not fall behind what has been saved of it.
                snapshot = result
            elif doing == "begin" or (doing == "train" and time.monotonic() >= self._snapshot_due):
                snapshot = self._snapshot(self._member)
            if request.then is not None:
                doing = request.then
                result = getattr(self._member, doing)()
            return Answer(result, snapshot)
        except BaseException as error:
            return Answer(None, snapshot, Failure.of(doing, error))

    def close(self) -> None:
        """Close the member's environments."""
        if self._member is not None and self._member.model.env is not None:
            self._member.model.env.close()

    def _snapshot(self, member: Member) -> Snapshot:
        begin = time.monotonic()
        snapshot = member.snapshot()
        end = time.monotonic()
        # A hundredth of the time at most goes into them.
        self._snapshot_due = end + 100 * (end - begin)
        return snapshot


class RemoteExecutor(Executor):
    """
    Members in other processes, which may die or hang: each is known by its last snapshot, from which it can be made again.

    :param specs: one for each member
    :param timeout: seconds that a member may take for one call, None for no limit
    :raises ValueError: if what a member is made from cannot be pickled; the message names it
    """

    def __init__(self, specs: list[MemberSpec], timeout: float | None) -> None:
        for spec in specs:
            check_pickles(spec)
        super().__init__(specs)
        self.timeout = timeout

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        return self._call({k: Request(method, cloudpickle.dumps(given), then) for k, given in arguments.items()})

    def snapshots(self) -> list[Snapshot]:
        specs = dict(enumerate(self.specs))
        kept = {
            k: Snapshot(spec.blob, spec.behaviour, spec.generators)
            for k, spec in specs.items()
            if k not in self._living() and spec.blob and spec.behaviour and spec.generators
        }
        found = {**kept, **self.call("snapshot", dict.fromkeys(specs.keys() - kept.keys(), ()))}
        return [found[k] for k in specs]

    @abstractmethod
    def _ask(self, requests: dict[int, Request]) -> dict[int, Answer]:
        """What each member answers; one that has died is made again first, one that dies or hangs has a failure."""

    @abstractmethod
    def _living(self) -> set[int]:
        """The members whose processes are not known to have died."""

    def _make(self) -> None:
        try:
            self._call({k: Request(None) for k in range(len(self.specs))})
        except BaseException:
            self.close()
            raise

    def _call(self, requests: dict[int, Request]) -> dict[int, Any]:
        answers = self._ask(requests)
        for k, answer in answers.items():
            if answer.snapshot is not None:
                lasting = {name: value for name, value in self.specs[k].kwargs.items() if name in LASTING}
                self.specs[k] = replace(self.specs[k], kwargs=lasting, **answer.snapshot._asdict())
        for k in sorted(answers):
            failure = answers[k].failure
            if failure is not None:
                raise failure.error(k)
        return {k: answer.result for k, answer in answers.items()}


def check_pickles(spec: MemberSpec) -> None:
    """
    :param spec: what a member is made from
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
