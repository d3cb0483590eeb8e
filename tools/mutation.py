"""
Do the tests notice? Seeded mutations of the package, one at a time, each against its mirrored tests.

    python -m tools.mutation [--folders population transport] [--count 20] [--seed 0]

A mutation turns a comparison or a sign, moves an index by one, or changes a constant. It is written into a copy of the package
in a temporary folder, never into the working tree. A run that fails, or that takes more than ``--limit`` seconds of CPU where
the unmutated one takes less than half of that, has caught it. What is in the CSV is not run again; a row whose place is no
longer in the code goes. The column "note" is filled in by hand: why a survivor changes nothing. Linux and macOS.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks._lib.rows import RESULTS, Row, Rows, read, save
from benchmarks._lib.study import report

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sb3_wasserstein"
TESTED = ROOT / "tests"

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
#: what says something, and computes nothing: messages, annotations, names of types
SILENT = (ast.Raise, ast.JoinedStr, ast.arg, ast.AnnAssign)

#: by folder or module, the tests that mirror it, in the order in which they are tried; the longest name counts
TESTS = {
    "duals": ["duals"],
    "transport": ["transport", "duals/test_sinkhorn.py"],
    "embeddings": ["embeddings", "recording/test_wrapper_and_recorder.py"],
    "recording": ["recording"],
    "envs": ["envs"],
    "population": ["population/test_exchange.py", "population/test_pairwise.py", "population/test_population.py"],
    "population/checkpoint": ["population/test_checkpoint.py"],
    "population/executors": ["population/test_executors.py"],
    "regularised": ["regularised/test_units.py", "regularised/test_scales.py", "regularised/test_save_and_load.py"],
    "regularised/callback": ["regularised/test_units.py", "regularised/test_save_and_load.py", "regularised/test_callback.py"],
    "regularised/credit": ["regularised/test_credit.py", "regularised/test_truncation.py", "regularised/test_bandit.py"],
    "regularised/window": ["regularised/test_units.py", "regularised/test_rollout.py", "regularised/test_scales.py"],
    "regularised/on_policy": ["regularised/test_credit.py", "regularised/test_units.py", "regularised/test_truncation.py"],
    "regularised/mixin": ["regularised/test_bad_input.py", "regularised/test_save_and_load.py", "regularised/test_scales.py"],
    "regularised/off_policy": ["regularised/test_off_policy.py"],
    "regularised/replay": ["regularised/test_off_policy.py"],
    "regularised/contrib": ["regularised/test_contrib.py"],
    "regularised/algorithms": ["regularised/test_zero_coefficient.py"],
    "flow": ["flow/test_derivatives.py", "flow/test_solve.py", "flow/test_geodesics.py"],
    "flow/wpo": ["flow/test_wpo_identities.py", "flow/test_wpo.py"],
    "flow/neural": ["flow/test_natural_gradient.py"],
    "flow/grid/grid": ["flow/test_grid.py", "flow/test_derivatives.py", "flow/test_grid_policy.py"],
    "flow/particles/langevin": ["flow/test_langevin.py"],
    "flow/particles/geodesics": ["flow/test_geodesics.py"],
    "flow/particles/policy": ["flow/test_grid_policy.py"],
    "flow/particles/problems": ["flow/test_grid_policy.py", "flow/test_derivatives.py", "flow/test_solve.py"],
}
FOLDERS = sorted({name.split("/")[0] for name in TESTS})


def sites(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every place that can be mutated, and how; in the order of the text."""

    def walk(node: ast.AST, index: bool) -> Iterator[tuple[ast.AST, str]]:
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(child, SILENT) or name in ("returns", "annotation"):
                    continue
                if isinstance(child, ast.Compare) and type(child.ops[0]) in COMPARISONS:
                    yield child, "comparison"
                elif isinstance(child, ast.BinOp) and type(child.op) in SIGNS:
                    yield child, "sign"
                elif isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.USub):
                    yield child, "minus"
                elif isinstance(child, ast.Constant) and type(child.value) in (int, float):
                    yield child, "index" if index else "constant"
                yield from walk(child, index or name == "slice")

    yield from walk(tree, False)


def mutate(node: ast.AST, kind: str) -> None:
    """Change a place of a tree, in place."""
    if kind == "comparison":
        assert isinstance(node, ast.Compare)
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif kind == "sign":
        assert isinstance(node, ast.BinOp)
        node.op = SIGNS[type(node.op)]()
    elif kind == "minus":
        assert isinstance(node, ast.UnaryOp)
        node.op = ast.UAdd()
    else:
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, (int, float))
        node.value = node.value + 1 if isinstance(node.value, int) else 2 * node.value or 1.0


def drawn(folder: str, count: int, seed: int) -> list[Row]:
    """Mutations of a folder, of its places with equal chances; compiled loops are left out: they are tested uncompiled."""
    modules = [path for path in sorted((PACKAGE / folder).rglob("*.py")) if path.name != "_kernels.py"]
    places = [(path, number) for path in modules for number, _ in enumerate(sites(ast.parse(path.read_text())))]
    chosen = random.Random(f"{seed} {folder}").sample(places, min(count, len(places)))
    return [{"folder": folder, **mutated(path, number)[0]} for path, number in chosen]


def mutated(path: Path, number: int) -> tuple[Row, str]:
    """A mutation described, and the module's text with it."""
    tree = ast.parse(path.read_text())
    node, kind = list(sites(tree))[number]
    before = ast.unparse(node)
    changed = copy.deepcopy(tree)
    target, _ = list(sites(changed))[number]
    mutate(target, kind)
    row = {"file": f"{path.relative_to(PACKAGE).as_posix()}#{number}", "kind": kind, "before": before}
    return {**row, "after": ast.unparse(target)}, ast.unparse(changed)


def is_still_there(row: Row) -> bool:
    """Whether the code still has the place that a row mutates."""
    name, number = row["file"].split("#")
    path = PACKAGE / name
    if not path.exists() or int(number) >= len(list(sites(ast.parse(path.read_text())))):
        return False
    return mutated(path, int(number))[0].items() <= row.items()


def tests_of(file: str) -> list[Path]:
    """The tests of a module, the nearest first."""
    key = file.split("#")[0].removesuffix(".py")
    while key not in TESTS:
        key = key.rsplit("/", 1)[0]
    found = [TESTED / name for name in TESTS[key]]
    missing = [str(path.relative_to(TESTED)) for path in found if not path.exists()]
    if missing:
        raise SystemExit(f"TESTS[{key!r}] names tests that are not there: {missing}")
    return found


def run(folder: Path, tests: list[Path], limit: int) -> tuple[int, float]:
    """pytest on another copy of the package, in a forked process. :return: its exit code (−1: out of time), CPU seconds"""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.chdir(ROOT)
            os.environ["PYTHONPATH"] = str(folder)
            sys.path.insert(0, str(folder))
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=-m 'not slow'"]
            code = int(pytest.main([*options, *map(str, tests)]))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


class Trials:
    """
    Mutations of one copy of the package.

    :param place: a folder for the copy
    :param limit: CPU seconds of a run
    """

    def __init__(self, place: Path, limit: int) -> None:
        self._place, self._limit = place, limit
        self._unmutated: dict[tuple[Path, ...], float] = {}
        shutil.copytree(PACKAGE, place / "sb3_wasserstein", ignore=shutil.ignore_patterns("__pycache__"))

    def __call__(self, file: str) -> dict[str, float | str]:
        """:return: what came of a mutation, and the line that it is on"""
        name, number = file.split("#")
        tests = tests_of(file)
        usual = self._baseline(tests)
        target = self._place / "sb3_wasserstein" / name
        text = mutated(PACKAGE / name, int(number))[1]
        node = list(sites(ast.parse((PACKAGE / name).read_text())))[int(number)][0]
        target.write_text(text)
        try:
            code, _ = run(self._place, tests, self._limit)
        finally:
            shutil.copy(PACKAGE / name, target)
        result = "survived" if code == 0 else "caught"
        if code < 0 and usual > self._limit / 2:
            result = "too slow to tell"
        return {"line": str(getattr(node, "lineno", 0)), "result": result}

    def _baseline(self, tests: list[Path]) -> float:
        """CPU seconds of the tests on the package as it is."""
        key = tuple(tests)
        if key not in self._unmutated:
            code, self._unmutated[key] = run(self._place, tests, self._limit)
            if code != 0:
                raise SystemExit(f"the unmutated tests {[str(test.relative_to(TESTED)) for test in tests]} fail with {code}")
        return self._unmutated[key]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", nargs="+", choices=FOLDERS, default=FOLDERS)
    parser.add_argument("--count", type=int, default=20, help="of each folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=120, help="CPU seconds of a run")
    parser.add_argument("--out", type=Path, default=RESULTS / "mutation.csv")
    parser.add_argument("--again", action="store_true", help="run the survivors in the CSV again, those with a note excepted")
    args = parser.parse_args()
    # What every run needs, imported once; the package itself comes from the copy.
    for module in ("gymnasium", "scipy.stats", "stable_baselines3"):
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)
    kept = [row for row in read(args.out) if is_still_there(row)]
    save(args.out, [row for row in kept if not (args.again and row["result"] == "survived" and not row["note"])])
    rows = Rows(args.out, ["folder", "file", "kind", "before", "after"], ["line", "result", "note"])
    with tempfile.TemporaryDirectory() as place:
        trials = Trials(Path(place), args.limit)
        for folder in args.folders:
            for row in drawn(folder, args.count, args.seed):
                rows.add(row, partial(trials, row["file"]))
    for row in rows.where(result="survived"):
        print(f"  {row['file']} line {row['line']}: {row['before']}  ->  {row['after']}  {row['note']}")
    return report("mutation", rows.rows)


if __name__ == "__main__":
    sys.exit(main())
