"""Behaviour as a first-class quantity in reinforcement learning: Wasserstein-regularised Stable-Baselines3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_wasserstein.compare import Comparison, compare
from sb3_wasserstein.distance import behaviour_distance
from sb3_wasserstein.drift import DriftCallback
from sb3_wasserstein.imitation import ImitationPPO
from sb3_wasserstein.population import Population
from sb3_wasserstein.recording import TrajectoryEmbeddingWrapper
from sb3_wasserstein.recording.collect import collect_embeddings
from sb3_wasserstein.regularised import DualCallback, WassersteinA2C, WassersteinPPO, WassersteinSAC, WassersteinTD3
from sb3_wasserstein.targets import Target

if TYPE_CHECKING:
    from sb3_wasserstein.flow.wpo import WPO

__version__ = "0.1.0"

__all__ = [
    "WPO",
    "Comparison",
    "DriftCallback",
    "DualCallback",
    "ImitationPPO",
    "Population",
    "Target",
    "TrajectoryEmbeddingWrapper",
    "WassersteinA2C",
    "WassersteinPPO",
    "WassersteinSAC",
    "WassersteinTD3",
    "behaviour_distance",
    "collect_embeddings",
    "compare",
]


def __getattr__(name: str) -> Any:
    """WPO brings the flow's numerics along: it is imported when it is asked for."""
    if name == "WPO":
        from sb3_wasserstein.flow.wpo import WPO

        return WPO
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public."""
    return [*__all__, "__version__"]
