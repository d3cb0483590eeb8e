"""How the features of states are scaled before a distance compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sb3_wasserstein.embeddings.observations import Floats, Observations


@dataclass(frozen=True)
class Scaling:
    """
    Standardises features by a sample of them, clips them to the sample's range, widened on both sides by its width, and
    compresses them: sign(z) log(1 + |z|). A velocity of six deviations is then not six times as far away as one.

    A feature that is constant in the sample is neither divided nor clipped.

    :param center: (d,) mean of each feature
    :param deviation: (d,) standard deviation of each feature
    :param low: (d,) lower end of what is told apart
    :param high: (d,) upper end of what is told apart

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.embeddings import Scaling
        >>> scaling = Scaling.of(np.array([[0.0], [2.0]]))
        >>> scaling.standardized(np.array([[3.0], [100.0]])).ravel()
        array([2., 3.])
    """

    center: tuple[float, ...]
    deviation: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, sample: Floats) -> Scaling:
        """:param sample: (n, d) features. :return: their scaling"""
        low, high, deviation = sample.min(axis=0), sample.max(axis=0), sample.std(axis=0)
        # Equal up to rounding counts as equal.
        varies = deviation > 1e-6 * np.maximum(np.abs(sample).max(axis=0), 1e-6)
        width = np.where(varies, high - low, np.inf)
        parts = sample.mean(axis=0), np.where(varies, deviation, 1.0), low - width, high + width
        return cls(*(tuple(part.tolist()) for part in parts))

    def standardized(self, features: Floats) -> Floats:
        """:param features: (..., d). :return: clipped and standardised, (..., d)"""
        return np.asarray((np.clip(features, self.low, self.high) - self.center) / self.deviation)

    def compressed(self, features: Floats) -> Floats:
        """:param features: (..., d). :return: clipped, standardised and compressed, (..., d)"""
        standardized = self.standardized(features)
        return np.asarray(np.sign(standardized) * np.log1p(np.abs(standardized)))

    @staticmethod
    def expanded(compressed: Floats) -> Floats:
        """:param compressed: (..., d) from :meth:`compressed`. :return: what :meth:`standardized` says, (..., d)"""
        return np.asarray(np.sign(compressed) * np.expm1(np.abs(compressed)))

    def config(self) -> dict[str, list[float]]:
        """:return: JSON-plain description, the keyword arguments of a Scaling"""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, list[float]]) -> Scaling:
        """:param config: what :meth:`config` returned. :return: the same scaling"""
        return cls(**{name: tuple(values) for name, values in config.items()})

    def __repr__(self) -> str:
        return f"Scaling(of {len(self.center)} features)"


def check_scaling(scaling: Any) -> Scaling | None:
    """
    :param scaling: what came: a Scaling, its ``config``, or None
    :return: the scaling
    :raises TypeError: if it is none of these
    """
    if isinstance(scaling, dict):
        scaling = Scaling.from_config(scaling)
    if not isinstance(scaling, (Scaling, type(None))):
        raise TypeError(f"scaling must be a Scaling, such as Scaling.of(features), or None; got {scaling!r}")
    return scaling


@dataclass(frozen=True)
class ScaledFeatures:
    """
    :param read: maps observations (m, ...) to features (m, d)
    :param scaling: of these features
    """

    read: Callable[[Observations], Floats]
    scaling: Scaling

    def __call__(self, observations: Observations) -> Floats:
        return self.scaling.compressed(self.read(observations))
