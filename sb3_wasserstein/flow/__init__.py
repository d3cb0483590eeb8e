"""
Policy optimisation as a gradient flow in Wasserstein space, after Dus 2026 (arXiv 2604.14765).

``grid`` and ``particles``: policies of particles on a grid of states, by linear algebra. ``neural``: networks through known
dynamics. ``wpo``: networks with learned critics, an SB3 algorithm.
"""

from sb3_wasserstein.flow.grid.grid import Grid
from sb3_wasserstein.flow.neural.natural import NaturalGradient
from sb3_wasserstein.flow.neural.policy import NeuralPolicy
from sb3_wasserstein.flow.particles.flow import ConvexityReport, ParticleFlow
from sb3_wasserstein.flow.particles.policy import GridPolicy
from sb3_wasserstein.flow.particles.problems import Problem, from_env, mountain_car, pendulum
from sb3_wasserstein.flow.particles.solver import Result, SolverOptions

__all__ = [
    "ConvexityReport",
    "Grid",
    "GridPolicy",
    "NaturalGradient",
    "NeuralPolicy",
    "ParticleFlow",
    "Problem",
    "Result",
    "SolverOptions",
    "from_env",
    "mountain_car",
    "pendulum",
]
