"""What the documentation shows is executed."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_wasserstein

ROOT = Path(__file__).parent.parent
MODULES = [module.name for module in pkgutil.walk_packages(sb3_wasserstein.__path__, "sb3_wasserstein.")]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if "sb3-wasserstein[" not in str(error):
            raise
        pytest.skip(str(error))
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks(page, tmp_path, monkeypatch):
    """The blocks of a page are run in order, in one namespace, as a reader would."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_demo(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--timesteps", "3000", "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for word in (
        "WassersteinPPO",
        "mean return",
        "optimum",
        "distance to target",
        "episodes to the optimum",
        "tensorboard --logdir",
    ):
        assert word in done.stdout
    assert (tmp_path / "demo" / "paths.png").stat().st_size > 10_000


def test_backup_routes():
    command = [sys.executable, str(ROOT / "examples" / "backup_routes.py"), "1024"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unharmed by") == 2


def test_examples_are_short():
    for path in sorted((ROOT / "examples").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 60, path.name
