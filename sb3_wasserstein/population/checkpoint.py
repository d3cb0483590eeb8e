"""
A population on disk: a folder that is whole at every moment.

Each round that is saved is a folder of its own inside; ``checkpoint.json`` names the one that counts, and is replaced in one
step. A kill at any moment leaves the last one that was complete.
"""

from __future__ import annotations

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

POINTER = "checkpoint.json"
FORMAT = 1
#: bytes that a description or an array file may have: more was not written by us
MOST_BYTES = 2**30


class Checkpoint(NamedTuple):
    """
    :param description: JSON-plain
    :param arrays: by name
    :param members: each member's model, as SB3 saves it
    """

    description: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    members: list[bytes]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """
    :param folder: made where it is missing
    :param checkpoint: what to write
    :raises ValueError: if the folder holds another population
    :raises OSError: if it cannot be written; what was there before stays
    """
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _pointer(folder) if (folder / POINTER).exists() else None
    if earlier is not None and earlier["population"] != checkpoint.description["population"]:
        raise ValueError(f"folder {str(folder)!r} holds the checkpoint of another population: choose another, or remove it")
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    try:
        _write(data / "population.json", json.dumps(checkpoint.description).encode())
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **checkpoint.arrays)
        _write(data / "population.npz", buffer.getvalue())
        for k, blob in enumerate(checkpoint.members):
            _write(data / f"member_{k}.zip", blob)
        pointer = {"format": FORMAT, "population": checkpoint.description["population"], "data": data.name}
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
    data = folder / _pointer(folder)["data"]
    try:
        description = json.loads(_read(data / "population.json"))
        n_members = int(description["n_policies"])
        with np.load(io.BytesIO(_read(data / "population.npz")), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        members = [_read(data / f"member_{k}.zip") for k in range(n_members)]
    except (KeyError, TypeError, ValueError, EOFError, OSError, MemoryError) as error:
        raise ValueError(f"folder {str(folder)!r} is damaged ({type(error).__name__}: {error})") from error
    return Checkpoint(description, arrays, members)


def _pointer(folder: Path) -> dict[str, Any]:
    try:
        pointer = json.loads(_read(folder / POINTER))
        known = pointer["format"] == FORMAT and isinstance(pointer["population"], str)
        # A name and nothing else: it must not lead out of the folder.
        plain = re.fullmatch(r"data-[A-Za-z0-9_]+", pointer["data"]) is not None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes ({error!r})") from error
    if not (known and plain):
        raise ValueError(f"{str(folder / POINTER)!r} is not what Population.save writes here: {pointer}")
    return dict(pointer)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes: too large for what it should hold")
    return path.read_bytes()
