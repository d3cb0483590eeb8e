"""
Stable-Baselines3's own tests that use PPO or A2C: with its own classes, and with WassersteinPPO and WassersteinA2C in their
place, at λ = 0, and at λ = 0.1 with a target that fits every environment (the episode's length). And those that use SAC,
or TD3, with WPO in its place.

    python -m benchmarks.integration.sb3_suite [--modes parent zero shaped] [pytest's arguments]
    python -m benchmarks.integration.sb3_suite --replaced SAC --out wpo_suite.csv     # or TD3

The tests come from the source distribution of the installed version, which pip downloads; nothing of them is kept here. What
passes with SB3's own classes has to pass with ours. The same file is the pytest plugin that puts our classes in place.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import stable_baselines3

from benchmarks._lib.rows import write

MODES = {"parent": "SB3's own", "zero": "λ = 0", "shaped": "λ = 0.1", "wpo": "WPO"}
#: whose tests -> what stands in their place
REPLACED = {"PPO,A2C": ["parent", "zero", "shaped"], "SAC": ["parent", "wpo"], "TD3": ["parent", "wpo"]}
#: node id of a test that is excepted -> why
EXCEPTIONS: dict[str, str] = {
    **dict.fromkeys(
        [
            "tests/test_train_eval_mode.py::test_td3_train_with_batch_norm",
            "tests/test_train_eval_mode.py::test_offpolicy_collect_rollout_batch_norm[TD3]",
            "tests/test_train_eval_mode.py::test_predict_with_dropout_batch_norm[Pendulum-v1-TD3]",
        ],
        "reads the target actor, which WPO has with `prox` only",
    ),
    **{
        f"tests/test_cnn.py::test_features_extractor_target_net[{share}-TD3]": "passes policy_delay" for share in (True, False)
    },
}
ALGORITHMS = {"A2C", "DDPG", "DQN", "PPO", "SAC", "TD3", "HerReplayBuffer"}

results: dict[str, str] = {}


def length(trajectory: Any) -> list[int]:
    return [len(trajectory)]


def replaced() -> set[str]:
    return set(os.environ.get("SB3_SUITE_REPLACED", "PPO,A2C").split(","))


def substituted(mode: str) -> dict[str, type]:
    """The classes that stand where SB3's stood."""
    from sb3_wasserstein import WPO, WassersteinA2C, WassersteinPPO
    from sb3_wasserstein.embeddings import FunctionEmbedding

    def standing_for(name: str, cls: Any, ours: dict[str, Any]) -> type:
        class Substitute(cls):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                # load() sets the saved values after these.
                super().__init__(*args, **{**ours, **kwargs})

        # Messages that name the class are compared too.
        Substitute.__name__ = Substitute.__qualname__ = name
        return Substitute

    shaped = {"embedding": FunctionEmbedding(length, 1), "target": [[20.0], [40.0]], "wasserstein_coef": 0.1}
    ours = shaped if mode == "shaped" else {}
    classes = {"PPO": WassersteinPPO, "A2C": WassersteinA2C, "SAC": WPO, "TD3": WPO}
    return {name: standing_for(name, classes[name], ours) for name in replaced()}


def pytest_configure(config: pytest.Config) -> None:
    mode = os.environ.get("SB3_SUITE_MODE", "parent")
    if mode != "parent":
        for name, cls in substituted(mode).items():
            setattr(stable_baselines3, name, cls)


def uses_what_is_replaced(item: Any) -> bool:
    """A test that is parametrised by algorithms uses the one that it got; another one says so in its source."""
    names = []
    for value in item.callspec.params.values() if hasattr(item, "callspec") else []:
        for part in value if isinstance(value, (list, tuple)) else [value]:
            names += (
                [base.__name__ for base in part.__mro__] if inspect.isclass(part) else [part] if isinstance(part, str) else []
            )
    if replaced() & set(names):
        return True
    if (ALGORITHMS - replaced()) & set(names):
        return False
    source = inspect.getsource(item.function)
    return any(name in source for name in replaced())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = [item for item in items if uses_what_is_replaced(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        # An error in setup or teardown counts; a skip in setup too.
        results[report.nodeid] = "failed" if results.get(report.nodeid) == "failed" else report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if out := os.environ.get("SB3_SUITE_OUT"):
        Path(out).write_text(json.dumps(results))


def downloaded(folder: Path) -> Path:
    """The tests of the installed version, unpacked; without the package beside them, which would be imported instead."""
    name = f"stable_baselines3-{version('stable-baselines3')}"
    if not (folder / name / "tests").is_dir():
        requirement = name.replace("stable_baselines3-", "stable-baselines3==")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "stable-baselines3"]
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([*pip, "--dest", str(folder), requirement], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            wanted = [member for member in archive if "/tests/" in member.name or member.name.endswith("/pyproject.toml")]
            archive.extractall(folder, wanted, filter="data")
    return folder / name


def run(mode: str, names: str, source: Path, arguments: list[str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "results.json"
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "SB3_SUITE_REPLACED": names, "SB3_SUITE_MODE": mode, "SB3_SUITE_OUT": str(out)}
        environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "pytest", "-q", "-p", __spec__.name, "-p", "no:cacheprovider"]
        command += ["--continue-on-collection-errors", "tests"]
        subprocess.run([*command, *arguments], cwd=source, env=environment, check=False)
        return json.loads(out.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replaced", default="PPO,A2C", choices=list(REPLACED), help="whose tests")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), help="what stands in their place; default: all that can")
    parser.add_argument("--folder", type=Path, default=Path("runs/sb3_suite"), help="where the source distribution goes")
    parser.add_argument("--out", type=Path, help="a CSV of every test's outcome")
    args, arguments = parser.parse_known_args()
    modes = args.modes or REPLACED[args.replaced]
    source = downloaded(args.folder.resolve())
    outcomes = {mode: run(mode, args.replaced, source, arguments) for mode in modes}
    for mode, found in outcomes.items():
        counts = {outcome: list(found.values()).count(outcome) for outcome in ("passed", "failed", "skipped")}
        print(f"{MODES[mode]:10s}", "  ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    if args.out:
        tests = sorted(set().union(*outcomes.values()))
        write(args.out, [{"test": test} | {mode: outcomes[mode].get(test, "") for mode in modes} for test in tests])
    good = {test for test, outcome in outcomes.get("parent", {}).items() if outcome == "passed"}
    missed = 0
    for mode in modes:
        for test in sorted(good):
            if outcomes[mode].get(test) != "passed":
                reason = EXCEPTIONS.get(test)
                missed += reason is None
                print(
                    f"{MODES[mode]}: {test} {outcomes[mode].get(test, 'not run')}", f"(excepted: {reason})" if reason else ""
                )
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
