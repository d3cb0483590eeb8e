"""K policies that all solve the task, each in its own way (Abdullah et al. 2018, §4.2): each the others' target."""

from sb3_wasserstein.population.evaluation import Evaluation
from sb3_wasserstein.population.executors import MemberError
from sb3_wasserstein.population.population import Population
from sb3_wasserstein.population.schedule import Burst, FreshStarts

__all__ = ["Burst", "Evaluation", "FreshStarts", "MemberError", "Population"]
