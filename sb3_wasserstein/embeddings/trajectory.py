"""A finished episode, as embeddings and targets see it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_flag
from sb3_wasserstein.embeddings.observations import Observations


@dataclass(frozen=True)
class Trajectory:
    """
    An episode of T steps: T + 1 observations (the reset's first, the terminal one last), T actions, T rewards.

    :param observations: shape (T + 1, ...), or a dict of such arrays for a ``Dict`` space
    :param actions: shape (T, ...), or None where they are not known
    :param rewards: shape (T,), or None where they are not known
    :param terminated: whether the episode ended by itself (True) or by a time limit (False); None where it is not known
    :raises ValueError: if there is no observation, or if the lengths do not fit each other

    Example:
        >>> from sb3_wasserstein.embeddings import Trajectory
        >>> len(Trajectory(observations=[[0.0], [1.0], [4.0]], actions=[1, 1], rewards=[0.0, 1.0]))
        2
    """

    observations: Observations
    actions: NDArray[Any] | None = None
    rewards: NDArray[Any] | None = None
    terminated: bool | None = None

    def __post_init__(self) -> None:
        observations: Observations
        if isinstance(self.observations, dict):
            observations = {key: np.asarray(value) for key, value in self.observations.items()}
            parts = list(observations.values())
        else:
            observations = np.asarray(self.observations)
            parts = [observations]
        lengths = {len(part) if part.ndim else 0 for part in parts}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"observations of a Trajectory must have T + 1 >= 1 entries, as many for every key; got {self.observations!r}"
            )
        object.__setattr__(self, "observations", observations)
        if self.terminated is not None:
            check_flag("terminated", self.terminated)
        for name in ("actions", "rewards"):
            value = getattr(self, name)
            if value is None:
                continue
            value = np.asarray(value)
            if value.ndim == 0 or len(value) != len(self):
                raise ValueError(
                    f"{name} of a Trajectory with {len(self) + 1} observations must have {len(self)} entries; got the shape "
                    f"{value.shape}"
                )
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Number of steps T."""
        observations = self.observations
        first = next(iter(observations.values())) if isinstance(observations, dict) else observations
        return len(first) - 1
