"""
What a behaviour is.

An embedding φ maps an episode τ to a point of a metric space; the law of φ(τ) under a policy is its behaviour.
An :class:`Embedding` is a plain recipe; bound to spaces it follows episodes while they run.

The lines below are the export list: an embedding that stands here, and needs no argument, is known by name
(``LapTime`` as ``"lap_time"``).
"""

from sb3_wasserstein.embeddings.base import BoundEmbedding as BoundEmbedding
from sb3_wasserstein.embeddings.base import Embedding as Embedding
from sb3_wasserstein.embeddings.function import FunctionEmbedding as FunctionEmbedding
from sb3_wasserstein.embeddings.registry import make_embedding as make_embedding
from sb3_wasserstein.embeddings.scaling import Scaling as Scaling
from sb3_wasserstein.embeddings.states import FinalState as FinalState
from sb3_wasserstein.embeddings.states import MeanState as MeanState
from sb3_wasserstein.embeddings.states import Path as Path
from sb3_wasserstein.embeddings.states import StateOccupancy as StateOccupancy
from sb3_wasserstein.embeddings.states import TransitionOccupancy as TransitionOccupancy
from sb3_wasserstein.embeddings.trajectory import Trajectory as Trajectory
from sb3_wasserstein.embeddings.validated import EmbeddingError as EmbeddingError
from sb3_wasserstein.embeddings.visits import VisitHistogram as VisitHistogram

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
