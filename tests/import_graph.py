"""Which part of the package imports which: ``make graph`` prints it, ``test_architecture.py`` holds it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent / "sb3_wasserstein"
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

#: each may import the ones of a lower number, and its own folder
LEVELS = {
    "_validation": -1,
    "_atomic_io": -1,
    "_numba": -1,
    "_pot": -1,
    "_threads": -1,
    "cloud": 0,
    "embeddings": 0,
    "envs": 0,
    "flow": 0,
    "flow/neural": 1,
    "flow/wpo": 2,
    "transport": 1,
    "duals": 2,
    "recording": 2,
    "targets": 3,
    "figures": 3,
    "report": 4,
    "compare": 5,
    "distance": 6,
    "drift": 6,
    "regularised": 6,
    "population": 7,
    "imitation": 7,
    "tensorboard": 8,
    "zoo": 8,
    "demos": 8,
    "__init__": 9,
    "__main__": 9,
}


def part_of(module: Path) -> str:
    """The folder; the parts of flow that meet SB3 count by themselves, for its numerics are leaves."""
    for part in ("flow/neural", "flow/wpo"):
        if module.as_posix().startswith(part):
            return part
    return module.parts[0] if len(module.parts) > 1 else module.stem


def imported_by(module: Path) -> set[str]:
    """Dotted names of all that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def parts_imported_by(module: Path) -> set[str]:
    """The other parts of the package that a module imports."""
    found = set()
    for name in imported_by(module):
        parts = name.split(".")
        if parts[0] == "sb3_wasserstein" and len(parts) > 1 and parts[1] in LEVELS:
            target = part_of(Path(*parts[1:3]))
            found.add(target if target in LEVELS else parts[1])
    # flow/__init__ is flow's export list: NaturalGradient stands there.
    exported = {"flow/neural"} if module == Path("flow/__init__.py") else set()
    return found - {part_of(module)} - exported


def arrows() -> dict[str, set[str]]:
    """Part: the parts that it imports."""
    found: dict[str, set[str]] = {part: set() for part in LEVELS}
    for module in MODULES:
        found[part_of(module)] |= parts_imported_by(module)
    return found


def sizes() -> dict[Path, int]:
    """Lines of each module."""
    return {module: len((ROOT / module).read_text().splitlines()) for module in MODULES}


def main() -> int:
    wrong = 0
    for part, targets in arrows().items():
        for target in sorted(targets, key=lambda name: (LEVELS[name], name)):
            back = LEVELS[target] >= LEVELS[part]
            wrong += back
            print(f"{part:13} → {target}{'   points the wrong way' if back else ''}")
        if not targets:
            print(f"{part:13}   imports no other part")
    print(f"\n{len(MODULES)} modules, {sum(sizes().values())} lines")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
