"""The report of a comparison: one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_wasserstein._atomic_io import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 1.5rem; }}
.verdict {{ padding: 0.8rem 1rem; border-radius: 6px; background: {colour}; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ text-align: left; padding: 0.3rem 1rem 0.3rem 0; border-bottom: 1px solid #ddd; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
img {{ max-width: 100%; height: auto; }}
.scroll {{ overflow-x: auto; }}
</style></head><body>
<h1>{title}</h1>
<p class="verdict">{verdict}</p>
<div class="scroll"><table>{numbers}</table></div>
<img src="data:image/png;base64,{figure}"
 alt="Both behaviours in the plane, the coupling between them, and the features that differ most">
<h2>Features, the largest difference first</h2>
<div class="scroll"><table>
<tr>{header}</tr>{table}
</table></div>
<p>The distance is a Sinkhorn divergence. It is zero on average where both behaviours are equal; the p-value is that of a
permutation test over whole episodes. The noise of a behaviour is what two halves of its own sample are apart at most, at the
same level.</p>
</body></html>
"""


def write_page(
    path: str | Path,
    *,
    title: str,
    verdict: str,
    alarming: bool,
    numbers: Mapping[str, str],
    header: Sequence[str],
    table: Sequence[Sequence[str]],
    figure: Figure,
) -> None:
    """
    :param path: of the page; what stood there stays if the page cannot be written
    :param title: of the page, plain text as all that follows
    :param verdict: one sentence
    :param alarming: whether the verdict is set off as a warning
    :param numbers: what is told first, by name
    :param header: of the table
    :param table: its rows
    :param figure: what is drawn between the two
    :raises OSError: if the file cannot be written
    """
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    page = PAGE.format(
        title=html.escape(title),
        colour="#fde8d8" if alarming else "#e3f1e3",
        verdict=html.escape(verdict),
        numbers="".join(f"<tr><th>{html.escape(name)}</th>{_cell(value)}</tr>" for name, value in numbers.items()),
        figure=base64.b64encode(image.getvalue()).decode(),
        header="".join(f"<th>{html.escape(name)}</th>" for name in header),
        table="".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table),
    )

    def write(place: Path) -> None:
        place.write_text(page, encoding="utf-8")

    write_whole(Path(path), write)


def _cell(value: str) -> str:
    return f'<td class="number">{html.escape(value)}</td>'
