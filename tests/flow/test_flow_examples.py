"""The examples of the flow run as they are, with --quick."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(script, *arguments):
    """A script with this checkout's package, without a display."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flow_regulator", "Newton: J = 0.01205"),
        ("flow_pendulum", "Pendulum-v1, 5 episodes"),
        ("flow_bandit", "particles ent_coef=auto"),
        ("flow_wall", "right closed"),
    ],
)
def test_example(name, words, tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    script = ROOT / "examples" / f"{name}.py"
    assert len(script.read_text().splitlines()) < 60
    assert words in run(script, "--quick", "--figure", str(figure))
    assert figure.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [("oscillators", ("--only", "natural"), 2), ("wpo", (), 2), ("wpo_wall", (), 4)],
)
def test_resumable_benchmark(name, arguments, count, tmp_path):
    """A second run finds every row in the table and adds none."""
    table = tmp_path / "rows.csv"
    for _ in range(2):
        run(ROOT / "benchmarks" / f"{name}.py", "--quick", "--csv", str(table), *arguments)
        assert len(table.read_text().splitlines()) == 1 + count


@pytest.mark.slow
def test_benchmark(tmp_path):
    table = tmp_path / "flow.csv"
    assert "hold" in run(ROOT / "benchmarks" / "flow.py", "--quick", "--csv", str(table))
    assert len(table.read_text().splitlines()) > 20
