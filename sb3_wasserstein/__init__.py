"""Behaviour as a first-class quantity in reinforcement learning: Wasserstein-regularised Stable-Baselines3."""

from sb3_wasserstein.collect import collect_embeddings
from sb3_wasserstein.duals import behaviour_distance
from sb3_wasserstein.embeddings import TrajectoryEmbeddingWrapper
from sb3_wasserstein.population import Population
from sb3_wasserstein.regularised import DualCallback, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.targets import Target

__version__ = "0.1.0"

__all__ = [
    "DualCallback",
    "Population",
    "Target",
    "TrajectoryEmbeddingWrapper",
    "WassersteinA2C",
    "WassersteinPPO",
    "behaviour_distance",
    "collect_embeddings",
]
