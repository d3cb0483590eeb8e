"""Targets and policies that nobody vouches for: a clear error, nothing executed, no more memory than their size justifies."""

import copy
import io
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch as th
from forged import BOUND, CLOUD, Trap, arrays_of_targets, bounded, npy, npz, packed, saved, torch_file

from sb3_wasserstein import Target
from sb3_wasserstein.flow import NaturalGradient, NeuralPolicy


@pytest.mark.parametrize("case", list(arrays_of_targets("")))
def test_targets(case, tmp_path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "target.npz").write_bytes(arrays_of_targets(mark)[case]())
    bounded(lambda: Target.load(tmp_path / "target.npz"), "target")
    assert not mark.exists()


def test_the_trap_is_one(tmp_path) -> None:
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
def test_checkpoints_of_the_natural_gradient(case, tmp_path) -> None:
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
def test_policies(changes, tmp_path) -> None:
    learner().as_policy().save(tmp_path / "policy")
    content = th.load(tmp_path / "policy", weights_only=True)
    th.save({**content, **changes}, tmp_path / "changed")
    bounded(lambda: NeuralPolicy.load(tmp_path / "changed"), "changed")
    NeuralPolicy.load(tmp_path / "policy").predict(np.zeros(1))


def pickled(instructions):
    """A torch file with a pickle of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_file({}))) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, instructions if part.filename.endswith("data.pkl") else old.read(part))
    return buffer.getvalue()


def bombs():
    """Small files that ask for much, and the class that reads them."""
    target = {"points": saved(CLOUD), "weights": saved(np.ones(5))}
    large = {f"part{k}": npy((2**23,), data=bytes(2**26)) for k in range(6)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for k in range(2**17):
            archive.writestr(f"{k}", b"")
    number = (10**10).to_bytes(8, "little")
    return {
        "many.npz": npz(zipfile.ZIP_DEFLATED, **target, **large),
        "one.npz": npz(zipfile.ZIP_DEFLATED, points=npy((2**25,), data=bytes(2**28)), weights=target["weights"]),
        "entries.npz": buffer.getvalue(),
        "bytes.pt": pickled(b"\x80\x02cbuiltins\nbytearray\n\x8a\x08" + number + b"\x85R."),
        "old_bytes.pt": pickled(b"\x80\x02c__builtin__\nbytearray\n\x8a\x08" + number + b"\x85R."),
        "lists.pt": pickled(b"\x80\x02](" + b"]" * 2**22 + b"e."),
        "stored_lists.pt": pickled(
            b"\x80\x02](" + np.random.default_rng(0).choice([b"]", b"}", b")"], 2**21).tobytes() + b"e."
        ),
        "many.pt": packed([th.zeros(2**24) for _ in range(6)]),
    }


READ = """
import resource, sys
from pathlib import Path
from sb3_wasserstein import Target
from sb3_wasserstein.flow import NeuralPolicy
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = peak()
    try:
        (Target if path.suffix == ".npz" else NeuralPolicy).load(path)
    except ValueError as error:
        print(path.name, peak() - before, str(error)[-100:].replace(chr(10), " "))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its own peak memory in Linux's unit")
def test_memory_of_bombs(tmp_path) -> None:
    """Refused below 128 MiB: of the whole process, what torch and the operating system take included."""
    for name, content in bombs().items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}
    assert set(taken) == {path.name for path in tmp_path.iterdir()}
    assert max(taken.values()) < BOUND / 1024, done.stdout
