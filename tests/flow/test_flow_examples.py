"""The two examples of the flow run as they are, with --quick."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "words"), [("flow_regulator", "Newton: J = 0.01205"), ("flow_pendulum", "Pendulum-v1, 5 episodes")]
)
def test_example(name, words, tmp_path):
    figure = tmp_path / "figure.png"
    script = ROOT / "examples" / f"{name}.py"
    assert len(script.read_text().splitlines()) < 60
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, str(script), "--quick", "--figure", str(figure)],
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert words in run.stdout
    assert figure.stat().st_size > 10_000
