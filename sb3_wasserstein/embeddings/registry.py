"""Embeddings by name."""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.embeddings.base import Embedding
from sb3_wasserstein.embeddings.states import FinalState, MeanState, Path, StateOccupancy
from sb3_wasserstein.embeddings.visits import VisitHistogram

EmbeddingLike = str | Embedding | dict[str, Any]

NAMES: dict[str, type[Embedding]] = {
    "final_state": FinalState,
    "mean_state": MeanState,
    "path": Path,
    "visit_histogram": VisitHistogram,
    "state_occupancy": StateOccupancy,
}


def make_embedding(embedding: EmbeddingLike) -> Embedding:
    """
    :param embedding: a name, an :class:`Embedding`, or its ``config()``
    :return: the recipe
    :raises ValueError: if the name is unknown
    :raises TypeError: if it is none of these
    """
    if isinstance(embedding, Embedding):
        return embedding
    if isinstance(embedding, dict):
        return Embedding.from_config(embedding)
    if isinstance(embedding, str):
        if embedding not in NAMES:
            raise ValueError(f"embedding={embedding!r} is not known; use one of {list(NAMES)}, or an Embedding object")
        return NAMES[embedding]()
    raise TypeError(f"embedding must be one of {list(NAMES)} or an Embedding object; got {embedding!r}")
