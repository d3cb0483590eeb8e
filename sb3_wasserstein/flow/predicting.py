"""SB3's ``predict`` for policies that are no SB3 models: ``evaluate_policy`` and a Gymnasium loop need nothing more."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from sb3_wasserstein._validation import check_array


class Predicting(ABC):
    """A policy that :meth:`actions` defines on batches."""

    @abstractmethod
    def actions(self, observations: torch.Tensor, deterministic: bool) -> torch.Tensor:
        """Actions (B, k) for float64 observations (B, obs)."""

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        :param observation: one observation (obs,) or a batch (B, obs)
        :param state: of a recurrent policy, which this is not; it is returned as it came
        :param episode_start: of a recurrent policy
        :param deterministic: whether the policy's randomness is left out
        :return: float32 actions, (k,) or (B, k), and ``state``
        """
        array = check_array("observation", observation)
        batch = torch.as_tensor(array if array.ndim > 1 else array.reshape(1, -1))
        with torch.no_grad():
            actions = self.actions(batch, deterministic).cpu().numpy().astype(np.float32)
        return (actions if array.ndim > 1 else actions[0]), state
