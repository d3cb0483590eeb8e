"""
The lowest versions that pyproject.toml declares, one line each, as pip reads constraints. torch is left out: its builds differ
by platform, and the oldest have no wheel for every Python.

    python tools/bounds.py > lowest.txt && pip install -c lowest.txt -e '.[test]'
"""

from __future__ import annotations

import re
from pathlib import Path

EXCEPTED = ("torch",)
ROOT = Path(__file__).parents[1]


def lowest(text: str) -> list[str]:
    """
    :param text: of a pyproject.toml
    :return: ``name==version`` of each requirement with a lower bound, sorted
    """
    # By a pattern and not by tomllib, which Python 3.10 does not have.
    found = re.findall(r'"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9][0-9.]*),<[^"]*"', text)
    return sorted({f"{name}=={version}" for name, version in found if name not in (*EXCEPTED, "setuptools")})


if __name__ == "__main__":
    print("\n".join(lowest((ROOT / "pyproject.toml").read_text())))
