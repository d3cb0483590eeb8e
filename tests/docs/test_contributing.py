"""CONTRIBUTING's three examples, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^(?:`(?P<path>[\w/.]+)`(?P<what>, new| gains))?[^`\n]*:\n\n```python\n(?P<code>.*?)^```", re.S | re.M)


def test_each_takes_one_new_file_and_one_line(tmp_path) -> None:
    shutil.copytree(ROOT / "sb3_wasserstein", tmp_path / "sb3_wasserstein", ignore=shutil.ignore_patterns("__pycache__"))
    script, kinds = [], []
    for block in BLOCK.finditer(PAGE):
        path, code = block["path"], block["code"]
        kinds.append(block["what"])
        if path is None:
            script.append(code)
        elif block["what"] == ", new":
            assert not (tmp_path / path).exists()
            (tmp_path / path).write_text(code)
            assert len(code.splitlines()) <= 40
        else:
            assert code.count("\n") == 1
            lines = (tmp_path / path).read_text().splitlines()
            lines.insert(max(i for i, line in enumerate(lines) if line.startswith("from ")) + 1, code.rstrip())
            (tmp_path / path).write_text("\n".join(lines) + "\n")
    assert kinds == [", new", " gains", None] * 3
    assert PAGE.count("```python") == len(kinds)
    (tmp_path / "follow.py").write_text("\n".join(script))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "follow.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
