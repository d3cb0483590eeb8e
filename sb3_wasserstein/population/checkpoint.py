"""
A population on disk: a folder that is whole at every moment.

Each round that is saved is a folder of its own inside; ``checkpoint.json`` names the one that counts, and is replaced in one
step. A kill at any moment leaves the last one that was complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein._atomic_io import read_arrays, read_bounded
from sb3_wasserstein._validation import check_count
from sb3_wasserstein.population.member import Snapshot

POINTER = "checkpoint.json"
FORMAT = 1
#: environments of a member that a file may ask for
MOST_ENVS = 2**14


class Checkpoint(NamedTuple):
    """
    :param description: JSON-plain
    :param arrays: by name
    :param members: what each member is made again from
    """

    description: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    members: list[Snapshot]


def check_folder(folder: Path, population: str) -> None:
    """
    :param folder: where a population is to be written
    :param population: its identity
    :raises NotADirectoryError: if something else stands in its place
    :raises ValueError: if it holds another population
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"folder {str(folder)!r} cannot be made: {str(path)!r} is a file")
    if (folder / POINTER).exists() and _pointer(folder)["population"] != population:
        raise ValueError(f"folder {str(folder)!r} holds the checkpoint of another population: choose another, or remove it")


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """
    :param folder: made where it is missing
    :param checkpoint: what to write
    :raises ValueError: if the folder holds another population
    :raises OSError: if it cannot be written; what was there before stays
    """
    check_folder(folder, checkpoint.description["population"])
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    try:
        files = {"population.json": json.dumps(checkpoint.description).encode()}
        buffer = io.BytesIO()
        generators = {
            f"generators_{k}_{name}": array
            for k, member in enumerate(checkpoint.members)
            for name, array in member.generators.items()
        }
        np.savez(buffer, allow_pickle=False, **checkpoint.arrays, **generators)
        files["population.npz"] = buffer.getvalue()
        for k, member in enumerate(checkpoint.members):
            files[f"member_{k}.zip"] = member.blob
            files[f"member_{k}.pt"] = member.behaviour
        for name, content in files.items():
            _write(data / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        pointer = {"format": FORMAT, "population": checkpoint.description["population"], "data": data.name, "sha256": sums}
        _write(folder / f"{data.name}.json", json.dumps(pointer).encode())
        os.replace(folder / f"{data.name}.json", folder / POINTER)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        (folder / f"{data.name}.json").unlink(missing_ok=True)
        raise
    for old in folder.glob("data-*"):
        if old.name != data.name:
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


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
        files = {name: _read(folder / pointer["data"] / name, sum_) for name, sum_ in pointer["sha256"].items()}
        description = json.loads(files["population.json"])
        _check_description(description)
        arrays = read_arrays(files["population.npz"])
        members = [_member(files, k, arrays) for k in range(int(description["n_policies"]))]
    except (KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f"folder {str(folder)!r} is damaged ({type(error).__name__}: {error})") from error
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
    if check_count("n_envs", description["n_envs"]) > MOST_ENVS:
        raise ValueError(f"population.json asks for {description['n_envs']} environments a member")


def _pointer(folder: Path) -> dict[str, Any]:
    try:
        pointer = json.loads(_read(folder / POINTER))
        known = pointer["format"] == FORMAT and isinstance(pointer["population"], str) and isinstance(pointer["sha256"], dict)
        # A name and nothing else: it must not lead out of the folder.
        plain = re.fullmatch(r"data-[A-Za-z0-9_]+", pointer["data"]) is not None
        plain = plain and all(re.fullmatch(r"[a-z0-9_]+\.(json|npz|zip|pt)", name) for name in pointer["sha256"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes ({error!r})") from error
    if not (known and plain):
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes here: {pointer}")
    return dict(pointer)


def _member(files: dict[str, bytes], number: int, arrays: dict[str, NDArray[Any]]) -> Snapshot:
    prefix = f"generators_{number}_"
    generators = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return Snapshot(files[f"member_{number}.zip"], files[f"member_{number}.pt"], generators)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, sha256: str | None = None) -> bytes:
    content = read_bounded(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not what was written")
    return content
