"""No test without an assertion that can fail."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: what fails by itself, by the name that is called
ASSERTING = {"raises", "warns", "fail", "deprecated_call", "check_call", "check_env"}
ASSERTING_PREFIXES = ("assert_", "check_", "_check")
#: tests that fail by an error alone: what they run checks itself
BY_ERROR = {"test_walls_of_the_physics_are_no_leak", "test_code_blocks"}


def called(node: ast.AST) -> set[str]:
    """The names of all that is called within."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            names.add(inner.func.attr if isinstance(inner.func, ast.Attribute) else getattr(inner.func, "id", ""))
    return names


def asserts(function: ast.AST, helpers: dict[str, ast.AST], seen: frozenset[str] = frozenset()) -> bool:
    """Whether something in it, or in a helper that it calls, can fail."""
    if any(isinstance(inner, ast.Assert) for inner in ast.walk(function)):
        return True
    names = called(function)
    if names & ASSERTING or any(name.startswith(ASSERTING_PREFIXES) for name in names):
        return True
    return any(asserts(helpers[name], helpers, seen | {name}) for name in names & helpers.keys() - seen)


def functions(text: str) -> dict[str, ast.AST]:
    return {node.name: node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}


HELPERS = {name: node for path in TESTS.rglob("*.py") for name, node in functions(path.read_text()).items()}


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_every_test_can_fail(path) -> None:
    idle = [
        name
        for name, node in functions(path.read_text()).items()
        if name.startswith("test_") and name not in BY_ERROR and not asserts(node, HELPERS)
    ]
    assert not idle, f"tests without an assertion: {idle}"


def test_the_check_sees_an_idle_test() -> None:
    """The check itself can fail."""
    idle = functions("def test_nothing():\n    helper()\n\ndef helper():\n    return 1\n\ndef test_it():\n    assert helper()")
    assert not asserts(idle["test_nothing"], idle)
    assert asserts(idle["test_it"], idle)
