"""A demo's figure, where matplotlib is there to draw it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(draw: Callable[[], Figure], path: Path, what: str) -> None:
    """
    :param draw: makes the figure
    :param path: of the file; its folder is made
    :param what: what is to be seen on it
    """
    try:
        figure = draw()
    except ImportError as error:
        print(f"No figure of {what}: {error}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"A figure of {what}: {path}")
