"""Members in this process, one after the other."""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.population.executors.base import Executor, MemberError, carried_out, made, raise_first
from sb3_wasserstein.population.member import MemberSpec


class SerialExecutor(Executor):
    """
    :param specs: one for each member
    """

    is_local = True

    def __init__(self, specs: list[MemberSpec]) -> None:
        super().__init__(specs)
        self.members = [made(k, spec) for k, spec in enumerate(specs)]

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]], then: str | None = None) -> dict[int, Any]:
        results: dict[int, Any] = {}
        errors: dict[int, MemberError] = {}
        for k, given in arguments.items():
            try:
                results[k] = carried_out(k, self.members[k], method, given)
                if then is not None:
                    results[k] = carried_out(k, self.members[k], then, ())
            except MemberError as error:
                errors[k] = error
        raise_first(errors)
        return results

    def close(self) -> None:
        for member in self.members:
            if member.model.env is not None:
                member.model.env.close()
