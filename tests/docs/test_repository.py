"""What a public host reads: the version that is cited, and commands that there are."""

import re

from pages import ROOT

import sb3_wasserstein


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {sb3_wasserstein.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_workflow_makes_what_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    targets = {target for line in re.findall(r"run: make (.*)", workflow) for target in line.split()}
    assert {"lint", "type", "graph", "test", "docs"} == targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_the_workflow_tests_the_pythons_that_are_promised() -> None:
    promised = re.findall(r'Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r'"(3\.\d+)"', re.search(r"python-version: \[(.*)\]", workflow)[1]) == promised
