"""Members in this process, one after the other."""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.population.executors.base import Executor, Failure
from sb3_wasserstein.population.member import Member, MemberSpec


class SerialExecutor(Executor):
    """
    :param specs: one for each member
    """

    is_local = True

    def __init__(self, specs: list[MemberSpec]) -> None:
        super().__init__(specs)
        self.members: list[Member] = []
        for k, spec in enumerate(specs):
            try:
                self.members.append(Member(spec))
            except (Exception, SystemExit) as error:
                raise Failure.of("__init__", error).error(k) from error

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        results: dict[int, Any] = {}
        errors: dict[int, tuple[Exception, BaseException]] = {}
        for k, given in arguments.items():
            doing = method
            try:
                results[k] = getattr(self.members[k], doing)(*given)
                if then is not None:
                    doing = then
                    results[k] = getattr(self.members[k], doing)()
            # A KeyboardInterrupt is the user's here.
            except (Exception, SystemExit) as error:
                errors[k] = Failure.of(doing, error).error(k), error
        if errors:
            failed, cause = errors[min(errors)]
            raise failed from cause
        return results

    def close(self) -> None:
        for member in self.members:
            if member.model.env is not None:
                member.model.env.close()
