"""Members in this process, one after the other."""

from __future__ import annotations

import traceback
from typing import Any

from sb3_wasserstein.population.executors.base import Executor, MemberError, made, raise_first
from sb3_wasserstein.population.member import MemberSpec


class SerialExecutor(Executor):
    """
    :param specs: one for each member
    """

    is_local = True

    def __init__(self, specs: list[MemberSpec]) -> None:
        super().__init__(specs)
        self.members = [made(k, spec) for k, spec in enumerate(specs)]

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        results: dict[int, Any] = {}
        errors: dict[int, MemberError] = {}
        for k, given in arguments.items():
            try:
                results[k] = getattr(self.members[k], method)(*given)
            # Whatever a user's environment raises is passed on with the member's number, once the others are through.
            except Exception as error:
                errors[k] = MemberError(k, method, traceback.format_exc())
                errors[k].__cause__ = error
        raise_first(errors)
        return results

    def close(self) -> None:
        for member in self.members:
            if member.model.env is not None:
                member.model.env.close()
