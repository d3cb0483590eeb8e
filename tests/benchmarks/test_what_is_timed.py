"""What is timed is there, and belongs to whom it should."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._lib.timing import Sampler
from benchmarks.cost.long_run import by_hand_costs, our_costs
from benchmarks.cost.overhead import PARTS, attribution, made
from sb3_wasserstein import WassersteinA2C
from sb3_wasserstein.duals import SinkhornDual


def test_every_rollout_has_its_cost() -> None:
    ours = our_costs(2)
    assert len(ours) == len(by_hand_costs(2)) == 2
    assert min(ours) > 0


@pytest.mark.parametrize(("setting", "ours"), [("λ ≠ 0", True), ("no target", False)])
def test_attribution(setting: str, ours: bool) -> None:
    model = made(WassersteinA2C, "CartPole-v1", 8, {}, setting)
    model.learn(2000)
    shares = attribution(model, 8000)
    assert set(shares) == {"attribution", *PARTS}
    assert (float(shares["attribution"]) < 0.995) is ours
    assert 0.7 < float(shares["attribution"]) <= 1.0


def test_what_numpy_does_for_the_package_is_the_packages() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 1000, 4))
    with Sampler() as sampler:
        for _ in range(30):
            SinkhornDual().update(x, y)
    assert sampler.samples.total() > 10
    assert sampler.shares().get("", 0.0) < 0.1
