"""A plane with several goals, each as good as the others (Abdullah et al. 2018, §4.2): for policies that should differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._validation import check_array, check_choice, check_count, check_positive

Segment = tuple[tuple[float, float], tuple[float, float]]


class Goals(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """
    A point in the plane, rewarded for being near a goal (Abdullah et al. 2018, §4.2). Goals do not end the episode.

    The observation is the position; an episode starts at the origin ± 0.05 and is ``truncated`` after ``horizon`` steps. The
    action, projected on the unit disc, times ``step`` is the displacement; the default 16 steps of 0.1 reach 1.6.

    :param goals: (k, 2) positions
    :param horizon: number of steps
    :param step: length of the longest step
    :param reward: "negative_distance": −d to the nearest goal; "inverse": 1 / (1 + 10 d)
    :param walls: segments ((x0, y0), (x1, y1)) that a step does not cross: it stops just before
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/Goals-v0", goals=[(0.0, 1.0)])
        >>> _ = env.reset(seed=0)
        >>> _, reward, terminated, truncated, _ = env.step([0.0, 1.0])
        >>> round(float(reward), 1), terminated, truncated
        (-0.9, False, False)
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        goals: ArrayLike = ((-1.0, 1.0), (1.0, 1.0)),
        horizon: int = 16,
        step: float = 0.1,
        reward: str = "negative_distance",
        walls: Sequence[Segment] = (),
        render_mode: str | None = None,
    ) -> None:
        self.goals = check_array("goals", goals)
        if self.goals.ndim != 2 or self.goals.shape[1] != 2 or len(self.goals) == 0:
            raise ValueError(f"goals must be a finite (k, 2) array with k >= 1; got {goals!r}")
        self.walls = check_array("walls", walls) if np.size(walls) else np.zeros((0, 2, 2))
        if self.walls.shape[1:] != (2, 2):
            raise ValueError(f"walls must be finite segments ((x0, y0), (x1, y1)); got {walls!r}")
        if render_mode is not None:
            check_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.horizon = check_count("horizon", horizon)
        self.step_length = check_positive("step", step)
        self.reward = check_choice("reward", reward, ("negative_distance", "inverse"))
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position = np.zeros(2)
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._position = self.np_random.uniform(-0.05, 0.05, 2)
        self._steps = 0
        return self._position.astype(np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        direction = check_array("action", action)
        length = float(np.linalg.norm(direction))
        if direction.shape != (2,) or not math.isfinite(length):
            raise ValueError(f"action must be two finite numbers; got {action!r}")
        move = self.step_length * direction / max(1.0, length)
        self._position = self._position + self._free_fraction(move) * move
        self._steps += 1
        distances = np.linalg.norm(self.goals - self._position, axis=1)
        nearest = float(distances.min())
        reward = -nearest if self.reward == "negative_distance" else 1.0 / (1.0 + 10.0 * nearest)
        info = {"goal": int(distances.argmin()), "goal_distance": nearest}
        return self._position.astype(np.float32), reward, False, self._steps >= self.horizon, info

    def render(self) -> NDArray[np.uint8] | None:
        if self.render_mode is None:
            return None
        reach = self.horizon * self.step_length
        size = 160
        image = np.full((size, size, 3), 255, dtype=np.uint8)
        wall_points = [start + t * (end - start) for start, end in self.walls for t in np.linspace(0.0, 1.0, size)]
        for points, colour in ((wall_points, (0, 0, 0)), (self.goals, (0, 160, 0)), ([self._position], (200, 0, 0))):
            for x, y in np.clip((np.asarray(points).reshape(-1, 2) / reach + 1) * size / 2, 2, size - 3).astype(int):
                image[size - y - 3 : size - y + 2, x - 2 : x + 3] = colour
        return image

    def _free_fraction(self, move: NDArray[np.float64]) -> float:
        """How much of the step can be made before it meets a wall, in [0, 1]."""
        fraction = 1.0
        for start, end in zip(self.walls[:, 0], self.walls[:, 1], strict=True):
            along = end - start
            determinant = move[0] * along[1] - move[1] * along[0]
            if abs(determinant) < 1e-12:
                continue
            offset = start - self._position
            t = (offset[0] * along[1] - offset[1] * along[0]) / determinant
            u = (offset[0] * move[1] - offset[1] * move[0]) / determinant
            if 0.0 <= t <= fraction and 0.0 <= u <= 1.0:
                # A millionth off the wall: on the wall, the next step could leave on the far side.
                fraction = max(0.0, t - 1e-6 / self.step_length)
        return fraction
