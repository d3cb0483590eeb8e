"""
The command line: what is installed, three demos, and the comparison of two saved models.

    python -m sb3_wasserstein
    python -m sb3_wasserstein demo attract [--timesteps 120000] [--seed 0] [--out runs/attract]
    python -m sb3_wasserstein compare a.zip b.zip --env LunarLander-v3 [--algo ppo] [--episodes 100] [--html report.html]
        [--fail-if-different] [--level 0.05]
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import sb3_wasserstein
from sb3_wasserstein.compare import compare
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
    parser = argparse.ArgumentParser(
        prog="python -m sb3_wasserstein", description="Without a command: what is installed, and what to try."
    )
    commands = parser.add_subparsers(dest="command")
    _add_compare(commands.add_parser("compare", help="whether two saved models behave the same"))
    demo = commands.add_parser("demo", help="one of three things to try")
    demo.add_argument("name", choices=list(DEMOS))
    demo.add_argument("--timesteps", type=int, help="environment steps of each policy")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--out", type=Path, help="folder of what it writes; default runs/NAME")
    args = parser.parse_args(arguments)
    if args.command is None:
        print(about())
        return 0
    if args.command == "compare":
        return _compare(args)
    run, timesteps = DEMOS[args.name]
    # Small networks: more threads only wait for each other.
    th.set_num_threads(1)
    run(args.out or Path("runs") / args.name, timesteps if args.timesteps is None else args.timesteps, args.seed)
    return 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run two saved models and test whether they behave the same. Exit status 0, or 1 by --fail-if-different."
    )
    parser.add_argument(
        "a", type=Path, help="zip of a saved model; SB3 unpickles parts of it: compare only models that you trust"
    )
    parser.add_argument("b", type=Path)
    parser.add_argument(
        "--env", required=True, help="environment id, as for gymnasium.make (module:ID imports the module first)"
    )
    parser.add_argument("--algo", default="ppo", help="class that the models were saved from: ppo, sac, tqc, wppo, ...")
    parser.add_argument("--vec-normalize", type=Path, nargs=2, metavar=("A", "B"), help="each model's VecNormalize statistics")
    parser.add_argument("--embedding", default="mean_state", help="what a behaviour is")
    parser.add_argument("--episodes", type=int, default=100, help="number of episodes of each model")
    parser.add_argument("--deterministic", action="store_true", help="let the models act without noise")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--html", type=Path, help="write a report to this file")
    parser.add_argument("--fail-if-different", action="store_true", help="exit with 1 where p is below --level")
    parser.add_argument("--level", type=float, default=0.05, help="level of the test")


def _compare(args: argparse.Namespace) -> int:
    cls = algorithm_class(args.algo)
    models = [cls.load(path, device="cpu") for path in (args.a, args.b)]
    for model, statistics in zip(models, args.vec_normalize or (), strict=False):
        venv = VecNormalize.load(str(statistics), make_vec_env(args.env))
        venv.training = False
        model.set_env(venv)
    found = compare(
        models[0],
        models[1],
        None if args.vec_normalize else args.env,
        embedding=args.embedding,
        n_episodes=args.episodes,
        level=1.0 - args.level,
        seed=args.seed,
        deterministic=args.deterministic,
        names=(args.a.stem, args.b.stem) if args.a.stem != args.b.stem else (str(args.a), str(args.b)),
    )
    print(found)
    if args.html is not None:
        found.report(args.html)
        print(f"report    {args.html}")
    return int(args.fail_if_different and found.p_value < args.level)


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    """
    :param name: of a class of SB3, sb3-contrib or this package, in any case; or the Zoo's name of it (``wppo``, ``ppo_lstm``)
    :return: the class
    :raises ValueError: if there is none; the message lists what is known
    """
    known: dict[str, type[BaseAlgorithm]] = {}
    for module in ("stable_baselines3", "sb3_contrib", "sb3_wasserstein", "sb3_wasserstein.regularised.contrib"):
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        names = (*getattr(found, "__all__", ()), *vars(found))
        classes = [getattr(found, item) for item in names if not item.startswith("_")]
        known |= {item.__name__.lower(): item for item in classes if inspect.isclass(item) and issubclass(item, BaseAlgorithm)}
    short = {"ppo_lstm": "recurrentppo", "ppo_mask": "maskableppo"}
    wanted = short.get(name.lower(), name.lower())
    wanted = wanted if wanted in known else re.sub("^w", "wasserstein", wanted)
    if wanted not in known:
        raise ValueError(f"algo={name!r} is not known here; use one of {sorted(known)}")
    return known[wanted]


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
