"""Members as Ray actors, on as many machines as the cluster has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cloudpickle
import torch as th

from sb3_wasserstein.population.executors.base import Executor, MemberError, carried_out, made, raise_first
from sb3_wasserstein.population.executors.process import pickled
from sb3_wasserstein.population.member import LASTING, Member, MemberSpec

#: how often a member is made again within one call before the population gives up
MOST_RESTARTS = 3


class RayExecutor(Executor):
    """
    One actor for each member, placed by Ray (core actors, no RLlib); arguments travel through its object store. A member whose
    node dies is made again, anywhere, from its last snapshot, and repeats the round.

    :param specs: one for each member
    :raises ImportError: if ray is not installed
    :raises ValueError: if what a member is made from cannot be pickled; the message names it
    """

    def __init__(self, specs: list[MemberSpec]) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("executor='ray' needs Ray: pip install 'sb3-wasserstein[ray]'") from error
        super().__init__(specs)
        for spec in specs:
            pickled(spec)
        self._ray = ray
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        # Spread over the nodes, and never waiting for a free core: members work in lockstep.
        self._actor_class = ray.remote(max_restarts=0, num_cpus=0, scheduling_strategy="SPREAD")(RayMember)
        self._actors = [self._actor(k) for k in range(len(specs))]
        #: arguments of the last ``begin`` of each member: its absolute number of steps, and its callback
        self._begun: dict[int, tuple[int, Any]] = {}
        self.n_restarts = 0

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        results: dict[int, Any] = {}
        errors: dict[int, MemberError] = {}
        references = {k: self._actors[k].call.remote(method, given, then) for k, given in arguments.items()}
        for k, reference in references.items():
            try:
                results[k] = self._result(k, method, arguments[k], then, reference)
            except MemberError as error:
                errors[k] = error
        raise_first(errors)
        return results

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []

    def _actor(self, member: int) -> Any:
        return self._actor_class.remote(member, cloudpickle.dumps(self.specs[member]), th.get_num_threads())

    def _result(self, member: int, method: str, given: tuple[Any, ...], then: str | None, reference: Any) -> Any:
        for _ in range(MOST_RESTARTS):
            try:
                result, snapshot = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayActorError as error:
                died = error
            else:
                if method == "begin":
                    self._begun[member] = (result, given[1])
                if snapshot is not None:
                    spec = self.specs[member]
                    lasting = {name: value for name, value in spec.kwargs.items() if name in LASTING}
                    self.specs[member] = replace(spec, kwargs=lasting, **snapshot._asdict())
                return result
            reference = self._again(member, method, given, then)
        raise MemberError(member, method, f"it died {MOST_RESTARTS} times, the last time so: {died}")

    def _again(self, member: int, method: str, given: tuple[Any, ...], then: str | None) -> Any:
        """Make a member whose node has died again from its last round, and bring it to where it was."""
        self.n_restarts += 1
        actor = self._actors[member] = self._actor(member)
        if method != "begin" and member in self._begun:
            actor.call.remote("begin_again", self._begun[member])
            if method == "train":
                actor.call.remote("collect", ())
        return actor.call.remote(method, given, then)


class RayMember:
    """
    A member as an actor.

    :param member: its number
    :param spec: what it is made from, by cloudpickle
    :param threads: of torch
    """

    def __init__(self, member: int, spec: bytes, threads: int) -> None:
        th.set_num_threads(threads)
        self._number = member
        self._spec = spec
        self._member: Member | None = None

    def call(self, method: str, arguments: tuple[Any, ...], then: str | None = None) -> tuple[Any, Any]:
        """:return: what the member returned, and its snapshot as the round's training left it"""
        # Made with the first call: an error in an actor's constructor would look like the death of its node.
        if self._member is None:
            self._member = made(self._number, cloudpickle.loads(self._spec))
        result = carried_out(self._number, self._member, method, arguments)
        snapshot = carried_out(self._number, self._member, "snapshot", ()) if method in ("begin", "train") else None
        if then is not None:
            result = carried_out(self._number, self._member, then, ())
        return result, snapshot
