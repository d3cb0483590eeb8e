"""Where members live, behind one small interface."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from typing import Any

from sb3_wasserstein.population.member import Member, MemberSpec


class MemberError(RuntimeError):
    """
    A member failed. The others have finished what they were doing, and can be saved.

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


#: what a user's arguments are answered with, which no member's number makes clearer
PLAIN = (ValueError, TypeError, ImportError, FileNotFoundError)


def made(member: int, spec: MemberSpec) -> Member:
    """
    :param member: its number
    :param spec: what it is made from
    :return: the member
    :raises MemberError: if it cannot be made, for other reasons than its arguments, which raise as they are
    """
    try:
        return Member(spec)
    except PLAIN:
        raise
    # Whatever a user's environment raises.
    except Exception as error:
        raise MemberError(member, "__init__", traceback.format_exc()) from error


def carried_out(member: int, on: Member, method: str, arguments: tuple[Any, ...]) -> Any:
    """
    :param member: its number
    :param on: the member
    :param method: one of its methods
    :param arguments: of the method
    :return: what it returned
    :raises MemberError: if it failed, with its traceback
    """
    try:
        return getattr(on, method)(*arguments)
    # Whatever a user's environment raises is passed on with the member's number.
    except Exception as error:
        raise MemberError(member, method, traceback.format_exc()) from error


def raise_first(errors: dict[int, MemberError]) -> None:
    """
    :param errors: of the members that failed
    :raises MemberError: the first of them, if any
    """
    if errors:
        raise errors[min(errors)]
