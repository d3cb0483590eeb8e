"""
The tests without optional extras, in an environment that has them all: their packages cannot be imported, here and in
processes that tests start.

    python tools/without.py contrib -- -q -n 2
    python tools/without.py contrib fast figures logging ray zoo -- -q
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: what the package imports of each extra
MODULES = {
    "contrib": ["sb3_contrib"],
    "fast": ["numba"],
    "figures": ["matplotlib"],
    "logging": ["tensorboard", "tqdm", "rich"],
    "ot": ["ot"],
    "ray": ["ray"],
    "zoo": ["rl_zoo3"],
}
#: None in the list of modules: an import fails, and find_spec finds nothing
BLOCK = "import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="+", choices=MODULES)
    ours, pytest_arguments = sys.argv[1:], []
    if "--" in ours:
        cut = ours.index("--")
        ours, pytest_arguments = ours[:cut], ours[cut + 1 :]
    missing = {module for extra in parser.parse_args(ours).extras for module in MODULES[extra]}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(BLOCK.format(missing=missing))
        path = os.pathsep.join([folder, str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        command = [sys.executable, "-m", "pytest", *pytest_arguments]
        raise SystemExit(subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False).returncode)


if __name__ == "__main__":
    main()
