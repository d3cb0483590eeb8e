"""Policy optimisation as a gradient flow in Wasserstein space, after Dus (arXiv 2604.14765)."""

from sb3_wasserstein.flow.curvature import ConvexityReport
from sb3_wasserstein.flow.grid import Grid
from sb3_wasserstein.flow.natural import NaturalGradient
from sb3_wasserstein.flow.neural import NeuralPolicy
from sb3_wasserstein.flow.particles import ParticleFlow
from sb3_wasserstein.flow.physics import Problem, mountain_car, pendulum
from sb3_wasserstein.flow.policy import GridPolicy
from sb3_wasserstein.flow.simulator import from_env
from sb3_wasserstein.flow.solver import Result

__all__ = [
    "ConvexityReport",
    "Grid",
    "GridPolicy",
    "NaturalGradient",
    "NeuralPolicy",
    "ParticleFlow",
    "Problem",
    "Result",
    "from_env",
    "mountain_car",
    "pendulum",
]
