"""What a behaviour is: a recipe that maps an episode to a point, and its state while episodes run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein.embeddings.features import (
    Features,
    FeatureSpec,
    check_features,
    features_config,
    features_from_config,
)
from sb3_wasserstein.embeddings.trajectory import Mask, Observations
from sb3_wasserstein.means import RunningMeans

if TYPE_CHECKING:
    from sb3_wasserstein.embeddings.running import Ends


class BoundEmbedding(ABC):
    """
    The running state of an embedding over ``n_envs`` episodes in parallel.

    :param dim: dimension of the embedding space
    :param n_envs: number of parallel environments

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.embeddings import FinalState
        >>> bound = FinalState().bind(Box(-1, 1, (2,)), None, n_envs=1)
        >>> everywhere = np.array([True])
        >>> bound.reset(np.array([[0.0, 0.0]]), everywhere)
        >>> bound.update(np.array([[0.5, 0.25]]), None, None, everywhere)
        >>> bound.value()
        array([[0.5 , 0.25]])
    """

    has_prefixes: bool = True
    #: what the last scan's values are means of, where they are means of few points (:class:`Scanning`)
    means: RunningMeans | None = None

    def __init__(self, dim: int, n_envs: int) -> None:
        self.dim = dim
        self.n_envs = n_envs

    @abstractmethod
    def reset(self, observations: Observations, mask: Mask) -> None:
        """
        Start an episode where ``mask`` is set.

        :param observations: (n_envs, ...) the observations that the resets returned; rows outside the mask are ignored
        :param mask: (n_envs,)
        """

    @abstractmethod
    def update(self, observations: Observations, actions: Any, rewards: Any, mask: Mask) -> None:
        """
        Add a step where ``mask`` is set.

        :param observations: (n_envs, ...) observations after the step; at an episode's end the terminal one
        :param actions: (n_envs, ...) or None
        :param rewards: (n_envs,) or None
        :param mask: (n_envs,)
        """

    @abstractmethod
    def value(self) -> NDArray[np.float64]:
        """:return: (n_envs, dim) embedding of each episode so far, a fresh array"""

    def value_of(self, env: int) -> NDArray[np.float64]:
        """:return: (dim,) embedding of the episode so far in one environment"""
        return self.value()[env]  # type: ignore[no-any-return]


@runtime_checkable
class Scanning(Protocol):
    """A bound embedding may have this besides, where a whole rollout at once is faster than step by step."""

    def scan(
        self, observations: Observations, resets: Observations, ends: Ends
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """
        Follow a rollout, to the same state and values as :meth:`BoundEmbedding.update` gives.

        :param observations: (T, n_envs, ...) after each step, terminal ones at the ends
        :param resets: (k, ...) the first observation of each new episode, in the order of the ends
        :param ends: where episodes end
        :return: (T, n_envs, dim) values after each step and (k, dim) at each new episode's begin, fresh arrays
        """


class Embedding(ABC):
    """
    A recipe for the map φ from trajectories to points (S1 §1: "an embedding is a function mapping trajectories to points").

    A recipe holds no state; :meth:`bind` makes a fresh, independent one for a pair of spaces. Subclasses are known by their
    class name when a model is loaded.

    Example:
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.embeddings import Embedding, Path
        >>> Path(n_points=3).bind(Box(-1, 1, (2,)), None).dim
        6
        >>> Path(n_points=3).config()
        {'embedding': 'Path', 'n_points': 3, 'features': None}
        >>> Embedding.from_config({"embedding": "Path", "features": None, "n_points": 3})
        Path(n_points=3, features=None)
    """

    has_prefixes: ClassVar[bool] = True
    #: True where each *state* is a sample of the law (occupancy), False where each episode is one
    samples_states: ClassVar[bool] = False
    registry: ClassVar[dict[str, type[Embedding]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Embedding.registry[cls.__name__] = cls

    @abstractmethod
    def bind(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any] | None, n_envs: int = 1
    ) -> BoundEmbedding:
        """
        :param observation_space: space of the observations that will be given
        :param action_space: space of the actions, or None
        :param n_envs: number of parallel environments
        :return: a fresh state
        :raises ValueError: if the embedding cannot read this space
        """

    @property
    def is_plain(self) -> bool:
        """Whether :meth:`config` says it all; False where the recipe holds a user's function, which is never saved."""
        return True

    def arguments(self) -> dict[str, Any]:
        """:return: the constructor's arguments, JSON-plain"""
        return {}

    def config(self) -> dict[str, Any]:
        """:return: JSON-plain description; :meth:`from_config` rebuilds the recipe from it"""
        return {"embedding": type(self).__name__, **self.arguments()}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Embedding:
        """Rebuild from :meth:`arguments`."""
        return cls(**arguments)

    @staticmethod
    def from_config(config: dict[str, Any]) -> Embedding:
        """
        :param config: what :meth:`config` returned
        :raises ValueError: if the class is unknown here, or if the recipe held a function (functions are not saved)
        """
        name = config.get("embedding")
        if name not in Embedding.registry:
            raise ValueError(
                f"embedding {name!r} is not known here (known: {sorted(Embedding.registry)}): "
                "import the module that defines it, or pass embedding= to load()"
            )
        arguments = {key: value for key, value in config.items() if key != "embedding"}
        try:
            return Embedding.registry[name].from_arguments(arguments)
        except (KeyError, TypeError) as error:
            raise ValueError(f"embedding {name!r} has no such arguments: {arguments} ({error})") from error

    def with_time_limit(self, max_episode_steps: int | None) -> Embedding:
        """
        :param max_episode_steps: the environment's time limit, if it has one
        :return: the recipe completed by it; most recipes do not depend on it
        """
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.arguments().items())})"


class FeatureEmbedding(Embedding):
    """
    Base of the embeddings that read each observation through ``features``.

    :param features: None for the whole observation, or indices or a slice of the flattened one, a key of a Dict space,
        or a function of one observation that returns a vector
    """

    def __init__(self, features: FeatureSpec = None) -> None:
        check_features(features)
        self.features = features

    @property
    def is_plain(self) -> bool:
        return not callable(self.features)

    def arguments(self) -> dict[str, Any]:
        return {"features": features_config(self.features)}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Embedding:
        return cls(**{**arguments, "features": features_from_config(arguments["features"])})

    def feature_map(self, observation_space: spaces.Space[Any]) -> Features:
        """:return: the map from observations of this space to feature vectors"""
        return Features(observation_space, self.features)
