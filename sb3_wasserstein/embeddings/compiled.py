"""
Running means in one loop that numba compiles (extra ``fast``). Imported by ``extra`` alone, and only where numba is.

Bit by bit what ``running`` does without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_wasserstein._numba import jit


@jit(fastmath=False)
def running_means(points: Any, index: Any, fresh: Any, ends: Any, sums: Any, counts: Any) -> Any:
    """
    :param points: (c, dim) float64, what a step may add
    :param index: (T, n) which of them each step adds
    :param fresh: (k,) which one each new episode begins with, in the order of the ends
    :param ends: (T, n) where episodes end
    :param sums: (n, dim) of the running episodes, overwritten by what to carry on
    :param counts: (n, 1) of what these are sums, overwritten
    :return: (T, n, dim) the means after each step, before an end takes effect
    """
    n_steps, n_envs = index.shape
    begun, means = 0, np.empty((n_steps, n_envs, points.shape[1]))
    for time in range(n_steps):
        for env in range(n_envs):
            total, mean, added = sums[env], means[time, env], points[index[time, env]]
            counts[env, 0] += 1.0
            count = counts[env, 0]
            for k in range(len(total)):
                total[k] += added[k]
                mean[k] = total[k] / count
            if ends[time, env]:
                total[:] = points[fresh[begun]]
                counts[env, 0] = 1.0
                begun += 1
    return means
