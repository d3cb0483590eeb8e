"""K policies that all solve the task, each in its own way (Abdullah et al. 2018, §4.2): each the others' target."""

from sb3_wasserstein.population.executors import MemberError
from sb3_wasserstein.population.population import Population

__all__ = ["MemberError", "Population"]
