"""A grid of hills (Abdullah et al. 2018, §4.1): the cheapest way is seldom the one that a policy finds first."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._validation import check_array, check_choice, check_count, check_number

Cell = tuple[int, int]

MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])


def _map(rows: str) -> NDArray[np.int64]:
    return np.array([[int(height) for height in row] for row in rows.split()], dtype=np.int64)


#: Named 7 × 10 height maps on which a plain policy gradient fails.
HEIGHT_MAPS: dict[str, NDArray[np.int64]] = {
    # The way straight up and over the ridge is short and dear; the winding valley behind it is long and free.
    "deceptive": _map("2333333330 2999999990 2900090000 2909090999 2909090999 2909000999 0009999999"),
    # Three walls of 9 with one gap each, in turn at the top and at the bottom. Going through all gaps takes 27 moves;
    # breaking through one wall is cheaper.
    "zigzag": _map("0000090000 0090090090 0090090090 0090090090 0090090090 0090090090 0090000090"),
    # The way through zigzag's gaps, and 9 wherever it does not lead: 27 moves, all of them forced.
    "serpent": _map("0000990000 0990990999 0990990999 0990990999 0990990999 0990990999 0990000999"),
}


class HillyGrid(gym.Env[np.int64, np.int64]):
    """
    A grid of non-negative integer heights (Abdullah et al. 2018, §4.1) with an absorbing goal.

    The start is in the lower left corner and the goal in the upper right one. Row 0 is on top. The observation is
    ``row · columns + column``; the actions are up, right, down, left. A move costs 1 + the height of the cell entered; a move
    into the edge stays and pays for its own cell. Running out of time costs ``timeout_penalty`` more and is part of the task,
    as in the paper: ``terminated``, not ``truncated``.

    :param heights: one of :data:`HEIGHT_MAPS`, or a (rows, columns) array of non-negative integers
    :param time_limit: number of moves until the time is out
    :param timeout_penalty: what running out of time costs on top of the moves
    :param start: (row, column); None is the lower left corner
    :param goal: (row, column); None is the upper right corner
    :param render_mode: "ansi", "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/HillyGrid-v0", heights="deceptive")
        >>> env.unwrapped.optimal_return, len(env.unwrapped.optimal_path)
        (-21.0, 22)
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        heights: str | ArrayLike = "deceptive",
        time_limit: int = 40,
        timeout_penalty: float = 100.0,
        start: Cell | None = None,
        goal: Cell | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.heights = _checked_heights(heights)
        rows, columns = self.heights.shape
        self.start = _checked_cell("start", (rows - 1, 0) if start is None else start, self.heights.shape)
        self.goal = _checked_cell("goal", (0, columns - 1) if goal is None else goal, self.heights.shape)
        if self.start == self.goal:
            raise ValueError(f"start and goal must be different cells; both are {self.start}")
        self.timeout_penalty = check_number("timeout_penalty", timeout_penalty)
        if self.timeout_penalty < 0:
            raise ValueError(f"timeout_penalty must be finite and >= 0; got {timeout_penalty!r}")
        if render_mode is not None:
            check_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.time_limit = check_count("time_limit", time_limit)
        self.render_mode = render_mode
        self.observation_space = spaces.Discrete(rows * columns)
        self.action_space = spaces.Discrete(len(MOVES))
        self._cell = self.start
        self._moves = 0
        self.optimal_path, self.optimal_return = self._solve()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self._cell = self.start
        self._moves = 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"action must lie in {self.action_space}; got {action!r}")
        self._cell = self._neighbour(self._cell, int(action))
        self._moves += 1
        reward = -1.0 - float(self.heights[self._cell])
        arrived = self._cell == self.goal
        timed_out = not arrived and self._moves >= self.time_limit
        if timed_out:
            reward -= self.timeout_penalty
        return self._observation(), reward, arrived or timed_out, False, {"is_success": arrived}

    def render(self) -> str | NDArray[np.uint8] | None:
        if self.render_mode == "ansi":
            marks = {self.goal: "G", self._cell: "A"}
            return "\n".join(
                " ".join(marks.get((row, column), str(height)) for column, height in enumerate(line))
                for row, line in enumerate(self.heights)
            )
        if self.render_mode == "rgb_array":
            brightness = 255 - 200 * self.heights / max(1, int(self.heights.max()))
            image = np.repeat(brightness[..., None], 3, axis=2).astype(np.uint8)
            image[self.goal], image[self._cell] = (0, 160, 0), (200, 0, 0)
            return np.kron(image, np.ones((16, 16, 1), dtype=np.uint8))
        return None

    def _observation(self) -> np.int64:
        return np.int64(self._cell[0] * self.heights.shape[1] + self._cell[1])

    def _neighbour(self, cell: tuple[int, ...], action: int) -> Cell:
        row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
        inside = 0 <= row < self.heights.shape[0] and 0 <= column < self.heights.shape[1]
        return (int(row), int(column)) if inside else (cell[0], cell[1])

    def _solve(self) -> tuple[NDArray[np.int64], float]:
        """Cheapest path by scipy's Dijkstra: the observations of a best episode, start included, and its return."""
        # With the first grid: scipy's sparse graphs take a tenth of a second to import.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import dijkstra

        index = np.arange(self.heights.size).reshape(self.heights.shape)
        moves = [(cell, self._neighbour(cell, action)) for cell in np.ndindex(index.shape) for action in range(len(MOVES))]
        edges = [(index[cell], index[after], 1.0 + self.heights[after]) for cell, after in moves if after != cell]
        source, sink, cost = (np.array(part) for part in zip(*edges, strict=True))
        # scipy below 1.13 takes no other integers for the indices.
        ends = (source.astype(np.int32), sink.astype(np.int32))
        graph = coo_array((cost, ends), shape=(index.size, index.size)).tocsr()
        total, previous = dijkstra(graph, indices=index[self.start], return_predecessors=True)
        path = [int(index[self.goal])]
        while path[-1] != index[self.start]:
            path.append(int(previous[path[-1]]))
        return np.array(path[::-1], dtype=np.int64), -float(total[path[0]])


def _checked_heights(heights: str | ArrayLike) -> NDArray[np.int64]:
    if isinstance(heights, str):
        return HEIGHT_MAPS[check_choice("heights", heights, HEIGHT_MAPS)].copy()
    array = check_array("heights", heights)
    if array.ndim != 2 or array.size < 2:
        raise ValueError(f"heights must be a (rows, columns) array of at least two cells; got shape {array.shape}")
    if np.any(array < 0) or np.any(array != np.round(array)):
        raise ValueError("heights must be non-negative integers")
    return array.astype(np.int64)


def _checked_cell(name: str, cell: Cell, shape: tuple[int, ...]) -> Cell:
    if np.shape(cell) != (2,):
        raise ValueError(f"{name} must be a cell (row, column); got {cell!r}")
    row, column = (check_count(name, index, 0) for index in cell)
    if row >= shape[0] or column >= shape[1]:
        raise ValueError(f"{name}={cell} lies outside the grid of {shape[0]} rows and {shape[1]} columns")
    return row, column
