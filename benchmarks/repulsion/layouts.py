"""Goals-v0 for many populations at once: the layouts, the moves as tensors, and what "full" means."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch as th

Segment = tuple[tuple[float, float], tuple[float, float]]
HORIZON, STEP = 16, 0.1
#: how near to a goal the path of the mean actions has to come
REACHED = 0.2
FAR = 1e3


@dataclass
class Layout:
    """
    A task and the number of policies that share it.

    :param goals: positions
    :param n_policies: K
    :param walls: segments from one end to the next; with walls, policies differ by the side on which they pass
    """

    goals: list[tuple[float, float]]
    n_policies: int
    walls: tuple[Segment, ...] = ()
    equal: bool = True

    def env_kwargs(self) -> dict[str, Any]:
        """For ``Goals-v0``."""
        return {"goals": self.goals, "walls": self.walls}


def around(n: int, radius: float, first: float = 90.0) -> list[tuple[float, float]]:
    """n goals on a circle."""
    angles = np.deg2rad(first + 360.0 * np.arange(n) / n)
    return [(float(radius * np.cos(a)), float(radius * np.sin(a))) for a in angles]


#: the way round its left end is the shorter
WALL = (((-0.05, 0.35), (0.2, 0.35)),)

LAYOUTS = {
    "two": Layout([(-1.0, 1.0), (1.0, 1.0)], 2),
    "three": Layout(around(3, 1.4), 3),
    "four": Layout(around(4, 1.4, 45.0), 4),
    "unequal": Layout([(-1.0, 1.0), (0.7, 0.7)], 2, equal=False),
    "wall": Layout([(0.0, 1.4)], 2, WALL, equal=False),
}


def random_layout(seed: int) -> Layout:
    """2 to 5 goals, 0.7 to 1.3 from the origin, any two of them at least 0.8 apart; as many policies as goals."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    while True:
        angle, radius = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.7, 1.3, n)
        goals = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).round(3)
        apart = np.linalg.norm(goals[:, None] - goals[None], axis=-1) + FAR * np.eye(n)
        if apart.min() >= 0.8:
            return Layout([(float(x), float(y)) for x, y in goals], n, equal=False)


class Plane:
    """
    The moves and rewards of ``Goals-v0`` for B policies, N episodes each.

    :param layouts: one a policy
    :param reward: "negative_distance" or "inverse"
    """

    def __init__(self, layouts: list[Layout], reward: str = "negative_distance") -> None:
        most = max(len(layout.goals) for layout in layouts)
        goals = np.full((len(layouts), most, 2), FAR)
        walls = np.full((len(layouts), max(len(layout.walls) for layout in layouts), 2, 2), FAR)
        walls[:, :, 1, 0] += 1.0
        for row, layout in enumerate(layouts):
            goals[row, : len(layout.goals)] = layout.goals
            walls[row, : len(layout.walls)] = np.reshape(layout.walls, (-1, 2, 2))
        self.goals = th.as_tensor(goals, dtype=th.float32)
        self.walls = th.as_tensor(walls, dtype=th.float32)
        self.inverse = reward == "inverse"

    def rows(self, index: th.Tensor) -> Plane:
        """The plane of some of the policies."""
        part = object.__new__(Plane)
        part.goals, part.walls, part.inverse = self.goals[index], self.walls[index], self.inverse
        return part

    def step(self, position: th.Tensor, action: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param position: (B, N, 2)
        :param action: (B, N, 2)
        :return: positions afterwards, and rewards (B, N)
        """
        move = STEP * action / action.norm(dim=-1, keepdim=True).clamp(min=1.0)
        if self.walls.shape[1]:
            move = self._free(position, move)[..., None] * move
        position = position + move
        nearest = self.distances(position).amin(-1)
        return position, 1.0 / (1.0 + 10.0 * nearest) if self.inverse else -nearest

    def distances(self, position: th.Tensor) -> th.Tensor:
        """(B, N, goals)"""
        return (position[:, :, None] - self.goals[:, None]).norm(dim=-1)

    def _free(self, position: th.Tensor, move: th.Tensor) -> th.Tensor:
        """How much of the steps can be made, (B, N)."""
        fraction = th.ones(position.shape[:2])
        for wall in self.walls.unbind(1):
            start, along = wall[:, None, 0], wall[:, None, 1] - wall[:, None, 0]
            determinant = move[..., 0] * along[..., 1] - move[..., 1] * along[..., 0]
            offset = start - position
            determinant = th.where(determinant.abs() < 1e-12, th.full_like(determinant, 1e-12), determinant)
            t = (offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]) / determinant
            u = (offset[..., 0] * move[..., 1] - offset[..., 1] * move[..., 0]) / determinant
            hit = (t >= 0) & (t <= fraction) & (u >= 0) & (u <= 1)
            fraction = th.where(hit, (t - 1e-5 / STEP).clamp(min=0.0), fraction)
        return fraction


def outcome(layout: Layout, paths: np.ndarray) -> tuple[bool, list[int]]:
    """
    :param layout: the task
    :param paths: (K, HORIZON + 1, 2) the paths of the mean actions
    :return: whether the population is full, and each policy's goal (behind a wall: 0 left, 1 right), −1 for none
    """
    goals = np.asarray(layout.goals)
    found = []
    for path in paths:
        distance = np.linalg.norm(goals - path[:, None], axis=-1).min(0)
        goal = int(distance.argmin()) if distance.min() < REACHED else -1
        if goal >= 0 and layout.walls:
            (left, height), (right, _) = layout.walls[0][0], layout.walls[-1][1]
            middle = (left + right) / 2
            crossings = [a[0] for a, b in pairwise(path) if a[1] < height <= b[1]]
            goal = int(crossings[0] > middle) if crossings else -1
        found.append(goal)
    return -1 not in found and len(set(found)) == len(found), found
