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
def test_example(name, words, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    script = ROOT / "examples" / f"{name}.py"
    assert len(script.read_text().splitlines()) < 60
    assert words in run(script, "--quick", "--figure", str(figure))
    assert figure.stat().st_size > 10_000
