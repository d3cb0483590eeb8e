"""Where the members of a population live: in this process, in several, or on several machines."""

from __future__ import annotations

from sb3_wasserstein.population.executors.base import Executor, MemberError
from sb3_wasserstein.population.member import MemberSpec

__all__ = ["EXECUTORS", "Executor", "MemberError", "make_executor"]

EXECUTORS = ("serial", "process", "ray")


def make_executor(name: str, specs: list[MemberSpec], timeout: float | None = None) -> Executor:
    """
    :param name: "serial", "process" or "ray"
    :param specs: one for each member
    :param timeout: seconds that a member may take for one call, None for no limit; for "process" and "ray"
    :return: with its members made
    :raises ValueError: if the name is not known, or if members cannot be sent to other processes
    :raises ImportError: if ray is asked for and not installed

    Example:
        >>> from sb3_wasserstein.population.executors import make_executor
        >>> from sb3_wasserstein.population.member import MemberSpec
        >>> from sb3_wasserstein.regularised import WassersteinPPO
        >>> specs = [MemberSpec(WassersteinPPO, "MlpPolicy", "CartPole-v1", 1, None, k, f"member_{k}") for k in range(2)]
        >>> executor = make_executor("serial", specs)
        >>> len(executor.members)
        2
        >>> executor.close()
    """
    if name == "serial":
        from sb3_wasserstein.population.executors.serial import SerialExecutor

        return SerialExecutor(specs)
    if name == "process":
        from sb3_wasserstein.population.executors.process import ProcessExecutor

        return ProcessExecutor(specs, timeout)
    if name == "ray":
        from sb3_wasserstein.population.executors.cluster import RayExecutor

        return RayExecutor(specs, timeout)
    raise ValueError(f"executor={name!r} is not known; use one of {list(EXECUTORS)}")
