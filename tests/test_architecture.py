"""Data flows one way: the imports say so."""

import ast
from pathlib import Path

import pytest

import sb3_wasserstein

ROOT = Path(sb3_wasserstein.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

#: each may import the ones of a lower number, and its own folder
LEVELS = {
    "checks": -1,
    "files": -1,
    "embeddings": 0,
    "duals": 0,
    "envs": 0,
    "flow": 0,
    "flow/natural": 1,
    "flow/wpo": 2,
    "vec_env": 1,
    "collect": 2,
    "targets": 3,
    "regularised": 4,
    "population": 5,
    "figures": 6,
    "tensorboard": 7,
    "zoo": 7,
    "__init__": 8,
    "__main__": 8,
}


def part_of(module: Path) -> str:
    """The folder; the parts of flow that meet SB3 count by themselves, for its numerics are leaves."""
    for part in ("flow/natural", "flow/wpo"):
        if module.as_posix().startswith(part):
            return part
    return module.parts[0] if len(module.parts) > 1 else module.stem


def imported_by(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module):
    own = part_of(module)
    for name in imported_by(module):
        parts = name.split(".")
        if parts[0] != "sb3_wasserstein" or len(parts) == 1 or parts[1] not in LEVELS:
            continue
        target = part_of(Path(*parts[1:3]))
        target = target if target in LEVELS else parts[1]
        exported = module.name == "__init__.py" and target == "flow/natural"
        assert target == own or exported or LEVELS[target] < LEVELS[own], f"{module} imports {name}"


@pytest.mark.parametrize("part", ["embeddings", "duals", "envs", "flow"])
def test_the_leaves_know_nothing_of_sb3(part):
    for module in MODULES:
        if part_of(module) == part:
            assert not [name for name in imported_by(module) if name.startswith("stable_baselines3")], module


def test_modules_are_small():
    sizes = {module: len((ROOT / module).read_text().splitlines()) for module in MODULES}
    assert {module: size for module, size in sizes.items() if size > 350} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150


def test_optional_packages_are_not_imported_with_the_package():
    for module in MODULES:
        if module.name == "compiled.py":
            # numba's own module: nobody imports it but by name, when numba is there.
            assert all("duals.compiled" not in name for other in MODULES for name in imported_by(other))
            continue
        tree = ast.parse((ROOT / module).read_text())
        top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module.split(".")[0] for node in top if isinstance(node, ast.ImportFrom) and node.module}
        assert not names & {"ot", "matplotlib", "numba", "ray", "sb3_contrib", "rl_zoo3", "tensorboard"}, module


def test_the_flow_comes_only_when_it_is_asked_for():
    for module in MODULES:
        if not part_of(module).startswith("flow"):
            tree = ast.parse((ROOT / module).read_text())
            top = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
            assert not [name for name in top if name.startswith("sb3_wasserstein.flow")], module
    assert sb3_wasserstein.WPO.__name__ == "WPO"
    with pytest.raises(AttributeError, match="no attribute 'SPO'"):
        _ = sb3_wasserstein.SPO
