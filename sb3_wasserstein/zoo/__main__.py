"""rl-zoo3's scripts with our algorithms: ``python -m sb3_wasserstein.zoo train --algo wppo --env CartPole-v1``."""

from __future__ import annotations

import argparse
import importlib
import sys

import sb3_wasserstein.envs  # noqa: F401 - our environments' names
from sb3_wasserstein import zoo

SCRIPTS = ("train", "enjoy")


def main() -> None:
    """Complete the zoo's arguments, then run its script."""
    if sys.argv[1:2] not in [[script] for script in SCRIPTS]:
        raise SystemExit(f"python -m sb3_wasserstein.zoo {{{','.join(SCRIPTS)}}} and rl-zoo3's own arguments")
    script = sys.argv.pop(1)
    zoo.register()
    store = importlib.import_module("rl_zoo3.utils").StoreDict
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algo")
    parser.add_argument("-conf", "--conf-file")
    parser.add_argument("-params", "--hyperparams", nargs="+", action=store, default={})
    known, _ = parser.parse_known_args()
    file = zoo.config_file(known.algo or "")
    if script == "train" and known.conf_file is None and file is not None:
        sys.argv += ["--conf-file", str(file)]
    hyperparams = known.hyperparams or {}
    zoo.sampled["with_target"] = hyperparams.get("target") is not None
    zoo.sampled["attract"] = hyperparams.get("wasserstein_coef", -1.0) <= 0
    getattr(importlib.import_module(f"rl_zoo3.{script}"), script)()


if __name__ == "__main__":
    main()
