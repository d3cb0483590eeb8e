"""
The global random generators, one state for each member.

SB3 seeds and uses torch's, numpy's and Python's global generators: members that train in turn would consume each other's
numbers, and what one does would depend on who else there is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray


class Generators(NamedTuple):
    """
    :param python: ``random.getstate()``, version and position included
    :param numpy: ``numpy.random.get_state()``
    :param torch: ``torch.get_rng_state()``, and that of the current CUDA device where there is one
    """

    python: tuple[Any, ...]
    numpy: Any
    torch: th.Tensor
    cuda: th.Tensor | None

    @classmethod
    def now(cls) -> Generators:
        """:return: the states that the global generators are in"""
        cuda = th.cuda.get_rng_state() if th.cuda.is_available() else None
        return cls(random.getstate(), np.random.get_state(), th.get_rng_state(), cuda)  # noqa: NPY002

    def restore(self) -> None:
        """Put the global generators into these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        th.set_rng_state(self.torch)
        if self.cuda is not None:
            th.cuda.set_rng_state(self.cuda)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """:return: the CPU's states as arrays, for an npz"""
        version, numbers, gauss = self.python
        name, keys, position, has_gauss, cached = self.numpy
        assert name == "MT19937"
        return {
            "python": np.array([version, *numbers], dtype=np.uint64),
            "python_gauss": np.array([] if gauss is None else [gauss]),
            "numpy_keys": keys,
            "numpy_rest": np.array([position, has_gauss, cached], dtype=np.float64),
            "torch": self.torch.numpy(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Generators:
        """
        :param arrays: from :meth:`arrays`
        :raises ValueError: if no generator takes them
        """
        outside = cls.now()
        try:
            version, *numbers = (int(value) for value in arrays["python"])
            gauss = arrays["python_gauss"]
            position, has_gauss, cached = arrays["numpy_rest"]
            python = (version, tuple(numbers), float(gauss[0]) if len(gauss) else None)
            numpy = ("MT19937", arrays["numpy_keys"], int(position), int(has_gauss), float(cached))
            found = cls(python, numpy, th.from_numpy(arrays["torch"].copy()), None)
            found.restore()
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the states of the random generators are damaged: {error!r}") from error
        finally:
            outside.restore()
        return found


class OwnGenerators:
    """A member's states, put in place while it works and taken out again afterwards."""

    def __init__(self) -> None:
        self.state = Generators.now()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within, the global generators are this member's."""
        outside = Generators.now()
        self.state.restore()
        try:
            yield
        finally:
            self.state = Generators.now()
            outside.restore()
