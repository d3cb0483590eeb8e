"""Embeddings by name: those of the package's export list that need no argument."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from sb3_wasserstein.embeddings.base import Embedding

EmbeddingLike = str | Embedding | dict[str, Any]


def known_embeddings() -> dict[str, type[Embedding]]:
    """:return: name, as in ``embedding="final_state"``: class"""
    # Here, not above: the package imports this module for its own list.
    package = importlib.import_module("sb3_wasserstein.embeddings")
    classes = (getattr(package, name) for name in package.__all__)
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", found.__name__).lower(): found
        for found in classes
        if inspect.isclass(found) and issubclass(found, Embedding) and not inspect.isabstract(found) and _is_complete(found)
    }


def make_embedding(embedding: EmbeddingLike) -> Embedding:
    """
    :param embedding: a name, an :class:`Embedding`, or its ``config()``
    :return: the recipe
    :raises ValueError: if the name is unknown
    :raises TypeError: if it is none of these

    Example:
        >>> from sb3_wasserstein.embeddings import make_embedding
        >>> make_embedding("path")
        Path(n_points=5, features=None)
    """
    if isinstance(embedding, Embedding):
        return embedding
    if isinstance(embedding, dict):
        return Embedding.from_config(embedding)
    known = known_embeddings()
    if isinstance(embedding, str):
        if embedding not in known:
            raise ValueError(f"embedding={embedding!r} is not known; use one of {list(known)}, or an Embedding object")
        return known[embedding]()
    raise TypeError(f"embedding must be one of {list(known)} or an Embedding object; got {embedding!r}")


def _is_complete(recipe: type[Embedding]) -> bool:
    parameters = inspect.signature(recipe).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)
