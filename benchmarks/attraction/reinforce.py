"""The learner of Abdullah et al. 2018, §4.1: REINFORCE with a radial-basis policy on HillyGrid, h added to the returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HillyGrid


@dataclass
class Settings:
    """
    :param coef: λ in units of (spread of the returns) / (median ground cost), as ``wasserstein_coef``; < 0 attracts
    :param episodes: in all
    :param batch: episodes a step of θ
    :param learning_rate: of plain gradient ascent on standardised advantages
    :param width: of the radial basis functions, in cells
    :param smoothing: of the visit histogram, in cells
    :param window: episodes that the policy's law is estimated from
    """

    coef: float = -1.0
    episodes: int = 12_000
    batch: int = 20
    learning_rate: float = 1.0
    width: float = 0.5
    smoothing: float = 1.0
    window: int = 256


class GridTables:
    """HillyGrid's moves as arrays, so that a batch of episodes runs at once."""

    def __init__(self, env: HillyGrid) -> None:
        rows, columns = env.heights.shape
        cells = [(row, column) for row in range(rows) for column in range(columns)]
        self.start, self.goal = cells.index(env.start), cells.index(env.goal)
        # The goal absorbs: no episode starts there.
        self.next = np.full((len(cells), 4), self.goal)
        for number, cell in enumerate(cells):
            for action in range(4) if cell != env.goal else ():
                here = HillyGrid(env.heights, start=cell, goal=env.goal)
                here.reset()
                self.next[number, action] = here.step(np.int64(action))[0]
        self.cost = 1.0 + env.heights.ravel()
        self.time_limit, self.penalty = env.time_limit, env.timeout_penalty
        self.position = np.array(cells, dtype=float)

    def run(self, policy: np.ndarray, n: int, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        :param policy: (cells, actions) probabilities; without ``rng`` the most probable action is taken
        :return: cells (T + 1, n), −1 after the end; actions (T, n), −1 after the end; returns (n,)
        """
        cumulative = policy.cumsum(axis=1)
        cells = np.full((self.time_limit + 1, n), -1)
        actions = np.full((self.time_limit, n), -1)
        returns = np.zeros(n)
        cells[0] = here = np.full(n, self.start)
        alive = np.ones(n, dtype=bool)
        for t in range(self.time_limit):
            action = policy[here].argmax(1) if rng is None else (rng.random(n)[:, None] > cumulative[here, :-1]).sum(1)
            after = self.next[here, action]
            returns -= np.where(alive, self.cost[after], 0.0)
            cells[t + 1] = np.where(alive, after, -1)
            actions[t] = np.where(alive, action, -1)
            here = np.where(alive, after, here)
            alive &= here != self.goal
        return cells, actions, returns - self.penalty * alive


def reinforce(env: HillyGrid, target: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, float]:
    """
    :param env: the grid
    :param target: (n, cells) points of ν
    :param settings: of the learner
    :param seed: of everything
    :return: the returns of all episodes; the greedy policy's return at the end
    """
    rng = np.random.default_rng(seed)
    grid = GridTables(env)
    squares = ((grid.position[:, None] - grid.position[None]) ** 2).sum(-1)
    basis = np.exp(-squares / (2 * settings.width**2))
    theta = np.zeros((len(basis), 4))
    blur = visits(env, np.arange(len(basis))[None], settings.smoothing, rows=True)
    dual = SinkhornDual()
    window = np.zeros((0, len(basis)))
    window_returns = np.zeros(0)
    unit, history = 0.0, []
    for step in range(settings.episodes // settings.batch):
        logits = basis @ theta
        policy = np.exp(logits - logits.max(1, keepdims=True))
        policy /= policy.sum(1, keepdims=True)
        cells, actions, returns = grid.run(policy, settings.batch, rng)
        history.append(returns)
        total = returns
        if settings.coef:
            counts = np.zeros((settings.batch, len(basis)))
            steps, episodes = np.nonzero(cells >= 0)
            np.add.at(counts, (episodes, cells[steps, episodes]), 1.0)
            embeddings = counts / counts.sum(1, keepdims=True) @ blur
            window = np.concatenate([window, embeddings])[-settings.window :]
            dual.update(window, target)
            if (step - 1) * settings.batch < settings.window:
                window_returns = np.concatenate([window_returns, returns])
                pooled = np.concatenate([window, target])
                unit = np.ptp(np.quantile(window_returns, [0.01, 0.99])) / dual.ground_cost.median_within(pooled)
            total = returns + settings.coef * unit * dual.shaping(embeddings)
        advantage = (total - total.mean()) / (total.std() + 1e-8)
        gradient = np.zeros_like(theta)
        steps, episodes = np.nonzero(actions >= 0)
        score = -policy[cells[steps, episodes]]
        score[np.arange(len(steps)), actions[steps, episodes]] += 1.0
        np.add.at(gradient, cells[steps, episodes], score * advantage[episodes, None])
        theta += settings.learning_rate * basis.T @ gradient / settings.batch
    flat = np.concatenate(history)
    greedy = grid.run(policy, 1, None)[2][0]
    return flat, float(greedy)


def visits(env: HillyGrid, paths: np.ndarray, smoothing: float, rows: bool = False) -> np.ndarray:
    """
    :param paths: (k, T + 1) cells
    :param rows: instead, the image of a visit to each of the cells, (cells, cells)
    :return: (k, cells) blurred visit histograms
    """
    bound = VisitHistogram(shape=env.heights.shape, smoothing=smoothing).bind(env.observation_space, None)
    one = np.ones(1, dtype=bool)
    points = []
    for path in paths.T if rows else paths:
        bound.reset(path[:1], one)
        for cell in path[1:]:
            bound.update(np.array([cell]), None, None, one)
        points.append(bound.value()[0])
    return np.array(points)
