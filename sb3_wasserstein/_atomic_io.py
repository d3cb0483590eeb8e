"""
Files that are there whole or not at all, and files that nobody vouches for.

What is written goes to a temporary name beside its place first, and is moved there in one step: a kill or a full disk leaves
what was there before. What is read is never unpickled, and takes no more memory than its size on the disk justifies.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

#: bytes that a file of arrays may have: more was not written by us
MOST_BYTES = 2**30
#: bytes that any part of an archive may expand to, and how many times its packed size beyond that
PLENTY, LARGEST_RATIO = 2**26, 4
#: what a damaged archive raises when it is read
DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError, TypeError,
    ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """
    :param path: where the file is to be
    :param write: writes it, to the path that it is given
    :raises OSError: if it cannot be written; what was there before stays
    """
    if path.is_symlink():
        path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_model(path: Any, save: Callable[[Any], None]) -> None:
    """
    SB3's ``save`` writes its zip in place, and a kill in the middle leaves half of one. This is the same, whole.

    :param path: as SB3 takes it: a path, with or without ``.zip``, or an open file, which is left to SB3
    :param save: SB3's, of the path that it is given
    """
    plain = isinstance(path, (str, Path))
    target = Path(path) if plain and Path(path).suffix else Path(f"{path}.zip")
    if plain and (target.is_file() or not target.exists()):
        write_whole(target, save)
    else:
        save(path)


def read_bounded(path: Path) -> bytes:
    """
    :param path: of a file
    :return: its content
    :raises ValueError: if it is larger than anything that we write
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} has {size} bytes: too large for what it should hold")
    return path.read_bytes()


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """
    :param content: of an npz file
    :return: its arrays by name
    :raises ValueError: if it is none, holds objects, or declares more than it has; nothing of it is executed
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for part in archive.infolist():
                _check_part(part)
                with archive.open(part) as file:
                    _check_header(part, file)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGED as error:
        raise ValueError(f"not a file of plain arrays ({type(error).__name__}: {error})") from error


def read_tensors(content: bytes) -> Any:
    """
    :param content: what ``torch.save`` wrote: tensors and plain Python
    :return: the same
    :raises ValueError: if it is something else, or declares more than it has; nothing of it is executed
    """
    try:
        # Without this, torch would try its old format, which allocates what a file declares.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for part in archive.infolist():
                _check_part(part)
        found = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        _check_tensors(found, set())
    # The unpickler of weights_only raises an error of pickle's.
    except Exception as error:
        raise ValueError(f"not a file of tensors and plain Python ({type(error).__name__}: {error})") from error
    return found


def _check_part(part: zipfile.ZipInfo) -> None:
    if part.file_size > max(PLENTY, LARGEST_RATIO * part.compress_size):
        raise ValueError(f"{part.filename} would expand from {part.compress_size} to {part.file_size} bytes")


def _check_header(part: zipfile.ZipInfo, file: Any) -> None:
    """numpy makes room for what an array's header declares before it reads on."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{part.filename} holds Python objects, which would have to be unpickled (allow_pickle)")
    if dtype.kind not in "fiub":
        raise ValueError(f"{part.filename} holds {dtype}, where plain numbers are expected")
    if math.prod(shape) * dtype.itemsize > part.file_size:
        raise ValueError(f"{part.filename} declares the shape {shape} in {part.file_size} bytes")


def _check_tensors(value: Any, seen: set[int]) -> None:
    """A tensor may declare any shape over a small storage, with strides of zero: a copy would be as large as it says."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, th.Tensor):
        if value.layout != th.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor declares the shape {tuple(value.shape)} over fewer numbers")
    elif isinstance(value, dict):
        for part in value.values():
            _check_tensors(part, seen)
    elif isinstance(value, (list, tuple, set)):
        for part in value:
            _check_tensors(part, seen)
