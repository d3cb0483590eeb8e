"""Slow: the demo's task is learnt, and under VecNormalize as well as without."""

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import Target, WassersteinPPO
from sb3_wasserstein.embeddings import VisitHistogram
from sb3_wasserstein.envs import HillyGrid


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_demos_task(normalize, seed) -> None:
    env = make_vec_env("wasserstein/HillyGrid-v0", 16, seed=seed)
    grid = HillyGrid()
    embedding = VisitHistogram(shape=grid.heights.shape, smoothing=1.0)
    target = Target.from_trajectories([grid.optimal_path], embedding)
    model = WassersteinPPO(
        "MlpPolicy",
        VecNormalize(env, norm_obs=False, gamma=1.0) if normalize else env,
        embedding=embedding,
        target=target,
        wasserstein_coef=-1.0,
        n_steps=96,
        batch_size=384,
        n_epochs=5,
        gamma=1.0,
        learning_rate=lambda left: 3e-3 * left,
        ent_coef=1e-2,
        # Normalised returns are of order one: SB3's own coefficient fits them.
        vf_coef=0.5 if normalize else 1e-3,
        seed=seed,
    )
    model.learn(120_000)
    assert np.mean(model.tracker.window.returns[-100:]) >= 1.1 * grid.optimal_return
