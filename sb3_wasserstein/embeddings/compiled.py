"""
Running means in one loop that numba compiles (extra ``fast``): on a rollout of A2C most of the time is the calls.

Imported by ``extra`` alone, and only where numba is. Bit by bit what ``running`` does without where it adds step by step.
"""

from __future__ import annotations

from typing import Any

from sb3_wasserstein.extra import jit


# Not fast: sums in another order would have other last bits.
@jit(fastmath=False)
def running_means(values: Any, fresh: Any, ends: Any, sums: Any, counts: Any) -> None:
    """
    :param values: (T, n, d) what each step adds; the means take its place
    :param fresh: (k, d) what each new episode starts from
    :param ends: (T, n) where episodes end, k in all
    :param sums: (n, d) of the running episodes, before and after
    :param counts: (n, 1) of what was added up, before and after
    """
    n_steps, n_envs, dim = values.shape
    begun = 0
    for time in range(n_steps):
        for env in range(n_envs):
            row, total = values[time, env], sums[env]
            counts[env, 0] += 1.0
            count = counts[env, 0]
            for k in range(dim):
                total[k] += row[k]
                row[k] = total[k] / count
            if ends[time, env]:
                total[:] = fresh[begun]
                counts[env, 0] = 1.0
                begun += 1
