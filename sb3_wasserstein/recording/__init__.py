"""
How behaviour is seen: what the environments return, step by step, becomes episodes in the embedding space.

:class:`EpisodeReader` reads a vectorised environment, :class:`Recorder` follows its episodes, and a :class:`Rollout` is what
they looked like since the last one.
"""

from sb3_wasserstein.recording.collect import collect_embeddings as collect_embeddings
from sb3_wasserstein.recording.recorder import Recorder as Recorder
from sb3_wasserstein.recording.rollout import Episode as Episode
from sb3_wasserstein.recording.rollout import Rollout as Rollout
from sb3_wasserstein.recording.wrapper import TrajectoryEmbeddingWrapper as TrajectoryEmbeddingWrapper

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
