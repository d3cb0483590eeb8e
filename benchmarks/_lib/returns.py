"""An episode's return, read from a model as its embedding."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_wasserstein.embeddings import FunctionEmbedding, Trajectory


def _total(trajectory: Trajectory) -> list[float]:
    assert trajectory.rewards is not None
    return [float(trajectory.rewards.sum())]


#: for ``collect_embeddings``: returns of (n, 1)
RETURN = FunctionEmbedding(_total, 1)


def last_return(model: BaseAlgorithm) -> float:
    """The mean return of the last 100 episodes of training."""
    return float(np.mean([episode["r"] for episode in model.ep_info_buffer or ()]))
