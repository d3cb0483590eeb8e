"""Targets and policies that nobody vouches for: a clear error, nothing executed, no more memory than their size justifies."""

import copy
import pickle

import numpy as np
import pytest
import torch as th
from forged import Trap, arrays_of_targets, bounded, packed, torch_file

from sb3_wasserstein import Target
from sb3_wasserstein.flow import NaturalGradient, NeuralPolicy


@pytest.mark.parametrize("case", list(arrays_of_targets("")))
def test_targets(case, tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "target.npz").write_bytes(arrays_of_targets(mark)[case]())
    bounded(lambda: Target.load(tmp_path / "target.npz"), "target")
    assert not mark.exists()


def test_the_trap_is_one(tmp_path):
    """What the other tests rely on: unpickled, it leaves its mark."""
    pickle.loads(pickle.dumps(Trap(tmp_path / "mark"))).close()
    assert (tmp_path / "mark").exists()


def tensors(mark):
    state = learner()._content()
    chains = state["chains"]
    vast = th.zeros(1).expand(2**38, 1)
    return {
        "a pickle": lambda: pickle.dumps({"kind": "natural gradient", "policy": Trap(mark)}),
        "a pickle inside": lambda: torch_file({**state, "direction": Trap(mark)}),
        "nothing": lambda: b"",
        "cut off": lambda: torch_file(state)[:-400],
        "another kind": lambda: torch_file({**state, "kind": "neural policy"}),
        "no dict": lambda: torch_file([1, 2]),
        "a part is missing": lambda: torch_file({key: value for key, value in state.items() if key != "chains"}),
        "a vast tensor over one number": lambda: torch_file({**state, "direction": {"x": vast}}),
        "a bomb": lambda: packed({**state, "direction": {"x": th.zeros(2**26)}}),
        "another network": lambda: torch_file({**state, "policy": {"layers.0.weight": th.zeros(3, 3)}}),
        "a direction elsewhere": lambda: torch_file({**state, "direction": {"x": th.zeros(3)}}),
        "chains of another shape": lambda: torch_file({**state, "chains": {**chains, "states": th.zeros(1, 1)}}),
        "chains of NaN": lambda: torch_file(
            {**state, "chains": {**state["chains"], "states": state["chains"]["states"] * np.nan}}
        ),
        "a generator of zeros": lambda: torch_file(
            {**state, "chains": {**state["chains"], "generator": th.zeros(3, dtype=th.uint8)}}
        ),
        "steps of text": lambda: torch_file({**state, "num_timesteps": "many"}),
        "negative steps": lambda: torch_file({**state, "num_timesteps": -1}),
        "a curvature of NaN": lambda: torch_file({**state, "curvature": float("nan")}),
        "numbers for tensors": lambda: torch_file({**state, "policy": 3}),
        "an Adam of another shape": lambda: torch_file({**state, "adam": strange_adam(state["adam"])}),
    }


def strange_adam(adam):
    adam = copy.deepcopy(adam)
    adam["state"] = {0: {"step": th.tensor(1.0), "exp_avg": th.zeros(99), "exp_avg_sq": th.zeros(99)}}
    return adam


def learner():
    def half(s, a):
        return 0.5 * s + a

    def square(s, a):
        return s[:, 0] ** 2 + a[:, 0] ** 2

    return NaturalGradient([4], half, square, noise=[0.3], initial=1.0, action_dim=1, n_chains=4, windows=(2, 4), seed=0)


@pytest.mark.parametrize("case", list(tensors("")))
def test_checkpoints_of_the_natural_gradient(case, tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "file").write_bytes(tensors(mark)[case]())
    made = learner().learn(16)
    before = torch_file(made._content())
    bounded(lambda: made.load_checkpoint(tmp_path / "file"), "file")
    assert torch_file(made._content()) == before
    assert not mark.exists()
    made.learn(32)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"state_dim": 1, "action_dim": 1, "hidden": [2**40]}},
        {"network": {"state_dim": 1, "action_dim": 1, "hidden": "wide"}},
        {"network": {"state_dim": 1, "action_dim": 1, "hidden": [4], "evil": 1}},
        {"network": 3},
        {"state": {}},
        {"state": None},
        {"low": "low"},
        {"kind": "natural gradient"},
    ],
    ids=str,
)
def test_policies(changes, tmp_path):
    learner().as_policy().save(tmp_path / "policy")
    content = th.load(tmp_path / "policy", weights_only=True)
    th.save({**content, **changes}, tmp_path / "changed")
    bounded(lambda: NeuralPolicy.load(tmp_path / "changed"), "changed")
    NeuralPolicy.load(tmp_path / "policy").predict(np.zeros(1))
