"""Population folders that nobody vouches for: a clear error, nothing executed, no more memory than their size justifies."""

import hashlib
import io
import json
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch as th
from forged import CLOUD, Trap, arrays_of_targets, bounded, npz, packed, saved, torch_file
from small_population import make

from sb3_wasserstein import Population
from sb3_wasserstein.duals import RKHSDual
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population.checkpoint import POINTER


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
    return {"member_0.pt": torch_file({**state, "behaviour": {**state["behaviour"], **changes}})}


def with_kept(folder, kept):
    state = th.load(io.BytesIO(read(folder)[1]["member_0.pt"]), weights_only=True)
    return {"member_0.pt": torch_file({**state, "kept": kept})}


def with_part(folder, name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(read(folder)[1]["member_0.zip"])) as old, zipfile.ZipFile(buffer, "w") as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return buffer.getvalue()


def populations(folder, mark):
    exchange = json.loads(read(folder)[1]["population.json"])["exchange"]
    rules = json.loads(read(folder)[1]["population.json"])["rules"]
    window = th.load(io.BytesIO(read(folder)[1]["member_0.pt"]), weights_only=True)["behaviour"]["window"]
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
        "a packed window": lambda: {
            "member_0.pt": packed({"behaviour": {"window": {"points": th.zeros(2**26)}}, "kept": None})
        },
        "a window of another dimension": lambda: with_window(folder, window={**window, "points": window["points"][:, :1]}),
        "a window of other sizes": lambda: with_window(folder, window={**window, "sizes": [1]}),
        "a window of text": lambda: with_window(folder, window="here"),
        "scales of zero": lambda: with_window(folder, scales=dict.fromkeys(("episode_return", "ground_cost"), 0.0)),
        "weights of text": lambda: with_kept(folder, "x"),
        "weights of another policy": lambda: with_kept(folder, {"policy": {"x": th.zeros(2)}, "optimizer": {}}),
        "a burst of text": lambda: described(folder, rules={**rules, "burst": {"full": "x"}}),
        "a burst of another kind": lambda: described(folder, rules={**rules, "burst": {"evil": 1}}),
        "fresh starts of text": lambda: described(folder, rules={**rules, "fresh_starts": "x"}),
        "improvements of text": lambda: described(folder, exchange={**exchange, "improvements": "x"}),
        "kept by text": lambda: described(folder, exchange={**exchange, "kept": [["a", "b"]]}),
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
        "a packed model": lambda: {"member_0.zip": packed({"x": th.zeros(2**26)})},
        "a model with a pickle": lambda: {"member_0.zip": with_part(folder, "policy.pth", torch_file(Trap(mark)))},
        "a model that asks for bytes": lambda: {"member_0.zip": with_part(folder, "policy.pth", torch_file(bytearray(9)))},
    }


CASES = """a pickle for a window; a pickle in a window; a pickle for arrays; a pickle in arrays; 1e12 numbers declared; a bomb;
arrays of others; a vast window; a packed window; a window of another dimension; a window of other sizes; a window of text;
scales of zero; weights of text; weights of another policy; a burst of text; a burst of another kind; fresh starts of text;
improvements of text; kept by text;
no description; a description that is deep; a million environments; a million members; members of text;
another seed; an unknown embedding; an unknown dual; another dual; an algorithm by its path; rules that are none;
a coefficient of text; no rules; no exchange; distances of text; a scale of zero; born once; a cloud of NaN; a cloud of text;
clouds of two dimensions; a unit of zero; returns of text; a generator of zeros; a generator of text; half a model;
a packed model; a model with a pickle; a model that asks for bytes""".replace("\n", " ").split("; ")


@pytest.mark.parametrize("case", CASES)
def test_population_folders(case, folder, tmp_path) -> None:
    mark = tmp_path / "executed"
    place = forged(folder, tmp_path / "p", populations(folder, mark)[case]())
    before = random.getstate(), th.get_rng_state()
    bounded(lambda: Population.load(place, Goals), ".", (ValueError, TypeError))
    assert not mark.exists()
    # What was refused has not moved the global generators.
    assert random.getstate() == before[0]
    assert th.equal(th.get_rng_state(), before[1])


def test_every_case_of_a_population_is_tried(folder) -> None:
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
def test_paths_lead_nowhere_else(pointer, folder, tmp_path) -> None:
    (tmp_path / "secret.npz").write_bytes(b"secret")
    place = forged(folder, tmp_path / "p", {})
    pointer = {**json.loads((place / POINTER).read_text()), **pointer}
    (place / POINTER).write_text(json.dumps(pointer))
    bounded(lambda: Population.load(place, Goals), "checkpoint.json|damaged")


def test_the_forger_can_also_do_nothing(folder, tmp_path) -> None:
    """What the tests above change is what they are refused for."""
    with Population.load(forged(folder, tmp_path / "p", {}), Goals) as loaded:
        loaded.learn(192, reset_num_timesteps=False)
        assert [model.num_timesteps for model in loaded.models] == [3 * 192] * 2


@pytest.mark.parametrize("name", ["checkpoint.json", "population.json", "population.npz", "member_1.pt", "member_1.zip"])
def test_devices_have_no_end(name, folder, tmp_path) -> None:
    place = forged(folder, tmp_path / "p", {})
    path = place / name if name == POINTER else place / json.loads((place / POINTER).read_text())["data"] / name
    path.unlink()
    path.symlink_to("/dev/zero")
    bounded(lambda: Population.load(place, Goals), "checkpoint.json|no regular file", (FileNotFoundError, ValueError))


def test_large_descriptions(folder, tmp_path) -> None:
    text = json.dumps({"population": [[]] * 10**6}).encode()
    place = forged(folder, tmp_path / "p", {"population.json": text})
    bounded(lambda: Population.load(place, Goals), "more than the 2097152 that it may have")
    (place / POINTER).write_bytes(text)
    bounded(lambda: Population.load(place, Goals), "more than the 2097152 that it may have")
