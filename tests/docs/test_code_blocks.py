"""Every block of Python in the pages is executed, as a reader would: in order, in one namespace a page."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
from pages import ALL_PAGES, PAGES, ROOT, blocks_of, name_of

#: what pages may need besides: without one of them they are skipped where they ask for it
EXTRAS = ("sb3_contrib", "matplotlib", "tensorboard", "tqdm", "rich")
#: steps that a page's training is cut to here; `make docs` runs it whole
MOST_STEPS = 8192
WITH_CODE = [page for page in PAGES if blocks_of(page)]
#: what a page's reader sees and should see: rewards that are switched off, a figure without a window
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*FigureCanvasAgg is non-interactive"),
    pytest.mark.filterwarnings("ignore:the returns of the first"),
]


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_code_blocks(page, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    try:
        for block in blocks_of(page):
            if block.reason is None:
                exec(compile("\n" * block.line + shortened(block.code), str(page), "exec"), namespace)
    except ImportError as error:
        if all(find_spec(module) for module in EXTRAS):
            raise
        pytest.skip(str(error))
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def shortened(code):
    """The code with no training of more than ``MOST_STEPS`` steps."""
    return re.sub(r"\.learn\((\d[\d_]*)", lambda match: f".learn({min(int(match[1].replace('_', '')), MOST_STEPS)}", code)


def test_what_is_not_executed_says_why() -> None:
    reasons = {name_of(page): [block.reason for block in blocks_of(page) if block.reason] for page in PAGES}
    assert {page: found for page, found in reasons.items() if found}.keys() == {"docs/guides/ray.md"}
    assert all(len(reason) > 20 for found in reasons.values() for reason in found)


def script_of(page, *numbers):
    """Blocks of a page as a script."""
    return "".join(blocks_of(page)[number].code for number in numbers)


@pytest.mark.parametrize("last", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["process", "ray"])
def test_what_starts_processes_runs_as_a_script(last, tmp_path) -> None:
    """Spawned processes import the script again: it cannot be executed in this one."""
    page = next(page for page in PAGES if page.name == "ray.md")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = tmp_path / "script.py"
    if last == 1:
        script.write_text(script_of(page, 0, 1))
        assert subprocess.run([sys.executable, script], cwd=tmp_path, env=env, timeout=600).returncode == 0
        return
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        script.write_text(script_of(page, 0, 2) + "assert (population.distances == serial).all()\n")
        env["RAY_ADDRESS"] = cluster.address
        assert subprocess.run([sys.executable, script], cwd=tmp_path, env=env, timeout=600).returncode == 0
    finally:
        cluster.shutdown()


def test_no_block_is_overlooked() -> None:
    for page in PAGES:
        fences = re.findall(r"^[ \t]*(?:`{3,}|~{3,}) *\{?(?:python|py|pycon|code-cell)\b", page.read_text(), re.M | re.I)
        assert len(fences) == len(blocks_of(page)), name_of(page)


def test_a_cell_with_options_and_a_block_with_a_reason(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```{code-cell} python\n:tags: [x]\n\na = 1\n```\n<!-- not executed: because -->\n```python\nb\n```\n")
    cell, skipped = blocks_of(page)
    assert (cell.code.strip(), cell.line, cell.reason) == ("a = 1", 1, None)
    assert (skipped.code, skipped.line, skipped.reason) == ("b\n", 7, "because")


def anchors(page):
    """GitHub's slugs of a page's headings, as MyST makes them, too."""
    titles = re.findall(r"^#{1,3} (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_between_pages(page) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)]+)?\)", prose):
        if target.startswith("http"):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor[1:] in anchors(linked), f"{target}{anchor}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_commands_name_what_there_is(page) -> None:
    """Every ``make …``, ``python FILE …`` and extra that a page speaks of exists, and takes the options that are given."""
    text = page.read_text()
    makefile, pyproject = (ROOT / "Makefile").read_text(), (ROOT / "pyproject.toml").read_text()
    for target in re.findall(r"(?:^    |`)make ([a-z][\w-]*)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target}"
    modules = re.findall(r"\bpython -m (benchmarks[\w.]*)((?: [^`\n#|]+)?)", text)
    common = (ROOT / "benchmarks" / "_lib" / "study.py").read_text()
    scripts = [(f"{module.replace('.', '/')}.py", options, common) for module, options in modules if "." in module]
    files = re.findall(r"\bpython ((?:benchmarks|examples|tests)/[\w/]+\.py)((?: [^`\n#|]+)?)", text)
    for script, options, shared in [*scripts, *((name, options, "") for name, options in files)]:
        source = (ROOT / script).read_text() + shared
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in source, f"{script} {option}"
    for extras in re.findall(r"sb3-wasserstein\[([\w,]+)\]", text):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", pyproject, re.M), extra
    for module in re.findall(r"python -m (sb3_wasserstein[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_figures_that_pages_show_are_there() -> None:
    for page in ALL_PAGES:
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / picture).stat().st_size > 5_000, picture
