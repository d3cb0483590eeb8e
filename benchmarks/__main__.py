"""
The tables of all claims, worked out from the CSVs; nothing is run.

    python -m benchmarks            # print the claims, and write benchmarks/README.md and docs/results.md
    python -m benchmarks --check    # print them; the exit status is 1 where one of the two says something else
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path

from benchmarks._lib.rows import Row
from benchmarks.claims import CLAIMS, Claim

README = Path(__file__).parent / "README.md"
RESULTS_PAGE = README.parents[1] / "docs" / "results.md"
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

RESULTS_HEAD = """\
# Results

What the package claims, and what was measured. `python -m benchmarks` makes this page from the CSVs in `benchmarks/results`: a
figure counts successes among runs with different seeds, or names the worst case, and "no" says that a claim does not hold.
Each row of a CSV names the command and the commit that made it. `benchmarks/README.md` lists the commands with their CPU time;
`research/measured.md` tells how settings were found, and what was tried in vain.
"""
#: the folders of benchmarks, as the page calls them
THEMES = {
    "attraction": "Attraction", "imitation": "Imitation", "repulsion": "Repulsion", "distance": "Distance",
    "transport": "Transport", "cost": "Cost of training", "flow": "Flow", "wpo": "WPO",
    "integration": "Faults and integration", "mutation": "Tests",
}  # fmt: skip


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


def results_page() -> str:
    """The text of the documentation's page."""
    parts = [RESULTS_HEAD]
    for theme, claims in groupby(CLAIMS, lambda claim: THEMES[claim.arguments.split()[0].split(".")[1]]):
        parts.append(f"\n## {theme}\n\n| claim | holds? | command | commits |\n|---|---|---|---|\n")
        for claim in claims:
            rows = claim.rows()
            parts.append(f"| {claim.text} | {claim.verdict(rows)} | `{claim.arguments}` | {commits(rows)} |\n")
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the pages, and write nothing")
    args = parser.parse_args()
    texts = {README: page(), RESULTS_PAGE: results_page()}
    print(texts[README], end="")
    if args.check:
        return int(any(path.read_text() != text for path, text in texts.items()))
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
