"""Files that are not what they say, and how they have to be refused."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch as th

CLOUD = np.random.default_rng(0).normal(size=(5, 2))
#: what reading a hostile file may take, whatever it declares
BOUND = 2**27


class Trap:
    """Unpickled, it leaves a mark on the disk."""

    def __init__(self, mark) -> None:
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


def bounded(act, words, error=ValueError) -> None:
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
