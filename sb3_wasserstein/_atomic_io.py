"""
Files that are whole or absent, and files of unknown origin.

What is written goes to a temporary name beside its place first, and is moved there in one step: a kill or a full disk leaves
what was there before. What is read executes nothing, and takes no more memory than the file's size justifies: there is no
other bound, so that whatever could be written can be read.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import re
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

#: what a damaged archive raises when it is read
DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError, TypeError,
    ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
#: the parts of an archive that torch.save writes
TORCH_PARTS = r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)"
#: the instructions in torch.save's pickle of tensors, numbers, texts and the containers of these: those of numbers, and others
TORCH_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
TORCH_OTHERS = {
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "NONE", "NEWTRUE", "NEWFALSE", "BINUNICODE",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
    "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
}  # fmt: skip
#: the names that this pickle may look up
TORCH_NAMES = r"torch [A-Za-z0-9]+Storage|torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict"


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """
    :param path: where the file is to be
    :param write: writes the file, to the path that it is given
    :raises OSError: if the file cannot be written; what was there before stays
    """
    if path.is_symlink():
        path = path.resolve()
    # A name of its own for each call: another process or thread may save to the same path at the same time.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
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
    SB3's ``save`` writes its zip in place, and a kill in the middle leaves half of one. This function leaves a whole one.

    :param path: as SB3 takes it: a path, with or without ``.zip``, or an open file, which is left to SB3
    :param save: SB3's, of the path that it is given
    """
    plain = isinstance(path, (str, Path))
    target = Path(path) if plain and Path(path).suffix else Path(f"{path}.zip")
    if plain and (target.is_file() or not target.exists()):
        write_whole(target, save)
    else:
        save(path)


def read_small(path: Path, most: int) -> bytes:
    """
    :param path: of a file
    :param most: bytes that the file may have
    :return: its content
    :raises ValueError: if the file is larger, or no regular file
    """
    _check_regular(path)
    if path.stat().st_size > most:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, more than the {most} that it may have")
    return path.read_bytes()


def read_bounded(path: Path) -> bytes:
    """
    :param path: of an archive: an npz file, or what ``torch.save`` or SB3 wrote
    :return: its content
    :raises ValueError: if the file is no archive, or its parts would expand to more than the file's size justifies
    """
    _check_regular(path)
    with path.open("rb") as file:
        _parts(file, ".*")
        file.seek(0)
        return file.read()


def read_arrays(content: bytes, names: str = ".*") -> dict[str, NDArray[Any]]:
    """
    :param content: of an npz file
    :param names: a regular expression of the names that its arrays may have
    :return: its arrays by name
    :raises ValueError: if the content is no npz file, holds objects or other names, or declares more than it has
    """
    try:
        file = io.BytesIO(content)
        parts = _parts(file, rf"({names})\.npy")
        with zipfile.ZipFile(file) as archive:
            for part in parts:
                with archive.open(part) as array:
                    _check_header(part, array)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGED as error:
        raise ValueError(f"not a file of plain arrays ({type(error).__name__}: {error})") from error


def read_tensors(content: bytes) -> Any:
    """
    :param content: what ``torch.save`` wrote: tensors and plain Python
    :return: the same
    :raises ValueError: if the content is something else, or declares more than it has
    """
    try:
        # torch would also read its old format, which is no archive and allocates what a file declares.
        check_tensors(content)
        found = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        _check_shapes(found, set())
    # The unpickler of weights_only raises an error of pickle's.
    except Exception as error:
        raise ValueError(f"not a file of tensors and plain Python ({type(error).__name__}: {error})") from error
    return found


def check_tensors(content: bytes) -> None:
    """
    ``weights_only=True`` executes nothing of a file's own, but makes room for what it asks for, such as ``bytearray(10**10)``.

    :param content: what ``torch.save`` wrote
    :raises ValueError: if the content is no archive, or its pickle does anything but put tensors, numbers and texts together
    """
    file = io.BytesIO(content)
    parts = [part for part in _parts(file, TORCH_PARTS) if part.filename.endswith("data.pkl")]
    with zipfile.ZipFile(file) as archive:
        if any(part.file_size > len(content) for part in parts):
            raise ValueError("its pickle is larger than the file")
        n_others = 0
        for opcode, argument, _ in (step for part in parts for step in pickletools.genops(archive.read(part))):
            n_others += opcode.name not in TORCH_NUMBERS
            known = opcode.name in TORCH_OTHERS | TORCH_NUMBERS
            if not known or (opcode.name == "GLOBAL" and not re.fullmatch(TORCH_NAMES, str(argument))):
                raise ValueError(f"its pickle asks for {opcode.name} {argument!r:.80}")
            # One byte of a pickle makes a container of 72, or an entry of the memo.
            if n_others > 2**18:
                raise ValueError("its pickle has too many parts")


def check_model(content: bytes) -> None:
    """
    :param content: a model as SB3 saves it
    :raises ValueError: if the content is no archive, or would take more memory than its size justifies. What SB3 unpickles of
        a model is not looked into: load only models from a source that you trust
    """
    try:
        file = io.BytesIO(content)
        parts = _parts(file, ".*")
        with zipfile.ZipFile(file) as archive:
            for part in parts:
                if part.filename.endswith(".pth"):
                    check_tensors(archive.read(part))
    except DAMAGED as error:
        raise ValueError(f"not a model that SB3 saved ({type(error).__name__}: {error})") from error


def _check_regular(path: Path) -> None:
    """A device, such as /dev/zero, has no end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no regular file")


def _parts(file: Any, names: str) -> list[zipfile.ZipInfo]:
    """
    An archive's parts. All that is saved here is stored without compression, so that the parts together are smaller than the
    file; a small file may be compressed.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    blocks: Iterator[bytes] = iter(lambda: file.read(2**20), b"")
    # zipfile makes an object of 600 bytes of each entry of the archive's directory, which this signature begins.
    entries = sum(block.count(b"PK\x01\x02") for block in blocks)
    if entries > 2**16:
        raise ValueError(f"it has {entries} parts")
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except DAMAGED as error:
        raise ValueError(f"it is no whole archive ({error})") from error
    unknown = [part.filename for part in parts if not re.fullmatch(names, part.filename)]
    if unknown:
        raise ValueError(f"it holds {unknown[0]!r:.80}, which is not expected there")
    expanded = sum(part.file_size for part in parts)
    if expanded > max(size, 2**26):
        raise ValueError(f"its parts would expand from {size} to {expanded} bytes")
    return parts


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


def _check_shapes(value: Any, known: set[int]) -> None:
    """A tensor may declare any shape over a small storage, with strides of zero: a copy would be as large as it says."""
    if id(value) in known:
        return
    known.add(id(value))
    if isinstance(value, th.Tensor):
        if value.layout != th.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor declares the shape {tuple(value.shape)} over fewer numbers")
    elif isinstance(value, dict):
        for part in value.values():
            _check_shapes(part, known)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_shapes(part, known)
