"""For ``faults.py``, which is still a script of its own."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks._lib.rows import RESULTS, Rows

__all__ = ["RESULTS", "Rows"]
