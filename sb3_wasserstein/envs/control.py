"""Control problems with equations, ours after Dus 2026 (arXiv 2604.14765): one definition for environment and flows."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_wasserstein._validation import check_array, check_choice, check_count, check_number


class ControlTask(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """
    An endless control problem ``s' = dynamics(s, a) + noise w``, w standard normal, with reward −cost(s, a).

    Subclasses give :meth:`dynamics` and :meth:`cost` as batched torch functions of any floating dtype, in the environment's
    own actions: what :class:`~sb3_wasserstein.flow.ParticleFlow` and :class:`~sb3_wasserstein.flow.NaturalGradient` take. The
    observation is the state. An episode starts from N(0, initial_std²), is ``truncated`` after ``horizon`` steps, and never
    ends otherwise; the state is clipped to ± ``state_limit``, far outside of where a sensible policy goes.

    :param noise: (d, m) matrix, or (d,) standard deviations
    :param initial_std: standard deviation of every coordinate at the start
    :param state_limit: where the environment clips the state
    :param n_actions: dimension of the action, in [−1, 1] each
    :param horizon: number of steps
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import torch
        >>> from sb3_wasserstein.envs import NonlinearRegulator
        >>> task = NonlinearRegulator()
        >>> task.dynamics(torch.zeros(5, 1), torch.zeros(5, 1)).shape, task.cost(torch.zeros(5, 1), torch.zeros(5, 1)).shape
        (torch.Size([5, 1]), torch.Size([5]))
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        noise: NDArray[np.float64],
        initial_std: float,
        state_limit: float,
        n_actions: int,
        horizon: int,
        render_mode: str | None,
    ) -> None:
        if render_mode is not None:
            check_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.noise, self.initial_std, self.state_limit = noise, initial_std, state_limit
        self.horizon = check_count("horizon", horizon)
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-state_limit, state_limit, (len(noise),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (n_actions,), np.float32)
        self.state: NDArray[np.float64] = np.zeros(len(noise))
        self._steps = 0

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Next states without the noise, (B, d), of states (B, d) and actions (B, k)."""
        raise NotImplementedError

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Cost of the step, (B,)."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        start = self.initial_std * self.np_random.standard_normal(len(self.noise))
        self.state = np.clip(start, -self.state_limit, self.state_limit)
        self._steps = 0
        return self.state.astype(np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        clipped = np.clip(check_array("action", action), -1.0, 1.0)
        if clipped.shape != self.action_space.shape:
            raise ValueError(f"action must lie in {self.action_space}; got {action!r}")
        state, taken = torch.as_tensor(self.state)[None], torch.as_tensor(clipped)[None]
        with torch.no_grad():
            cost = float(self.cost(state, taken))
            mean = self.dynamics(state, taken)[0].numpy()
        matrix = np.diag(self.noise) if self.noise.ndim == 1 else self.noise
        shock = matrix @ self.np_random.standard_normal(matrix.shape[1])
        self.state = np.clip(mean + shock, -self.state_limit, self.state_limit)
        self._steps += 1
        return self.state.astype(np.float32), -cost, False, self._steps >= self.horizon, {}

    def render(self) -> NDArray[np.uint8] | None:
        """The coordinates of the state as bars around zero; full height is three times ``initial_std``."""
        if self.render_mode is None:
            return None
        size, d = 120, len(self.state)
        width = max(1, 160 // d)
        image = np.full((size, width * d, 3), 255, dtype=np.uint8)
        tops = np.clip(size / 2 * (1 - self.state / (3 * self.initial_std)), 0, size).astype(int)
        for i, top in enumerate(tops):
            low, high = sorted((top, size // 2))
            image[low : high + 1, i * width : (i + 1) * width] = (200, 0, 0)
        return image


def _not_negative(name: str, value: float) -> float:
    if check_number(name, value) < 0:
        raise ValueError(f"{name} must be finite and >= 0; got {value!r}")
    return float(value)


class NonlinearRegulator(ControlTask):
    """
    ``x⁺ = x + dt (x − β x³ + u) + noise √dt w`` with cost ``dt (x² + 0.1 u²)``, u = 10 times the action.

    Uncontrolled, x = 0 is unstable, and x = ± 1 / √β is where the plant goes; with β = 0 it is linear–quadratic.

    :param beta: β ≥ 0
    :param noise: standard deviation of the disturbance per square root of time
    :param dt: time step
    :param horizon: number of steps of an episode
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/NonlinearRegulator-v0")
        >>> env.observation_space.shape, env.action_space.shape
        ((1,), (1,))
    """

    max_control = 10.0

    def __init__(
        self, beta: float = 1.0, noise: float = 0.5, dt: float = 0.1, horizon: int = 200, render_mode: str | None = None
    ) -> None:
        if not 0 < check_number("dt", dt) <= 0.1:
            raise ValueError(f"dt must lie in (0, 0.1], where the plant's discretisation is stable; got {dt!r}")
        self.beta, self.dt = _not_negative("beta", beta), float(dt)
        super().__init__(np.array([_not_negative("noise", noise) * np.sqrt(dt)]), 0.5, 3.0, 1, horizon, render_mode)

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return states + self.dt * (states - self.beta * states**3 + self.max_control * actions)

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.dt * (states[:, 0] ** 2 + 0.1 * (self.max_control * actions[:, 0]) ** 2)


class CoupledOscillators(ControlTask):
    """
    A chain of n unstable Duffing oscillators, each with an actuator, state (q, p) of 2n coordinates:

        p⁺ = p + dt (−K q − β q³ − 0.1 p + u) + 0.3 √dt w,    q⁺ = q + dt p⁺,    cost mean(q² + p² + 0.1 u²)

    with K the path's Laplacian minus the identity (its lowest modes are unstable), dt = 0.05, and u = 3 times the action. With
    β = 0 it is linear–quadratic: :meth:`linear_quadratic` gives the matrices of its Riccati equation.

    :param n: number of oscillators, at most 10,000
    :param beta: β ≥ 0, the cubic stiffness
    :param horizon: number of steps of an episode
    :param render_mode: "rgb_array" or None
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> import gymnasium as gym
        >>> import sb3_wasserstein.envs
        >>> env = gym.make("wasserstein/CoupledOscillators-v0", n=3)
        >>> env.observation_space.shape, env.action_space.shape
        ((6,), (3,))
    """

    dt, damping, control_cost, max_control, disturbance = 0.05, 0.1, 0.1, 3.0, 0.3

    def __init__(self, n: int = 10, beta: float = 1.0, horizon: int = 200, render_mode: str | None = None) -> None:
        self.beta = _not_negative("beta", beta)
        self.n = check_count("n", n)
        if self.n > 10_000:
            raise ValueError(f"n must be at most 10,000, for the noise is a matrix of 2 n rows; got {n!r}")
        shock = self.disturbance * np.sqrt(self.dt) * np.eye(self.n)
        # The disturbance enters through p⁺, and so reaches q⁺ in the same step.
        super().__init__(np.vstack([self.dt * shock, shock]), 0.1, 5.0, self.n, horizon, render_mode)

    def dynamics(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        q, p = states[:, : self.n], states[:, self.n :]
        # −K q: the Laplacian by differences, as the path has them.
        stretch, zero = q.diff(dim=1), q.new_zeros(len(q), 1)
        pull = torch.cat([stretch, zero], 1) - torch.cat([zero, stretch], 1) + q
        p = p + self.dt * (pull - self.beta * q**3 - self.damping * p + self.max_control * actions)
        return torch.cat([q + self.dt * p, p], 1)

    def cost(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        controls = self.max_control * actions
        return ((states**2).sum(1) + self.control_cost * (controls**2).sum(1)) / self.n

    def linear_quadratic(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(A, B, Q, R) of the problem with β = 0: s⁺ = A s + B a + noise w, cost sᵀQ s + aᵀR a."""
        identity = np.eye(self.n)
        laplacian = 2 * identity - np.eye(self.n, k=1) - np.eye(self.n, k=-1)
        laplacian[0, 0] -= 1
        laplacian[-1, -1] -= 1
        to_p = np.hstack([-self.dt * (laplacian - identity), (1 - self.dt * self.damping) * identity])
        A = np.vstack([np.hstack([identity, 0 * identity]) + self.dt * to_p, to_p])
        B = self.max_control * np.vstack([self.dt**2 * identity, self.dt * identity])
        return A, B, np.eye(2 * self.n) / self.n, self.control_cost * self.max_control**2 * identity / self.n
