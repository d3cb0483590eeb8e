"""The pages, and the blocks of code that stand in them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
#: CONTRIBUTING's blocks are files and lines of the package: test_contributing.py follows them
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
_BLOCK = re.compile(
    r"^(?:<!-- not executed: (?P<reason>[^\n]+?) -->\n)?```(?:python|\{code-cell\}[^\n]*)\n(?P<code>.*?)^```", re.S | re.M
)


class Block(NamedTuple):
    """
    :param code: Python
    :param line: of the page, at which it begins
    :param reason: why it is not executed, None where it is
    """

    code: str
    line: int
    reason: str | None


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks of Python, a notebook's cells among them, in their order."""
    text = page.read_text()
    found = []
    for match in _BLOCK.finditer(text):
        # A cell's options are not Python, nor is what only IPython knows.
        code = re.sub(r"\A(:\w[^\n]*\n)+|^%[^\n]*\n", lambda line: "\n" * line[0].count("\n"), match["code"], flags=re.M)
        found.append(Block(code, text[: match.start("code")].count("\n"), match["reason"]))
    return found
