"""Files that nobody vouches for: a clear error, nothing executed, and no more memory than their size justifies."""

import copy
import hashlib
import io
import json
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch as th
from scripted import ScriptedEnv
from small_population import make
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import Population, Target, WassersteinA2C
from sb3_wasserstein.duals import AlternatingDual, RKHSDual, SemiDiscreteDual, SinkhornDual
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.flow import NaturalGradient
from sb3_wasserstein.flow.neural import NeuralPolicy
from sb3_wasserstein.population.checkpoint import POINTER

CLOUD = np.random.default_rng(0).normal(size=(5, 2))
#: what reading a hostile file may take, whatever it declares
BOUND = 2**27


class Trap:
    """Unpickled, it leaves a mark on the disk."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


def npy(shape, dtype="<f8", data=b""):
    """An array file whose header says what it likes."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(compression=zipfile.ZIP_STORED, **parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(f"{name}.npy", part)
    return buffer.getvalue()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def torch_file(content):
    buffer = io.BytesIO()
    th.save(content, buffer)
    return buffer.getvalue()


def packed(content):
    """A torch file, its parts compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_file(content))) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    return buffer.getvalue()


def bounded(act, words, error=ValueError):
    """The call is refused in these words, and takes little memory on the way."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=words):
            act()
        assert tracemalloc.get_traced_memory()[1] < BOUND
    finally:
        tracemalloc.stop()


def arrays_of_targets(mark):
    whole = npz(points=saved(CLOUD), weights=saved(np.ones(5)))
    trap = io.BytesIO()
    np.save(trap, np.array([Trap(mark)], dtype=object), allow_pickle=True)
    return {
        "a pickle": lambda: pickle.dumps(Trap(mark)),
        "a pickle inside": lambda: npz(points=trap.getvalue(), weights=saved(np.ones(1))),
        "a pickle that says it holds numbers": lambda: npz(
            points=npy((1,), "<f8", pickle.dumps(Trap(mark))), weights=saved(np.ones(1))
        ),
        "nothing": lambda: b"",
        "cut off in the middle": lambda: whole[: len(whole) // 2],
        "cut off near the end": lambda: whole[:-30],
        "a flipped bit": lambda: whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "1e12 numbers declared": lambda: npz(points=npy((10**12, 1)), weights=saved(np.ones(1))),
        "1e18 numbers declared": lambda: npz(points=npy((10**9, 10**9)), weights=saved(np.ones(1))),
        "a negative shape": lambda: npz(points=npy((-1, 2), data=bytes(16)), weights=saved(np.ones(1))),
        "a bomb": lambda: npz(zipfile.ZIP_DEFLATED, points=npy((2**24, 2), data=bytes(2**28)), weights=saved(np.ones(1))),
        "a header that is code": lambda: npz(points=npy("__import__('os').system('x')"), weights=saved(np.ones(1))),
        "text": lambda: npz(points=saved(np.array([["a"]])), weights=saved(np.ones(1))),
        "dates": lambda: npz(points=saved(np.array([["2020-01-01"]], dtype="M8[D]")), weights=saved(np.ones(1))),
        "complex numbers": lambda: npz(points=saved(np.array([[1j]])), weights=saved(np.ones(1))),
        "structures": lambda: npz(points=saved(np.zeros((2, 1), dtype=[("a", "f8")])), weights=saved(np.ones(2))),
        "NaN": lambda: npz(points=saved(CLOUD * np.nan), weights=saved(np.ones(5))),
        "weights of another length": lambda: npz(points=saved(CLOUD), weights=saved(np.ones(4))),
        "no weights": lambda: npz(points=saved(CLOUD)),
        "a torch file": lambda: torch_file({"points": th.zeros(2)}),
    }


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("population") / "p"
    with make(schedule="constant", embedding=StateOccupancy(horizon=16)).learn(2 * 192) as population:
        population.save(place)
    return place


def read(folder):
    pointer = json.loads((folder / POINTER).read_text())
    return pointer, {name: (folder / pointer["data"] / name).read_bytes() for name in pointer["sha256"]}


def forged(folder, place, files, **pointer):
    """The folder with other files, their sums in order."""
    old, whole = read(folder)
    files = {**whole, **files}
    (place / old["data"]).mkdir(parents=True)
    for name, content in files.items():
        (place / old["data"] / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (place / POINTER).write_text(json.dumps({**old, "sha256": sums, **pointer}))
    return place


def described(folder, **changes):
    return {"population.json": json.dumps({**json.loads(read(folder)[1]["population.json"]), **changes}).encode()}


def with_arrays(folder, **changes):
    arrays = dict(np.load(io.BytesIO(read(folder)[1]["population.npz"])))
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, **changes})
    return {"population.npz": buffer.getvalue()}


def with_window(folder, **changes):
    state = th.load(io.BytesIO(read(folder)[1]["member_0.pt"]), weights_only=True)
    return {"member_0.pt": torch_file({**state, **changes})}


def populations(folder, mark):
    exchange = json.loads(read(folder)[1]["population.json"])["exchange"]
    rules = json.loads(read(folder)[1]["population.json"])["rules"]
    window = th.load(io.BytesIO(read(folder)[1]["member_0.pt"]), weights_only=True)["window"]
    arrays = arrays_of_targets(mark)
    vast = th.zeros(1, dtype=th.float64).expand(2**38, 2)
    return {
        "a pickle for a window": lambda: {"member_0.pt": pickle.dumps(Trap(mark))},
        "a pickle in a window": lambda: with_window(folder, scales=Trap(mark)),
        "a pickle for arrays": lambda: {"population.npz": arrays["a pickle"]()},
        "a pickle in arrays": lambda: {"population.npz": arrays["a pickle inside"]()},
        "1e12 numbers declared": lambda: {"population.npz": arrays["1e12 numbers declared"]()},
        "a bomb": lambda: {"population.npz": arrays["a bomb"]()},
        "arrays of others": lambda: {"population.npz": npz(points=saved(CLOUD))},
        "a vast window": lambda: with_window(folder, window={**window, "points": vast}),
        "a packed window": lambda: {"member_0.pt": packed({"window": {"points": th.zeros(2**26)}})},
        "a window of another dimension": lambda: with_window(folder, window={**window, "points": window["points"][:, :1]}),
        "a window of other sizes": lambda: with_window(folder, window={**window, "sizes": [1]}),
        "a window of text": lambda: with_window(folder, window="here"),
        "scales of zero": lambda: with_window(folder, scales=dict.fromkeys(("episode_return", "ground_cost"), 0.0)),
        "no description": lambda: {"population.json": b"[]"},
        "a description that is deep": lambda: {"population.json": b"[" * 100_000 + b"]" * 100_000},
        "a million environments": lambda: described(folder, n_envs=10**6),
        "a million members": lambda: described(folder, n_policies=10**6, seeds=[1] * 10**6),
        "members of text": lambda: described(folder, n_policies="two"),
        "another seed": lambda: described(folder, seed="x"),
        "an unknown embedding": lambda: described(folder, embedding={"embedding": "Nothing"}),
        "an unknown dual": lambda: described(folder, dual={"class": "Nothing"}),
        "another dual": lambda: described(folder, dual=RKHSDual().config()),
        "an algorithm by its path": lambda: described(folder, algorithm="os.system"),
        "rules that are none": lambda: described(folder, rules={**rules, "evil": 1}),
        "a coefficient of text": lambda: described(folder, rules={**rules, "coef": "x"}),
        "no rules": lambda: described(folder, rules=None),
        "no exchange": lambda: described(folder, exchange={}),
        "distances of text": lambda: described(folder, exchange={**exchange, "distances": [["a", "b", "c"]]}),
        "a scale of zero": lambda: described(folder, exchange={**exchange, "scale": 0.0}),
        "born once": lambda: described(folder, exchange={**exchange, "born": [0.0]}),
        "a cloud of NaN": lambda: with_arrays(folder, cloud_0=np.full((3, 2), np.nan)),
        "a cloud of text": lambda: with_arrays(folder, cloud_0=np.array([["a"]])),
        "clouds of two dimensions": lambda: with_arrays(folder, cloud_0=np.zeros((3, 5))),
        "a unit of zero": lambda: with_arrays(folder, feature_scale=np.zeros(2)),
        "returns of text": lambda: with_arrays(folder, returns=np.array(["a"])),
        "a generator of zeros": lambda: with_arrays(folder, generators_0_torch=np.zeros(3, dtype=np.uint8)),
        "a generator of text": lambda: with_arrays(folder, generators_0_python=np.array(["a"])),
        "half a model": lambda: {"member_0.zip": read(folder)[1]["member_0.zip"][:1000]},
    }


CASES = """a pickle for a window; a pickle in a window; a pickle for arrays; a pickle in arrays; 1e12 numbers declared; a bomb;
arrays of others; a vast window; a packed window; a window of another dimension; a window of other sizes; a window of text;
scales of zero; no description; a description that is deep; a million environments; a million members; members of text;
another seed; an unknown embedding; an unknown dual; another dual; an algorithm by its path; rules that are none;
a coefficient of text; no rules; no exchange; distances of text; a scale of zero; born once; a cloud of NaN; a cloud of text;
clouds of two dimensions; a unit of zero; returns of text; a generator of zeros; a generator of text; half a model""".replace(
    "\n", " "
).split("; ")


@pytest.mark.parametrize("case", CASES)
def test_population_folders(case, folder, tmp_path):
    mark = tmp_path / "executed"
    place = forged(folder, tmp_path / "p", populations(folder, mark)[case]())
    before = random.getstate(), th.get_rng_state()
    bounded(lambda: Population.load(place, Goals), ".", (ValueError, TypeError))
    assert not mark.exists()
    # What was refused has not moved the global generators.
    assert random.getstate() == before[0]
    assert th.equal(th.get_rng_state(), before[1])


def test_every_case_of_a_population_is_tried(folder):
    assert sorted(CASES) == sorted(populations(folder, ""))


@pytest.mark.parametrize(
    "pointer",
    [
        {"data": "../../x"},
        {"data": "/etc"},
        {"data": "data-x/../../y"},
        {"data": ""},
        {"data": None},
        {"sha256": {"../secret.npz": "0"}},
        {"sha256": {"/etc/passwd": "0"}},
        {"sha256": {}},
        {"sha256": []},
        {"format": 10**9},
        {"population": 3},
    ],
    ids=str,
)
def test_paths_lead_nowhere_else(pointer, folder, tmp_path):
    (tmp_path / "secret.npz").write_bytes(b"secret")
    place = forged(folder, tmp_path / "p", {})
    pointer = {**json.loads((place / POINTER).read_text()), **pointer}
    (place / POINTER).write_text(json.dumps(pointer))
    bounded(lambda: Population.load(place, Goals), "checkpoint.json|damaged")


def test_the_forger_can_also_do_nothing(folder, tmp_path):
    """What the tests above change is what they are refused for."""
    with Population.load(forged(folder, tmp_path / "p", {}), Goals) as loaded:
        loaded.learn(192, reset_num_timesteps=False)
        assert [model.num_timesteps for model in loaded.models] == [3 * 192] * 2


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
def test_states_of_duals(cls):
    """Each part of a state in turn is text, nothing, of another type, cut off, NaN or vast."""
    dual = fitted(cls)
    state, points = dual.state_dict(), CLOUD + 0.3
    before = dual.shaping(points)
    tried = 0
    for name, value in state.items():
        parts = [((name,), value)]
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


def test_a_models_own_parts(tmp_path):
    """Dual and window in SB3's zip are ours to check: a forged one is refused before anything is learnt from it."""
    model = WassersteinA2C("MlpPolicy", DummyVecEnv([ScriptedEnv]), target=[[0.0] * 3], wasserstein_coef=1.0, seed=0).learn(64)
    model.save(tmp_path / "model")
    mark = tmp_path / "executed"
    vast = th.zeros(1, dtype=th.float64).expand(2**38, 3)
    for part, bad in (
        ("dual.pth", torch_file({**model.dual.state_dict(), "x": vast})),
        ("dual.pth", torch_file({})),
        ("dual_callback.pth", torch_file({**model.dual_callback.state_dict(), "window": {"points": vast}})),
        ("dual_callback.pth", torch_file({**model.dual_callback.state_dict(), "target": {"points": vast, "weights": vast}})),
        ("dual_callback.pth", torch_file({**model.dual_callback.state_dict(), "scales": {"evil": 1}})),
        ("dual_callback.pth", torch_file(Trap(mark))),
    ):
        with zipfile.ZipFile(tmp_path / "model.zip") as old, zipfile.ZipFile(tmp_path / "forged.zip", "w") as new:
            for name in old.namelist():
                new.writestr(name, bad if name == part else old.read(name))
        bounded(lambda: WassersteinA2C.load(tmp_path / "forged"), ".", (ValueError, pickle.UnpicklingError))
        assert not mark.exists()
