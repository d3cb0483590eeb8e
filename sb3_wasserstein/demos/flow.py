"""Pendulum-v1 swung up from its known physics, as a gradient flow of particles; SB3's ``evaluate_policy`` judges."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_wasserstein.demos.drawing import save_figure
from sb3_wasserstein.figures import plot_plane


class FixedStarts(gym.Wrapper[Any, Any, Any, Any]):
    """
    Episode i starts from a seed of its own: starts move a mean return (standard deviation 85) more than good policies do.

    :param env: the environment
    :param first: seed of the first episode
    """

    def __init__(self, env: gym.Env[Any, Any], first: int = 0) -> None:
        super().__init__(env)
        self.next = first

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.next += 1
        return self.env.reset(seed=self.next - 1, options=options)


def flow(out: Path, timesteps: int, seed: int) -> None:
    """
    Print the solution's cost and its returns, and draw policy, value and stationary law.

    :param out: folder for the figure
    :param timesteps: environment steps to judge by; nothing is learnt from them
    :param seed: of the first start; the next one's is one more
    """
    # With the first demo that needs it: the flow's numerics are none of the others' business.
    from sb3_wasserstein.flow import pendulum

    begin = time.perf_counter()
    particles = pendulum(cells=41).flow(n_particles=4)
    result = particles.solve()
    print(f"41 × 41 nodes, 4 particles each: J = {result.J:.5f} after {result.iterations} iterations,", end=" ")
    print(f"{time.perf_counter() - begin:.1f} s")
    episodes = max(1, timesteps // 200)
    player: Any = particles.as_policy()
    mean, std = evaluate_policy(player, Monitor(FixedStarts(gym.make("Pendulum-v1"), seed)), n_eval_episodes=episodes)
    print(f"the real Pendulum-v1, {episodes} starts: mean return {mean:.1f}, standard deviation between starts {std:.1f}")
    _, value, rho = particles.evaluate()
    panels = {
        "torque": particles.particles.mean(1)[:, 0].numpy(),
        "relative value": value.numpy(),
        "log10 of the stationary law": rho.clamp(min=1e-12).log10().numpy(),
    }
    grid = particles.grid
    draw = lambda: plot_plane(panels, grid.cells, grid.low, grid.high, ("angle", "velocity"))  # noqa: E731
    save_figure(draw, out / "pendulum.png", "the policy, its value and where it is")
