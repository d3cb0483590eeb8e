"""
What the package claims, each claim with the script that measures it: ``python -m benchmarks.<folder>.<script>``.

``README.md`` is made by ``python -m benchmarks`` from ``claims.py`` and the CSVs in ``results/``.
"""

import os

# One thread: CPU times are then comparable. The libraries ask the environment once, when numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
