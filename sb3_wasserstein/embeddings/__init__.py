"""
What a behaviour is.

An embedding φ maps an episode τ to a point of a metric space; the law of φ(τ) under a policy is its behaviour.
An :class:`Embedding` is a plain recipe; bound to spaces it follows episodes while they run.
"""

from sb3_wasserstein.embeddings.base import BoundEmbedding, Embedding
from sb3_wasserstein.embeddings.checked import EmbeddingError
from sb3_wasserstein.embeddings.function import FunctionEmbedding
from sb3_wasserstein.embeddings.recorder import Recorder
from sb3_wasserstein.embeddings.registry import make_embedding
from sb3_wasserstein.embeddings.rollout import Episode, Rollout
from sb3_wasserstein.embeddings.states import FinalState, MeanState, Path, StateOccupancy
from sb3_wasserstein.embeddings.trajectory import Trajectory
from sb3_wasserstein.embeddings.visits import VisitHistogram
from sb3_wasserstein.embeddings.wrapper import TrajectoryEmbeddingWrapper

__all__ = [
    "BoundEmbedding",
    "Embedding",
    "EmbeddingError",
    "Episode",
    "FinalState",
    "FunctionEmbedding",
    "MeanState",
    "Path",
    "Recorder",
    "Rollout",
    "StateOccupancy",
    "Trajectory",
    "TrajectoryEmbeddingWrapper",
    "VisitHistogram",
    "make_embedding",
]
