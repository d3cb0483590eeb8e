"""The examples as modules: some benchmarks measure exactly what an example shows."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def example(name: str) -> ModuleType:
    """
    :param name: of a file in ``examples/``, without its ending
    :return: the module; what stands under ``__main__`` is not run
    """
    spec = spec_from_file_location(f"example_{name}", Path(__file__).parents[2] / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
