"""
Do the tests notice? Seeded mutations of `duals/`, `regularised/` and `flow/`, one at a time, each against its mirrored tests.

    python tools/mutation.py [--count 60] [--seed 0] [--out benchmarks/results/mutation.csv]

A mutation turns a comparison or a sign, moves an index by one, or changes a constant. It is written into a copy of the package
in a temporary folder, never into the working tree. A run that fails, or that takes more than 60 seconds of CPU where the
unmutated one takes less than half of that, has caught it. What is in the CSV is not run again. Linux and macOS.
"""

from __future__ import annotations

import argparse
import ast
import copy
import csv
import importlib
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sb3_wasserstein"
FOLDERS = ("duals", "regularised", "flow")
#: CPU seconds of a run
LIMIT = 60
FIELDS = ["folder", "file", "line", "kind", "before", "after", "result"]

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
#: what says something, and computes nothing: messages, annotations, names of types
SILENT = (ast.Raise, ast.JoinedStr, ast.arg, ast.AnnAssign)

#: the tests of a module, where its whole folder would take more than half of the limit; in the order in which they are tried
TESTS = {
    "regularised/shaping": ["test_shaping", "test_truncation", "test_bandit"],
    "regularised/bonus": ["test_shaping", "test_scales", "test_callback"],
    "regularised/window": ["test_units", "test_rollout", "test_scales"],
    "regularised/callback": ["test_units", "test_save_and_load", "test_callback"],
    "regularised/on_policy": ["test_shaping", "test_units", "test_truncation", "test_save_and_load"],
    "regularised/mixin": ["test_bad_input", "test_save_and_load", "test_scales"],
    "regularised/off_policy": ["test_off_policy"],
    "regularised/replay": ["test_off_policy"],
    "regularised/contrib": ["test_contrib"],
    "regularised/algorithms": ["test_zero_coefficient"],
    "flow/wpo": ["test_wpo_identities", "test_wpo"],
    "flow/neural": ["test_natural_gradient"],
    "flow/grid/grid": ["test_grid", "test_derivatives", "test_grid_policy"],
    "flow/particles/langevin": ["test_langevin"],
    "flow/particles/geodesics": ["test_geodesics"],
    "flow/particles/policy": ["test_grid_policy"],
    "flow/particles/problems": ["test_grid_policy", "test_derivatives", "test_solve"],
    "flow": ["test_derivatives", "test_solve", "test_flow_bad_input", "test_geodesics"],
    "duals": [""],
}


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


def drawn(count: int, seed: int) -> list[dict[str, str]]:
    """The mutations: as many of each folder, of its places with equal chances."""
    found = []
    for folder in FOLDERS:
        places = []
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            places += [(path, number) for number, _ in enumerate(sites(tree))]
        for path, number in random.Random(f"{seed} {folder}").sample(places, count // len(FOLDERS)):
            found.append({"folder": folder, **mutated(path, number)[0]})
    return found


def mutated(path: Path, number: int) -> tuple[dict[str, str], str]:
    """A mutation described, and the module's text with it."""
    tree = ast.parse(path.read_text())
    node, kind = list(sites(tree))[number]
    before = ast.unparse(node)
    changed = copy.deepcopy(tree)
    target, _ = list(sites(changed))[number]
    mutate(target, kind)
    line = str(getattr(node, "lineno", 0))
    row = {"file": f"{path.relative_to(PACKAGE).as_posix()}#{number}", "line": line, "kind": kind, "before": before}
    return {**row, "after": ast.unparse(target)}, ast.unparse(changed)


def tests_of(file: str) -> list[Path]:
    """The test files of a module, the nearest first."""
    folder = file.split("/")[0]
    key = file.split("#")[0].removesuffix(".py")
    while key not in TESTS:
        key = key.rsplit("/", 1)[0]
    return [ROOT / "tests" / folder / (f"{name}.py" if name else "") for name in TESTS[key]]


def run(folder: Path, tests: list[Path]) -> tuple[int, float]:
    """pytest on another copy of the package, in a forked process. :return: its exit code (−1: out of time), CPU seconds"""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutation.csv")
    parser.add_argument("--again", action="store_true", help="run the survivors in the CSV again")
    args = parser.parse_args()
    # What every run needs, imported once; the package itself comes from the copy.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    for module in ("gymnasium", "scipy.stats", "stable_baselines3"):
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)
    rows: list[dict[str, str]] = []
    if args.out.exists():
        with args.out.open() as file:
            rows = [row for row in csv.DictReader(file) if not (args.again and row["result"] == "survived")]
    known = {(row["file"], row["before"], row["after"]) for row in rows}
    baseline: dict[tuple[Path, ...], float] = {}
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(PACKAGE, Path(place) / "sb3_wasserstein", ignore=shutil.ignore_patterns("__pycache__"))
        for row in drawn(args.count, args.seed):
            if (row["file"], row["before"], row["after"]) in known:
                continue
            name, number = row["file"].split("#")
            tests = tests_of(row["file"])
            if tuple(tests) not in baseline:
                code, seconds = run(Path(place), tests)
                if code != 0:
                    raise SystemExit(f"the unmutated tests {[str(test) for test in tests]} fail with {code}")
                baseline[tuple(tests)] = seconds
                print(f"unmutated: {seconds:.0f} s of CPU for {[test.name for test in tests]}", flush=True)
            target = Path(place) / "sb3_wasserstein" / name
            target.write_text(mutated(PACKAGE / name, int(number))[1])
            code, seconds = run(Path(place), tests)
            shutil.copy(PACKAGE / name, target)
            if code == 0:
                row["result"] = "survived"
            elif code < 0 and baseline[tuple(tests)] > LIMIT / 2:
                row["result"] = "too slow to tell"
            else:
                row["result"] = "caught"
            rows.append(row)
            print(*row.values(), f"{seconds:.0f} s", flush=True)
            with args.out.open("w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
    caught = sum(row["result"] == "caught" for row in rows)
    print(f"{caught} of {len(rows)} caught ({caught / len(rows):.0%})")
    for row in rows:
        if row["result"] != "caught":
            print(f"  {row['file']} line {row['line']}: {row['before']}  ->  {row['after']}: {row['result']}")


if __name__ == "__main__":
    main()
