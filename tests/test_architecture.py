"""Data flows one way: the imports say so."""

import ast

import import_graph
import pytest
from import_graph import LEVELS, MODULES, ROOT, imported_by, part_of, parts_imported_by

import sb3_wasserstein


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module) -> None:
    for target in parts_imported_by(module):
        assert LEVELS[target] < LEVELS[part_of(module)], f"{module} imports {target}"


@pytest.mark.parametrize("part", ["embeddings", "transport", "duals", "envs", "flow"])
def test_the_leaves_know_nothing_of_sb3(part) -> None:
    for module in MODULES:
        if part_of(module) == part:
            assert not [name for name in imported_by(module) if name.startswith("stable_baselines3")], module


def test_the_graph_is_printed(capsys, monkeypatch) -> None:
    assert import_graph.main() == 0
    assert "regularised   → targets" in capsys.readouterr().out
    monkeypatch.setitem(LEVELS, "targets", 9)
    assert import_graph.main() == 1
    assert "regularised   → targets   points the wrong way" in capsys.readouterr().out


def test_optional_packages_are_not_imported_with_the_package() -> None:
    for module in MODULES:
        if module.name.startswith(("_kernels", "compiled")):
            # numba's own modules: nobody else imports them but by name, when numba is there.
            others = [other for other in MODULES if not other.name.startswith(("_kernels", "compiled"))]
            assert all({"compiled", "_kernels"}.isdisjoint(name.split(".")) for other in others for name in imported_by(other))
            continue
        tree = ast.parse((ROOT / module).read_text())
        top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module.split(".")[0] for node in top if isinstance(node, ast.ImportFrom) and node.module}
        assert not names & {"ot", "matplotlib", "numba", "ray", "sb3_contrib", "rl_zoo3", "tensorboard"}, module


def test_the_flow_comes_only_when_it_is_asked_for() -> None:
    for module in MODULES:
        if not part_of(module).startswith("flow"):
            tree = ast.parse((ROOT / module).read_text())
            top = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
            assert not [name for name in top if name.startswith("sb3_wasserstein.flow")], module
    assert sb3_wasserstein.WPO.__name__ == "WPO"
    with pytest.raises(AttributeError, match="no attribute 'SPO'"):
        _ = sb3_wasserstein.SPO
