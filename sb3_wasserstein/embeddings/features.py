"""From a batch of observations to a batch of feature vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.observations import Observations, take

FeatureSpec = Sequence[int] | slice | str | Callable[[Any], Any] | None


def check_features(features: FeatureSpec) -> None:
    """
    :raises TypeError: if ``features`` is none of: indices, a slice, a key of a Dict space, a function
    """
    if features is None or isinstance(features, (slice, str)) or callable(features):
        return
    indices = np.asarray(features)
    if indices.ndim != 1 or indices.size == 0 or not np.issubdtype(indices.dtype, np.integer):
        raise TypeError(
            "features must be a non-empty list of indices, a slice, a key of a Dict space, a function of one observation, "
            f"or None; got {features!r}"
        )


def features_config(features: FeatureSpec) -> Any:
    """JSON-plain form of ``features``; a function has none and is marked as such."""
    if isinstance(features, slice):
        return {"slice": [features.start, features.stop, features.step]}
    if callable(features):
        return {"function": getattr(features, "__qualname__", type(features).__name__)}
    if features is None or isinstance(features, str):
        return features
    return [int(index) for index in features]


def features_from_config(config: Any) -> FeatureSpec:
    """
    Inverse of :func:`features_config`.

    :raises ValueError: for a function, which is never saved
    """
    if isinstance(config, dict):
        if "function" in config:
            raise ValueError(
                f"the embedding's features= is a function ({config['function']}), and functions are not saved: "
                "pass embedding= with that function to load()"
            )
        return slice(*config["slice"])
    return config  # type: ignore[no-any-return]


class Features:
    """
    The feature map of one observation space: (n, ...) observations to (n, dim) float64.

    Box is flattened, Discrete is one-hot, MultiDiscrete is a one-hot per entry, MultiBinary stays as it is, and the entries
    of a Dict are concatenated in the space's order. Images need ``features``.

    :param space: the observation space
    :param features: indices or a slice of the flattened observation, a key of a Dict space, or a function of one
        observation that returns a vector
    :raises ValueError: if the space cannot be flattened, or if ``features`` does not fit it
    """

    def __init__(self, space: spaces.Space[Any], features: FeatureSpec = None) -> None:
        check_features(features)
        self._function: Callable[[Any], Any] | None = None
        self._index: NDArray[np.intp] | slice | None = None
        self._key: str | None = None
        if isinstance(features, str):
            if not isinstance(space, spaces.Dict) or features not in space.spaces:
                keys = list(space.spaces) if isinstance(space, spaces.Dict) else "none"
                raise ValueError(f"features={features!r} is not a key of the observation space {space}; its keys: {keys}")
            self._key = features
            space = space.spaces[features]
        elif callable(features):
            self._function = features
        elif features is not None:
            self._index = features if isinstance(features, slice) else np.asarray(features, dtype=np.intp)
        self.space = space
        if self._function is not None:
            try:
                self.dim = len(self._call_function(space.sample()))
            # A user's function can raise anything.
            except Exception as error:
                raise ValueError(f"features= failed on a sample of the observation space {space}: {error!r}") from error
        else:
            width = flat_width(space)
            try:
                self.dim = width if self._index is None else len(np.empty(width)[self._index])
            except IndexError as error:
                parts = space.spaces.items() if isinstance(space, spaces.Dict) else ()
                keys = (
                    f", by key { ({key: flat_width(part) for key, part in parts}) }: a key alone is features=key"
                    if parts
                    else ""
                )
                raise ValueError(
                    f"features={features!r} is out of range: the flattened observation has {width} entries{keys}"
                ) from error
            if self.dim == 0:
                raise ValueError(f"features={features!r} selects nothing of a flattened observation of {width} entries")

    def _call_function(self, observation: Any) -> NDArray[np.float64]:
        assert self._function is not None
        value = np.asarray(self._function(observation), dtype=np.float64)
        if value.ndim > 1:
            raise ValueError(f"features= must return a vector; got an array of shape {value.shape}")
        return np.atleast_1d(value)

    def __call__(self, observations: Observations) -> NDArray[np.float64]:
        if self._function is not None:
            n = len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
            rows = [self._call_function(take(observations, i)) for i in range(n)]
            if any(len(row) != self.dim for row in rows):
                raise ValueError(f"features= returned vectors of lengths {[len(row) for row in rows]}; expected {self.dim}")
            return np.stack(rows)
        if self._key is not None:
            assert isinstance(observations, dict)
            observations = observations[self._key]
        flat = flatten(self.space, observations)
        return flat if self._index is None else flat[:, self._index]


def flat_width(space: spaces.Space[Any]) -> int:
    """
    Length of a flattened observation.

    :raises ValueError: for images (they need ``features=``) and for spaces without a flat form
    """
    if isinstance(space, spaces.Box):
        if space.dtype == np.uint8 and len(space.shape) == 3:
            raise ValueError(
                f"the observation space {space} looks like an image, which no built-in embedding flattens: "
                "pass features= with a function that maps an observation to a vector"
            )
        return int(np.prod(space.shape))
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.MultiBinary):
        return int(np.prod(space.shape))
    if isinstance(space, spaces.Dict):
        return sum(_width_of_key(space, key) for key in space.spaces)
    raise ValueError(
        f"the observation space {space} cannot be flattened by an embedding (Box, Discrete, MultiDiscrete, MultiBinary and "
        "Dict can): pass features= with a function that maps an observation to a vector"
    )


def _width_of_key(space: spaces.Dict, key: str) -> int:
    try:
        return flat_width(space.spaces[key])
    except ValueError as error:
        raise ValueError(
            f"the key {key!r} of the observation space cannot be flattened: {error}; or choose another of its keys "
            f"{list(space.spaces)} with features="
        ) from error


def flatten(space: spaces.Space[Any], observations: Observations) -> NDArray[np.float64]:
    """A batch (n, ...) of observations of ``space`` as (n, flat_width) float64."""
    if isinstance(observations, dict):
        assert isinstance(space, spaces.Dict)
        return np.concatenate([flatten(part, observations[key]) for key, part in space.spaces.items()], axis=1)
    n = len(observations)
    if isinstance(space, spaces.Discrete):
        return one_hot(np.reshape(observations, (n, 1)) - space.start, np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return one_hot(np.reshape(observations - space.start, (n, -1)), space.nvec.ravel())
    return observations.reshape((n, -1)).astype(np.float64)


def one_hot(indices: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    """(n, k) category indices to the concatenation of k one-hot codes, (n, sum(sizes))."""
    out = np.zeros((len(indices), int(sizes.sum())))
    columns = indices.astype(np.intp) + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    out[np.arange(len(indices))[:, None], columns] = 1.0
    return out
