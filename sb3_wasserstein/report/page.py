"""The report of a comparison: one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_wasserstein._atomic_io import write_whole
from sb3_wasserstein.report.figure import plot_comparison

if TYPE_CHECKING:
    from sb3_wasserstein.compare import Comparison

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
<tr><th>feature</th><th>distance ({unit})</th><th>mean of {a}</th><th>mean of {b}</th></tr>{features}
</table></div>
<p>The distance is a Sinkhorn divergence. It is zero on average where both behaviours are equal; the p-value is that of a
permutation test over whole episodes. The noise of a behaviour is what two halves of its own sample are apart at most, at the
same level.</p>
</body></html>
"""


def write_report(comparison: Comparison, path: str | Path) -> None:
    """
    :param comparison: of two behaviours
    :param path: of the page; what stood there stays if the page cannot be written
    :raises ImportError: without matplotlib; the message names the extra
    :raises OSError: if the file cannot be written
    """
    image = io.BytesIO()
    plot_comparison(comparison).savefig(image, format="png", dpi=110)
    a, b = (html.escape(behaviour.name) for behaviour in comparison.behaviours)
    percent = f"{100 * comparison.level:g} %"
    differ = comparison.p_value < 1.0 - comparison.level
    rows = [
        ("distance", f"{comparison.distance:.3g} {comparison.unit}"),
        (f"{percent} interval", f"{comparison.interval[0]:.3g} to {comparison.interval[1]:.3g}"),
        ("p-value", f"{comparison.p_value:.3g}"),
        (f"noise of {a}", f"{comparison.noise[0]:.3g}"),
        (f"noise of {b}", f"{comparison.noise[1]:.3g}"),
        ("episodes", f"{comparison.n_episodes[0]} and {comparison.n_episodes[1]}"),
    ]
    if None not in comparison.returns:
        rows.append(("mean returns", f"{comparison.returns[0]:.4g} and {comparison.returns[1]:.4g}"))
    page = PAGE.format(
        title=f"{a} and {b}",
        colour="#fde8d8" if differ else "#e3f1e3",
        verdict=f"The behaviours {'differ' if differ else 'cannot be told apart'} (p = {comparison.p_value:.3g}).",
        numbers="".join(f'<tr><th>{name}</th><td class="number">{value}</td></tr>' for name, value in rows),
        figure=base64.b64encode(image.getvalue()).decode(),
        unit=html.escape(comparison.unit),
        a=a,
        b=b,
        features="".join(
            f'<tr><td>{item.feature}</td><td class="number">{item.distance:.3g}</td>'
            f'<td class="number">{item.mean_a:.4g}</td><td class="number">{item.mean_b:.4g}</td></tr>'
            for item in comparison.features[:20]
        ),
    )

    def write(place: Path) -> None:
        place.write_text(page, encoding="utf-8")

    write_whole(Path(path), write)
