"""Members as Ray actors, on as many machines as the cluster has."""

from __future__ import annotations

import time
from typing import Any

import cloudpickle
import torch as th

from sb3_wasserstein.population.executors.base import Answer, Failure, Host, RemoteExecutor, Request
from sb3_wasserstein.population.member import MemberSpec


class RayExecutor(RemoteExecutor):
    """
    One actor for each member, placed by Ray (core actors, no RLlib); arguments travel through its object store. A member whose
    node dies is made again, anywhere, from its last snapshot, and repeats the round.

    :param specs: one for each member
    :param timeout: seconds that a member may take for one call before its actor is killed, None for no limit
    :param most_restarts: how often a member is made again within one call before the call fails
    :raises ImportError: if ray is not installed
    :raises ValueError: if what a member is made from cannot be pickled; the message names it
    """

    def __init__(self, specs: list[MemberSpec], timeout: float | None = None, most_restarts: int = 3) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("executor='ray' needs Ray: pip install 'sb3-wasserstein[ray]'") from error
        super().__init__(specs, timeout)
        self.most_restarts = most_restarts
        self.n_restarts = 0
        self._ray = ray
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        # Spread over the nodes, and never waiting for a free core: members work in lockstep.
        self._actor_class = ray.remote(max_restarts=0, num_cpus=0, scheduling_strategy="SPREAD")(Host)
        self._actors: dict[int, Any] = {}
        #: each member's last ``begin``: its absolute number of steps, and the arguments
        self._begun: dict[int, tuple[int, bytes]] = {}
        self._make()

    def close(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors = {}

    def _living(self) -> set[int]:
        return set(self._actors)

    def _ask(self, requests: dict[int, Request]) -> dict[int, Answer]:
        for k in requests.keys() - self._actors.keys():
            self._actors[k] = self._actor(k)
        references = {k: self._actors[k].answer.remote(request) for k, request in requests.items()}
        begin = time.monotonic()
        return {k: self._answer(k, requests[k], reference, begin) for k, reference in references.items()}

    def _actor(self, member: int) -> Any:
        return self._actor_class.remote(cloudpickle.dumps(self.specs[member]), th.get_num_threads())

    def _answer(self, member: int, request: Request, reference: Any, begin: float) -> Answer:
        doing = request.method or "__init__"
        died = ""
        for _ in range(1 + self.most_restarts):
            left = None if self.timeout is None else max(0.0, begin + self.timeout - time.monotonic())
            try:
                answer: Answer = self._ray.get(reference, timeout=left)
            except self._ray.exceptions.GetTimeoutError:
                self._ray.kill(self._actors.pop(member))
                text = f"It has not answered within member_timeout={self.timeout:g} s, and was ended."
                return Answer(failure=Failure(doing, text))
            # Its process or node has died, or what it answered was lost with the node.
            except self._ray.exceptions.RayError as error:
                died = str(error)
                begin = time.monotonic()
                reference = self._again(member, request)
            else:
                if request.method == "begin" and answer.failure is None:
                    self._begun[member] = answer.result, request.arguments
                return answer
        self._ray.kill(self._actors.pop(member))
        return Answer(failure=Failure(doing, f"It was made again {self.most_restarts} times, and died each time: {died}"))

    def _again(self, member: int, request: Request) -> Any:
        """Make a member whose node has died again from its last snapshot, and bring it to where it was."""
        self.n_restarts += 1
        self._ray.kill(self._actors[member])
        actor = self._actors[member] = self._actor(member)
        if request.method in ("collect", "train", "end") and member in self._begun:
            total, arguments = self._begun[member]
            callback = cloudpickle.loads(arguments)[1]
            actor.answer.remote(Request("begin_again", cloudpickle.dumps((total, callback))))
            if request.method == "train":
                actor.answer.remote(Request("collect", cloudpickle.dumps(())))
        return actor.answer.remote(request)
