"""Forged states of duals and models: a clear error, nothing executed, and what was there stays as it was."""

import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch as th
from forged import CLOUD, Trap, bounded, torch_file
from scripted import ScriptedEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WassersteinA2C
from sb3_wasserstein.duals import AlternatingDual, RKHSDual, SemiDiscreteDual, SinkhornDual


def fitted(cls):
    dual = cls() if cls is SinkhornDual else cls(seed=0)
    dual.update(CLOUD, CLOUD + 1.0)
    dual.update(CLOUD * 2, CLOUD + 1.0)
    return dual


def broken(value, of_its_own_length):
    """Ways to break one part of a state; what has a length of its own may be shorter."""
    yield "text"
    yield None
    if isinstance(value, th.Tensor):
        yield value.float()
        if not of_its_own_length:
            yield value[:1]
        yield value * float("nan") if value.is_floating_point() else value.double()
        yield th.zeros([1] * value.ndim, dtype=value.dtype).expand([2**36, *value.shape[1:]])
    elif isinstance(value, float):
        yield float("nan")
    elif isinstance(value, dict):
        yield {}


#: parts that may be missing, or be any number
FREE = {
    "config",
    "samples",
    "iterations",
    "distance",
    "residual",
    "offsets",
    "clock",
    "scale",
    "base_median",
    "level",
    "factor",
}


@pytest.mark.parametrize("cls", [SinkhornDual, RKHSDual, AlternatingDual, SemiDiscreteDual])
def test_states_of_duals(cls) -> None:
    """Each part of a state in turn is text, nothing, of another type, cut off, NaN or vast."""
    dual = fitted(cls)
    state, points = dual.state_dict(), CLOUD + 0.3
    before = dual.shaping(points)
    tried = 0
    for name, value in state.items():
        parts: list[tuple[tuple[str, ...], Any]] = [((name,), value)]
        if isinstance(value, dict) and name not in ("config", "rng"):
            parts += [((name, inner), part) for inner, part in value.items()]
        for place, part in parts:
            if place[-1] in FREE:
                continue
            for bad in broken(part, place[-1].startswith("recent")):
                # Without a dimension there is nothing yet; without debiasing there is no potential of a law with itself.
                if part is bad or (bad is None and place[-1] in ("dim", "fxx", "gyy")):
                    continue
                changed = {**state, name: bad} if len(place) == 1 else {**state, name: {**value, place[1]: bad}}
                bounded(lambda changed=changed: dual.load_state_dict(changed), "`state`")
                np.testing.assert_array_equal(dual.shaping(points), before)
                tried += 1
    assert tried >= 20
    dual.load_state_dict(state)
    np.testing.assert_array_equal(dual.shaping(points), before)


def test_a_models_own_parts(tmp_path) -> None:
    """Dual and window in SB3's zip are ours to check: a forged one is refused before anything is learnt from it."""
    model = WassersteinA2C("MlpPolicy", DummyVecEnv([ScriptedEnv]), target=[[0.0] * 3], wasserstein_coef=1.0, seed=0).learn(64)
    model.save(tmp_path / "model")
    mark = tmp_path / "executed"
    vast = th.zeros(1, dtype=th.float64).expand(2**38, 3)
    for part, bad in (
        ("dual.pth", torch_file({**model.dual.state_dict(), "x": vast})),
        ("dual.pth", torch_file({})),
        ("tracker.pth", torch_file({**model.tracker.state_dict(), "window": {"points": vast}})),
        ("tracker.pth", torch_file({**model.tracker.state_dict(), "target": {"points": vast, "weights": vast}})),
        ("tracker.pth", torch_file({**model.tracker.state_dict(), "scales": {"evil": 1}})),
        ("tracker.pth", torch_file(Trap(mark))),
    ):
        with zipfile.ZipFile(tmp_path / "model.zip") as old, zipfile.ZipFile(tmp_path / "forged.zip", "w") as new:
            for name in old.namelist():
                new.writestr(name, bad if name == part else old.read(name))
        bounded(lambda: WassersteinA2C.load(tmp_path / "forged"), ".", (ValueError, pickle.UnpicklingError))
        assert not mark.exists()
