"""A function on the points that have been visited: one value a point, and how often it came."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sb3_wasserstein.cloud import Floats, saved

#: beyond twice as many, the points that were longest not visited are let go
MOST_ATOMS = 4096


class Atoms:
    """Values on points that are told apart by equality, in the order in which they first came."""

    def __init__(self, dim: int) -> None:
        self.points: Floats = np.empty((0, dim))
        self.values: Floats = np.empty(0)
        self.visits: Floats = np.empty(0)
        self._last: Floats = np.empty(0)
        self._clock = 0.0
        self._index: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def find(self, points: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
        """(n,) positions of the points, −1 for those never visited."""
        return np.array([self._index.get(key, -1) for key in _keys(points)], dtype=np.intp)

    def add(self, points: Floats, values: Floats) -> None:
        """Take in points that were never visited."""
        fresh = {key: i for i, key in enumerate(_keys(points))}
        rows = list(fresh.values())
        self._index.update(zip(fresh, range(len(self), len(self) + len(rows)), strict=True))
        self.points = np.concatenate([self.points, points[rows]])
        self.values = np.concatenate([self.values, values[rows]])
        self.visits = np.concatenate([self.visits, np.zeros(len(rows))])
        self._last = np.concatenate([self._last, np.full(len(rows), self._clock)])

    def visit(self, positions: np.ndarray[Any, np.dtype[np.intp]], times: Floats) -> None:
        """Count visits."""
        self._clock += 1.0
        self.visits[positions] += times
        self._last[positions] = self._clock

    def let_go(self) -> None:
        """Forget the longest unvisited points, so that memory stays bounded."""
        if len(self) > 2 * MOST_ATOMS:
            kept = np.sort(np.argsort(self._last, kind="stable")[-MOST_ATOMS:])
            self.points, self.values = self.points[kept], self.values[kept]
            self.visits, self._last = self.visits[kept], self._last[kept]
            self._index = {key: i for i, key in enumerate(_keys(self.points))}

    def state(self) -> dict[str, Any]:
        arrays = {"points": self.points, "values": self.values, "visits": self.visits, "last": self._last}
        return {**{name: torch.tensor(array) for name, array in arrays.items()}, "clock": self._clock}

    @classmethod
    def from_state(cls, state: dict[str, Any], dim: int | None) -> Atoms:
        points = saved(state, "points", None, dim)
        atoms = cls(points.shape[1])
        atoms.points = points
        atoms.values, atoms.visits, atoms._last = (
            saved(state, name, len(atoms.points)) for name in ("values", "visits", "last")
        )
        atoms._clock = float(state["clock"])
        atoms._index = {key: i for i, key in enumerate(_keys(atoms.points))}
        return atoms


def _keys(points: Floats) -> list[bytes]:
    # Adding zero makes −0.0 the same point as 0.0.
    return [row.tobytes() for row in np.ascontiguousarray(points) + 0.0]
