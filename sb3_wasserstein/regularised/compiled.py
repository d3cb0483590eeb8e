"""
The bonus on SB3's buffer in one loop that numba compiles (extra ``fast``): on a rollout of A2C most of the time is the calls.

Imported by ``extra`` alone, and only where numba is. Bit by bit what ``shaping`` and numpy do without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein.extra import jit


# Not fast: sums in another order would have other last bits.
@jit(fastmath=False)
def add_bonus(bonus: Any, dones: Any, decay: Any, rewards: Any, advantages: Any, returns: Any) -> None:
    """
    Add a bonus to SB3's arrays, in place.

    :param bonus: (T, n) float64
    :param dones: (T, n) whether the episode ended with the step
    :param decay: γ times GAE's λ
    :param rewards: (T, n) float32, as the two others
    :param advantages: (T, n)
    :param returns: (T, n)
    """
    n_steps, n_envs = bonus.shape
    running = np.zeros(n_envs)
    for back in range(n_steps):
        time = n_steps - 1 - back
        for env in range(n_envs):
            here = bonus[time, env]
            running[env] = here if dones[time, env] else here + decay * running[env]
            rewards[time, env] += here
            advantages[time, env] += running[env]
            returns[time, env] += running[env]
