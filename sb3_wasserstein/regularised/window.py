"""The window of recent episodes that the law μ is estimated from, and the scales that λ is measured in."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_count, check_flag, check_positive
from sb3_wasserstein.cloud import saved
from sb3_wasserstein.duals import GroundCost
from sb3_wasserstein.recording import Episode


class EpisodeWindow:
    """
    The last ``size`` episodes: their points, returns, lengths and numbers. The window outlives rollouts.

    :param size: number of episodes, at least 2
    :raises ValueError: if ``size`` is no such number; the message names the argument ``episode_window``
    """

    def __init__(self, size: int) -> None:
        #: number of episodes ever taken in
        self.n_seen = 0
        self._points: deque[NDArray[np.float64]] = deque()
        self._returns: deque[float] = deque()
        self._lengths: deque[int] = deque()
        self._numbers: deque[int] = deque()
        self.resize(size)

    def __len__(self) -> int:
        return len(self._points)

    def resize(self, size: int) -> None:
        """:param size: the new number of episodes; of more the newest stay"""
        # A law has a spread from two episodes on.
        self.size = check_count("episode_window", size, 2)
        for name in ("_points", "_returns", "_lengths", "_numbers"):
            setattr(self, name, deque(getattr(self, name), maxlen=self.size))

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Take in finished episodes; the oldest drop out."""
        for episode in episodes:
            self._points.append(episode.points)
            self._returns.append(episode.episode_return)
            self._lengths.append(episode.length)
            self._numbers.append(episode.number)
            self.n_seen += 1

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """(n, dim) all points; (0, 0) while there is none."""
        return np.concatenate(self._points) if self._points else np.zeros((0, 0))

    @property
    def returns(self) -> NDArray[np.float64]:
        """(k,) episode returns, the environment's own."""
        return np.array(self._returns)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(k,) numbers of steps of the episodes."""
        return np.array(self._lengths, dtype=np.int64)

    def last(self, n: int) -> NDArray[np.float64]:
        """(m, dim) points of the last ``n`` episodes."""
        return np.concatenate(self.episodes(n))

    def episodes(self, n: int) -> list[NDArray[np.float64]]:
        """:return: (k_i, dim) points of each of the last ``n`` episodes"""
        return list(self._points)[-n:]

    def draws(self, n: int) -> NDArray[np.int64]:
        """(m,) number of the episode that each of :meth:`last`'s points comes from."""
        return np.repeat(np.array(self._numbers)[-n:], [len(points) for points in self._points][-n:])

    def n_within(self, max_points: int) -> int:
        """:return: number of the newest episodes that have at most ``max_points`` points together; two at least"""
        sizes = np.cumsum([len(points) for points in reversed(self._points)])
        return max(2, int((sizes <= max_points).sum()))

    def state_dict(self) -> dict[str, Any]:
        """:return: tensors and plain Python"""
        return {
            "points": th.from_numpy(self.embeddings.copy()),
            "sizes": [len(points) for points in self._points],
            "returns": list(self._returns),
            "lengths": list(self._lengths),
            "numbers": list(self._numbers),
            "n_seen": self.n_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from :meth:`state_dict`
        :raises ValueError: if its parts do not belong together
        """
        points = saved(state, "points", None, None)
        sizes, returns, lengths = (list(state[name]) for name in ("sizes", "returns", "lengths"))
        # Older files do not have them.
        numbers = list(state.get("numbers", range(-len(sizes), 0)))
        if (
            not len(sizes) == len(returns) == len(lengths) == len(numbers)
            or min(sizes, default=1) < 1
            or sum(sizes) != len(points)
        ):
            raise ValueError(f"the window's {len(points)} points, {len(returns)} returns and its sizes do not belong together")
        parts = np.split(points, np.cumsum(sizes)[:-1]) if sizes else []
        self._points = deque((part.copy() for part in parts), maxlen=self.size)
        self._returns = deque(map(float, returns), maxlen=self.size)
        self._lengths = deque(map(int, lengths), maxlen=self.size)
        self._numbers = deque(map(int, numbers), maxlen=self.size)
        self.n_seen = int(state["n_seen"])


@dataclass
class Scales:
    """
    The units that make the coefficient dimensionless: measured while the first window fills, then frozen.

    A running unit would drift with the policy, and attraction that succeeds sends the median cost to zero.

    :param episode_return: spread of the episode returns, from the 1st to the 99th percentile, in the environment's own unit
    :param ground_cost: median ground cost over pairs of the pooled samples of μ and ν
    :param frozen: whether the warm-up is over
    """

    episode_return: float = 1.0
    ground_cost: float = 1.0
    frozen: bool = False
    warned: bool = False

    def measure(
        self, returns: NDArray[np.float64], cloud: NDArray[np.float64], target: NDArray[np.float64], cost: GroundCost
    ) -> None:
        """
        :param returns: (k,) episode returns
        :param cloud: (n, dim) sample of μ
        :param target: (m, dim) sample of ν
        :param cost: the ground cost
        """
        pooled = np.concatenate([cloud, target])
        self.ground_cost = cost.median_within(pooled)
        # From a bad episode to a good one. A standard deviation is a fifth of that, and a coefficient of one then too weak.
        low, high = np.quantile(returns, [0.01, 0.99])
        spread = float(high - low)
        # Equal up to rounding counts as equal: the spread of rounding errors is no unit.
        if not np.isfinite(spread) or spread <= 1e-9 * float(np.abs(returns).max()):
            spread = 1.0
            # The first few may be equal by chance.
            if not self.warned and len(returns) >= 8:
                self.warned = True
                warnings.warn(
                    f"the returns of the first {len(returns)} episodes do not differ: the spread of returns, the unit of "
                    "wasserstein_coef, counts as 1 (normalize_bonus=False takes λ as it is)",
                    stacklevel=2,
                )
        self.episode_return = spread

    def check(self) -> None:
        """:raises ValueError: if a unit is not finite and positive, as a damaged file may have it"""
        for name in ("episode_return", "ground_cost"):
            check_positive(name, getattr(self, name))
        for name in ("frozen", "warned"):
            check_flag(name, getattr(self, name))

    def state_dict(self) -> dict[str, Any]:
        """:return: plain Python"""
        return asdict(self)
