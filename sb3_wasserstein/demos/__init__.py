"""
Three things to try: ``python -m sb3_wasserstein demo attract``, ``repel`` or ``flow``.

Each prints what it found, and draws it where matplotlib is installed (extra ``figures``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sb3_wasserstein.demos.attract import attract
from sb3_wasserstein.demos.flow import flow
from sb3_wasserstein.demos.repel import repel

__all__ = ["DEMOS", "attract", "flow", "repel"]

#: name: the demo, called with (out, timesteps, seed), and its default number of steps
DEMOS: dict[str, tuple[Callable[[Path, int, int], None], int]] = {
    "attract": (attract, 120_000),
    "repel": (repel, 61_440),
    "flow": (flow, 20_000),
}
