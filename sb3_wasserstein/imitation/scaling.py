"""What a policy sees of observations, scaled by demonstrations."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor

from sb3_wasserstein.embeddings import Scaling
from sb3_wasserstein.embeddings.features import flat_width


class DemonstrationScaling(BaseFeaturesExtractor):
    """
    SB3's features extractor that flattens an observation, clips it to the range of demonstrations, widened by its width, and
    standardises it by them. Running statistics would follow what the untrained policy does. The scaling is part of the
    policy's state dictionary: ``save``, ``load`` and ``predict`` need nothing else.

    :param observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these
    :raises ValueError: if the space has images

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.embeddings import Scaling
        >>> from sb3_wasserstein.imitation import DemonstrationScaling
        >>> extractor = DemonstrationScaling(Box(-9, 9, (1,)))
        >>> extractor.set_scaling(Scaling.of(np.array([[0.0], [2.0]])))
        >>> extractor(th.tensor([[3.0], [100.0]])).ravel()
        tensor([2., 3.])
    """

    center: th.Tensor
    deviation: th.Tensor
    low: th.Tensor
    high: th.Tensor

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        dim = flat_width(observation_space)
        super().__init__(observation_space, dim)
        self.flatten: BaseFeaturesExtractor
        if isinstance(observation_space, spaces.Dict):
            self.flatten = CombinedExtractor(observation_space)
        else:
            self.flatten = FlattenExtractor(observation_space)
        for name, value in (("center", 0.0), ("deviation", 1.0), ("low", -th.inf), ("high", th.inf)):
            self.register_buffer(name, th.full((dim,), value))

    def set_scaling(self, scaling: Scaling) -> None:
        """:param scaling: of the flattened observations, from now on"""
        for name, values in scaling.config().items():
            buffer = getattr(self, name)
            buffer.copy_(th.tensor(values, dtype=th.float64))

    def forward(self, observations: Any) -> th.Tensor:
        """:param observations: (n, ...), preprocessed as SB3 does. :return: (n, features_dim)"""
        flat = self.flatten(observations)
        scaled: th.Tensor = (th.clamp(flat, self.low, self.high) - self.center) / self.deviation
        return scaled
