"""
The bonus on SB3's buffer in one loop that numba compiles (extra ``fast``): on a rollout of A2C most of the time is the calls.

Imported by ``extra`` alone, and only where numba is. Bit by bit what ``shaping`` and numpy do without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein._numba import jit


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


@jit(fastmath=False)
def add_telescoping(
    after: Any, starts: Any, ends: Any, coef: Any, dones: Any, decay: Any, rewards: Any, advantages: Any, returns: Any
) -> Any:
    """
    :func:`add_bonus` of λ (h after a step − h before it).

    :param after: (T, n) float64 h of each prefix
    :param starts: (k,) h where prefixes begin: those of the rollout's begin, then those of the episodes that begin in it
    :param ends: (T, n) where an episode (or a segment) ended
    :param coef: λ
    :param dones: (T, n) as in :func:`add_bonus`, with what follows
    :return: (T, n) the bonus
    """
    n_steps, n_envs = after.shape
    before, begun, bonus = starts[:n_envs].copy(), n_envs, np.empty((n_steps, n_envs))
    for time in range(n_steps):
        for env in range(n_envs):
            bonus[time, env] = (after[time, env] - before[env]) * coef
            before[env] = after[time, env]
            # What an end at the last step begins lies in the next rollout.
            if ends[time, env] and begun < len(starts):
                before[env] = starts[begun]
                begun += 1
    add_bonus(bonus, dones, decay, rewards, advantages, returns)
    return bonus
