"""
The table of all claims, worked out from the CSVs; nothing is run.

    python -m benchmarks            # print it, and write it to benchmarks/README.md
    python -m benchmarks --check    # print it; the exit status is 1 where benchmarks/README.md says something else
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks._lib.rows import Row
from benchmarks.claims import CLAIMS, Claim

README = Path(__file__).parent / "README.md"
HEAD = """\
# Benchmarks

`python -m benchmarks` makes this page from `claims.py` and the CSVs in `results/`; nothing on it is written by hand.

Run a command from the repository's root. Most resume from their CSV, and take `--quick` for a smoke run and `--table` to show
what the CSV holds. Every row of a CSV names the command and the commit that made it; "unknown" stands where that was not
recorded, and a row that is older than today's folders names the command by its present path. CPU minutes are the sum over the
rows, on one thread.

| claim | command | CPU minutes | CSV | commits | holds? |
|---|---|---|---|---|---|
"""


def minutes(claim: Claim, rows: list[Row]) -> str:
    """CPU time of the rows, where each says what it took."""
    spent = [float(row["cpu_s"]) for row in rows if row.get("cpu_s")]
    if spent and len(spent) == len(rows):
        return f"{max(1, round(sum(spent) / 60))}"
    return "unknown" if claim.minutes is None else f"{claim.minutes:g}"


def commits(rows: list[Row]) -> str:
    """Which commits the rows are from."""
    found = dict.fromkeys(row["commit"] or "unknown" for row in rows)
    return ", ".join(found) if len(found) <= 3 else f"{len(found)}, last {list(found)[-1]}"


def line(claim: Claim) -> str:
    """A claim's row of the table."""
    rows = claim.rows()
    csv = f"[{claim.path.name}](results/{claim.path.name})" if rows else "none"
    cells = [claim.text, f"`python -m {claim.arguments}`", minutes(claim, rows), csv, commits(rows), str(claim.verdict(rows))]
    return "| " + " | ".join(cells) + " |"


def page() -> str:
    """The README's text."""
    return HEAD + "\n".join(map(line, CLAIMS)) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the README, and write nothing")
    args = parser.parse_args()
    text = page()
    print(text, end="")
    if args.check:
        return int(README.read_text() != text)
    README.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
