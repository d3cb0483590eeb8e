"""
A population on disk: a folder that can be loaded at every moment.

Each checkpoint is a folder of its own inside; ``checkpoint.json`` names the one that counts, and is replaced in one step. A
kill at any moment leaves the last one that was complete. Several processes may save to one folder: the last one counts.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein._atomic_io import check_model, read_arrays, read_bounded, read_small, write_whole
from sb3_wasserstein._validation import check_count
from sb3_wasserstein.population.arguments import check_n_envs
from sb3_wasserstein.population.member import Snapshot

POINTER = "checkpoint.json"
FORMAT = 1
#: bytes that a JSON file here may have, when it is written and when it is read: it takes up to 24 times as much memory
MOST_JSON = 2**21
#: names of the arrays in population.npz
ARRAYS = r"draws_\d+|(first_)?cloud_\d+|reached_\d+|tried_\d+|returns|feature_scale|generators_\d+_[a-z_]+"


class Checkpoint(NamedTuple):
    """
    :param description: JSON-plain
    :param arrays: by name
    :param members: what each member is made again from
    """

    description: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    members: list[Snapshot]


def check_folder(folder: Path, population: str) -> dict[str, Any] | None:
    """
    :param folder: where a population is to be written
    :param population: its identity
    :return: the pointer that the folder holds, None where it holds none
    :raises NotADirectoryError: if something else stands in its place
    :raises ValueError: if it holds another population
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"folder {str(folder)!r} cannot be made: {str(path)!r} is a file")
    if not (folder / POINTER).exists():
        return None
    pointer = _pointer(folder)
    if pointer["population"] != population:
        raise ValueError(f"folder {str(folder)!r} holds the checkpoint of another population: choose another, or remove it")
    return pointer


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """
    Nothing in the folder is removed but what the replaced pointer named. A kill in the middle leaves a folder ``data-...``
    that no pointer names, and that may be removed.

    :param folder: made where it is missing
    :param checkpoint: what to write
    :raises ValueError: if the folder holds another population, or if the checkpoint could not be read again
    :raises OSError: if it cannot be written; what was there before stays
    """
    population = checkpoint.description["population"]
    check_folder(folder, population)
    files = _files(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    try:
        for name, content in files.items():
            _write(data / name, content)
        # Another process may have saved in the meantime: what is replaced is what stands there now.
        replaced = check_folder(folder, population)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        pointer = {"format": FORMAT, "population": population, "data": data.name, "sha256": sums}
        text = _json(POINTER, pointer)
        write_whole(folder / POINTER, lambda path: _write(path, text))
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise
    if replaced is not None and replaced["data"] != data.name:
        for name in replaced["sha256"]:
            (folder / replaced["data"] / name).unlink(missing_ok=True)
        # A file of the user's that was put there keeps its folder.
        with suppress(OSError):
            (folder / replaced["data"]).rmdir()


def read_checkpoint(folder: Path) -> Checkpoint:
    """
    :param folder: as given to ``save``
    :return: what was written last. Nothing is unpickled here; the members' zips are SB3's
    :raises FileNotFoundError: if there is no checkpoint
    :raises ValueError: if it is damaged or of another format
    """
    if not (folder / POINTER).is_file():
        raise FileNotFoundError(
            f"folder {str(folder)!r} holds no population: {POINTER} is missing (Population.save writes it)"
        )
    pointer = _pointer(folder)
    try:
        return _read_data(folder / pointer["data"], pointer["sha256"])
    except (KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        # Another process may have replaced this checkpoint, and removed its files, since its name was read.
        if _pointer(folder) != pointer:
            return read_checkpoint(folder)
        raise ValueError(f"folder {str(folder)!r} is damaged ({type(error).__name__}: {error})") from error


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    generators = {
        f"generators_{k}_{name}": array
        for k, member in enumerate(checkpoint.members)
        for name, array in member.generators.items()
    }
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **checkpoint.arrays, **generators)
    files = {"population.json": _json("population.json", checkpoint.description), "population.npz": arrays.getvalue()}
    for k, member in enumerate(checkpoint.members):
        files[f"member_{k}.zip"] = member.blob
        files[f"member_{k}.pt"] = member.behaviour
    return files


def _json(name: str, value: dict[str, Any]) -> bytes:
    content = json.dumps(value).encode()
    if len(content) > MOST_JSON:
        raise ValueError(f"{name} of this population would have {len(content)} bytes, more than the {MOST_JSON} that are read")
    return content


def _read_data(data: Path, sums: dict[str, str]) -> Checkpoint:
    def read(name: str) -> bytes:
        content = read_small(data / name, MOST_JSON) if name.endswith(".json") else read_bounded(data / name)
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise ValueError(f"{name} is not what was written")
        return content

    description = json.loads(read("population.json"))
    _check_description(description)
    arrays = read_arrays(read("population.npz"), ARRAYS)
    members = []
    for k in range(int(description["n_policies"])):
        blob, prefix = read(f"member_{k}.zip"), f"generators_{k}_"
        check_model(blob)
        generators = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        members.append(Snapshot(blob, read(f"member_{k}.pt"), generators))
    return Checkpoint(description, arrays, members)


def _check_description(description: dict[str, Any]) -> None:
    kinds = {
        "population": str,
        "algorithm": str,
        "embedding": dict,
        "dual": dict,
        "rules": dict,
        "exchange": dict,
        "seeds": list,
    }
    for name, kind in kinds.items():
        if not isinstance(description[name], kind):
            raise ValueError(f"population.json: {name} must be a {kind.__name__}, got {description[name]!r:.80}")
    n_policies = check_count("n_policies", description["n_policies"], 2)
    if len(description["seeds"]) != n_policies:
        raise ValueError(f"population.json has {len(description['seeds'])} seeds of {n_policies} members")
    for seed in (description["seed"], *description["seeds"]):
        check_count("seed", seed, 0)
    check_n_envs(description["n_envs"])
    names = description.get("env_kwargs", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"population.json: env_kwargs must be a list of names, got {names!r:.80}")


def _pointer(folder: Path) -> dict[str, Any]:
    try:
        pointer = json.loads(read_small(folder / POINTER, MOST_JSON))
        known = pointer["format"] == FORMAT and isinstance(pointer["population"], str) and isinstance(pointer["sha256"], dict)
        # A name and nothing else: it must not lead out of the folder.
        plain = re.fullmatch(r"data-[A-Za-z0-9_]+", pointer["data"]) is not None
        plain = plain and all(re.fullmatch(r"[a-z0-9_]+\.(json|npz|zip|pt)", name) for name in pointer["sha256"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes ({error!r})") from error
    if not (known and plain):
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes here: {pointer!s:.300}")
    return dict(pointer)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
