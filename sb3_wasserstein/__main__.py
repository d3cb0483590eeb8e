"""
What is installed, and three things to try.

    python -m sb3_wasserstein
    python -m sb3_wasserstein demo attract [--timesteps 120000] [--seed 0] [--out runs/attract]
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import torch as th

import sb3_wasserstein
from sb3_wasserstein.demos import DEMOS

PACKAGE = "sb3-wasserstein"
#: what a user has no use for
FOR_DEVELOPERS = ("test", "docs", "dev")
TRY = {
    "attract": "PPO beside WassersteinPPO on a hilly grid; one to two minutes",
    "repel": "two policies, two goals, each to one of its own; half a minute",
    "flow": "the pendulum swung up from its physics, no learning; seconds",
}


def main(arguments: list[str] | None = None) -> int:
    """
    :param arguments: of the command line, None for the process's own
    :return: exit status
    """
    parser = argparse.ArgumentParser(prog="python -m sb3_wasserstein", description="What is installed, and three demos.")
    demo = parser.add_subparsers(dest="command").add_parser("demo", help="one of three things to try")
    demo.add_argument("name", choices=list(DEMOS))
    demo.add_argument("--timesteps", type=int, help="environment steps of each policy")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--out", type=Path, help="folder of what it writes; default runs/NAME")
    args = parser.parse_args(arguments)
    if args.command is None:
        print(about())
        return 0
    run, timesteps = DEMOS[args.name]
    # Small networks: more threads only wait for each other.
    th.set_num_threads(1)
    run(args.out or Path("runs") / args.name, timesteps if args.timesteps is None else args.timesteps, args.seed)
    return 0


def about() -> str:
    """:return: this version, the packages that it works with, and what to try"""
    lines = [f"{PACKAGE} {sb3_wasserstein.__version__} on Python {platform.python_version()}", ""]
    try:
        asked, extras = requires(PACKAGE) or [], metadata(PACKAGE).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        asked, extras = [], []
    lines += [_line(name) for name in (_name(item) for item in asked if "extra ==" not in item)]
    lines += ["", "Extras:"]
    for extra in sorted(set(extras) - set(FOR_DEVELOPERS)):
        names = [_name(item) for item in asked if re.search(rf"extra == ['\"]{extra}['\"]", item)]
        missing = any(_version(name) is None for name in names)
        lines.append(f"  [{extra}]" + (f"  pip install '{PACKAGE}[{extra}]'" if missing else ""))
        lines += [f"  {_line(name)}" for name in names]
    lines += ["", "To try:"]
    lines += [f"  python -m sb3_wasserstein demo {name:8} {what}" for name, what in TRY.items()]
    return "\n".join(lines)


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found.group()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _line(name: str) -> str:
    return f"  {name:18} {_version(name) or 'not installed'}"


if __name__ == "__main__":
    sys.exit(main())
