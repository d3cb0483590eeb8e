"""What a behaviour is: a recipe that maps an episode to a point, and its state while episodes run."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import constructor_arguments
from sb3_wasserstein.embeddings.features import (
    Features,
    FeatureSpec,
    check_features,
    features_config,
    features_from_config,
)
from sb3_wasserstein.embeddings.observations import Floats, Mask, Observations, put, take
from sb3_wasserstein.embeddings.steps import Scan, Steps


class ScanError(Exception):
    """
    A step failed in :meth:`BoundEmbedding.scan`; the cause is the error that the embedding raised.

    :param time: index of the step
    :param env: index of the environment, None where all were embedded together
    """

    def __init__(self, time: int, env: int | None = None) -> None:
        super().__init__(time, env)
        self.time, self.env = time, env


def of_shape(value: Any, shape: tuple[int, ...]) -> Floats:
    """
    :param value: what an embedding of the user's returned
    :param shape: what it must have
    :return: the value as an array
    :raises ValueError: if it has another shape
    """
    # A copy: an embedding that returned its own buffer would change what was kept before.
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"its value has shape {array.shape}; expected {shape}")
    return array


class BoundEmbedding(ABC):
    """
    The running state of an embedding over ``n_envs`` episodes in parallel.

    An embedding of one's own defines :meth:`reset`, :meth:`update` and :meth:`value`; :meth:`scan` follows from them.

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
    def value(self) -> Floats:
        """:return: (n_envs, dim) embedding of each episode so far, a new array"""

    def scan(self, steps: Steps) -> Scan:
        """
        Follow T steps at once; afterwards the state is that of :meth:`update` and :meth:`reset`, step by step.

        :param steps: what the environments returned
        :return: the embeddings after each step, at each new episode's begin, and of the episodes that ended
        :raises ScanError: from the error of the step that failed
        """
        after: list[Floats] = []
        first: list[Floats] = []
        finals: list[Floats] = []
        n_envs = steps.ends.mask.shape[1]
        everywhere, shape = np.ones(n_envs, dtype=bool), (n_envs, self.dim)
        for time, ended in enumerate(steps.ends.mask):
            actions, rewards = (None if part is None else part[time] for part in (steps.actions, steps.rewards))
            try:
                self.update(take(steps.observations, time), actions, rewards, everywhere)
                if self.has_prefixes:
                    after.append(of_shape(self.value(), shape))
                if ended.any():
                    # Without prefixes only the ends have a value.
                    finals.extend((after[-1] if self.has_prefixes else of_shape(self.value(), shape))[ended])
                    observations = copy.deepcopy(take(steps.observations, time))
                    begun = len(finals) - int(ended.sum())
                    put(observations, ended, take(steps.first, slice(begun, len(finals))))
                    self.reset(observations, ended)
                    if self.has_prefixes:
                        first.extend(of_shape(self.value(), shape)[ended])
            except Exception as error:
                raise ScanError(time) from error
        none = np.zeros((0, self.dim))
        return Scan(
            np.array(after) if self.has_prefixes else None,
            np.array(first) if first else none,
            np.array(finals) if finals else none,
        )


Recipe = TypeVar("Recipe", bound="Embedding")


class Embedding(ABC):
    """
    A recipe for the map φ from trajectories to points (Abdullah et al. 2018, section 1: "an embedding is a function mapping
    trajectories to points").

    A recipe holds no state; :meth:`bind` makes a new, independent one for a pair of spaces. Subclasses are known by their
    class name when a model is loaded.

    By default each *episode* is a sample of the law. An embedding with ``samples_states = True`` makes each *state* a sample:
    its law is an occupancy measure, and ``horizon``, ``after_termination``, ``states_per_episode`` and :meth:`times` say which
    states count how often. :class:`StateOccupancy` is the built-in one.

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
    #: True where each state is a sample of the law (an occupancy measure), False where each episode is one
    samples_states: ClassVar[bool] = False
    #: with ``samples_states``: number of steps of a full episode, None where nobody has said it or seen one yet
    horizon: int | None = None
    #: with ``samples_states``: what a terminal state stands for, see :class:`StateOccupancy`
    after_termination: str = "ignore"
    #: with ``samples_states``: upper bound of the states that are kept of an episode
    states_per_episode: int = 64
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
        :return: a new state
        :raises ValueError: if the embedding cannot read this space
        """

    @property
    def is_plain(self) -> bool:
        """Whether :meth:`config` says it all; False where the recipe holds a user's function, which is never saved."""
        return True

    def arguments(self) -> dict[str, Any]:
        """
        :return: the constructor's arguments, JSON-plain. By default these are the attributes of their names; a recipe whose
            arguments are not plain says them here
        :raises TypeError: if an argument is not kept as an attribute
        """
        return constructor_arguments(self)

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

    @property
    def holds(self) -> bool:
        """Whether a terminal state stands for the steps that are left to the horizon."""
        return self.samples_states and self.after_termination != "ignore"

    def with_time_limit(self: Recipe, max_episode_steps: int | None) -> Recipe:
        """
        :param max_episode_steps: number of steps of a full episode: the environment's time limit, or the longest that is
            known
        :return: the recipe with that ``horizon``, unless its arguments say another; :meth:`config` stays as it was. A recipe
            that does not sample states is returned as it is
        """
        if not self.samples_states or self.arguments().get("horizon") is not None:
            return self
        completed = copy.copy(self)
        completed.horizon = max_episode_steps
        return completed

    def times(self, length: int, terminated: bool, n_samples: int, offset: float) -> NDArray[np.intp]:
        """
        Equally spaced indices into the T + 1 states of an episode: a bounded sample of its occupancy, each of equal weight.
        An episode that is shorter than the horizon gets its share of the samples, so that a state weighs the same in each.

        :param length: number of steps T
        :param terminated: whether the episode ended by itself; only then does its last state stand for the steps left
        :param n_samples: upper bound of the number of indices, which a full episode reaches
        :param offset: in [0, 1), where in its stratum each sample lies
        :return: indices in 0 … T, one at least
        """
        full = max(length, self.horizon or 0) + 1
        total = full if terminated and self.holds else length + 1
        n = total if full <= n_samples else min(total, max(1, int(n_samples * total / full + offset)))
        return np.minimum(((np.arange(n) + offset) * total / n).astype(np.intp), length)

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
        return {**super().arguments(), "features": features_config(self.features)}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Embedding:
        return cls(**{**arguments, "features": features_from_config(arguments["features"])})

    def feature_map(self, observation_space: spaces.Space[Any]) -> Features:
        """:return: the map from observations of this space to feature vectors"""
        return Features(observation_space, self.features)
