"""Policy optimisation as a gradient flow in Wasserstein space, after Dus (arXiv 2604.14765)."""

from sb3_wasserstein.flow.grid import Grid
from sb3_wasserstein.flow.particles import ParticleFlow
from sb3_wasserstein.flow.solver import Result

__all__ = ["Grid", "ParticleFlow", "Result"]
