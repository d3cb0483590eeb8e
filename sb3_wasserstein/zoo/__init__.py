"""
rl-zoo3 with our algorithms: ``wppo``, ``wa2c``, ``wsac`` and ``wpo``. Needs the extra ``zoo``.

    python -m sb3_wasserstein.zoo train --algo wppo --env CartPole-v1
    python -m sb3_wasserstein.zoo train --algo wppo --env CartPole-v1 \\
        --hyperparams target:"'target.npz'" wasserstein_coef:-1.0

The command takes all of the zoo's arguments. The yml files here hold the zoo's own values for classic control and Box2D, and
ours at their defaults.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sb3_wasserstein.regularised import WassersteinA2C, WassersteinPPO, WassersteinSAC

FOLDER = Path(__file__).parent
#: our names, and whose values they start from
PARENTS = {"wppo": "ppo", "wa2c": "a2c", "wsac": "sac", "wpo": "sac"}
#: those that a target can be given to; off-policy, credit is telescoping
REGULARISED = ("wppo", "wa2c", "wsac")
OFF_POLICY = ("wsac",)


def register() -> None:
    """
    Make rl-zoo3 know our algorithms and how to sample their arguments.

    :raises ImportError: without rl-zoo3; the message names the extra
    """
    try:
        from rl_zoo3 import ALGOS
        from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
    except ImportError as error:
        raise ImportError("the zoo needs rl-zoo3: pip install 'sb3-wasserstein[zoo]'") from error
    wpo = importlib.import_module("sb3_wasserstein.flow.wpo").WPO
    ALGOS.update({"wppo": WassersteinPPO, "wa2c": WassersteinA2C, "wsac": WassersteinSAC, "wpo": wpo})
    for name, parent in PARENTS.items():
        sampler, converter = HYPERPARAMS_SAMPLER[parent], HYPERPARAMS_CONVERTER[parent]
        ours_too = name in REGULARISED
        HYPERPARAMS_SAMPLER[name] = _Sampler(sampler, name not in OFF_POLICY) if ours_too else sampler
        HYPERPARAMS_CONVERTER[name] = _Converter(converter) if ours_too else converter


def config_file(algo: str) -> Path | None:
    """
    :param algo: the zoo's name of an algorithm
    :return: our file of its arguments, None where there is none
    """
    file = FOLDER / f"{algo}.yml"
    return file if file.exists() else None


def ours(log_strength: float, attract: bool, credit: str, log_window: int, epsilon: float) -> dict[str, Any]:
    """
    :param log_strength: log10 of |λ|
    :param attract: whether λ < 0
    :param credit: "default", "terminal" or "episode"
    :param log_window: log2 of the number of episodes
    :param epsilon: ε of the dual, in units of the ground cost
    :return: the arguments that they stand for
    """
    return {
        "wasserstein_coef": (-1.0 if attract else 1.0) * 10.0**log_strength,
        "credit": None if credit == "default" else credit,
        "episode_window": 2**log_window,
        "dual_kwargs": {"epsilon": epsilon},
    }


#: set by the command line: without a target there is nothing of ours to sample; its sign is a choice, not a hyperparameter
sampled = {"with_target": False, "attract": True}
OURS = ("log_strength", "attract", "credit", "log_window", "epsilon")


class _Sampler:
    """The parent's arguments, and ours where there is a target."""

    def __init__(self, parent: Any, any_credit: bool) -> None:
        self._parent = parent
        self._credits = ["default", "terminal", "episode"] if any_credit else ["default"]

    def __call__(self, trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = dict(self._parent(trial, n_actions, n_envs, additional_args))
        if sampled["with_target"]:
            found |= ours(
                trial.suggest_float("log_strength", -1.0, 1.0),
                trial.suggest_categorical("attract", [sampled["attract"]]),
                trial.suggest_categorical("credit", self._credits),
                trial.suggest_int("log_window", 5, 9),
                trial.suggest_float("epsilon", 0.01, 0.5, log=True),
            )
        return found


class _Converter:
    """What a study has stored, back to arguments."""

    def __init__(self, parent: Any) -> None:
        self._parent = parent

    def __call__(self, sampled_params: dict[str, Any]) -> dict[str, Any]:
        theirs = {name: value for name, value in sampled_params.items() if name not in OURS}
        found: dict[str, Any] = dict(self._parent(theirs))
        if "log_strength" in sampled_params:
            found |= ours(**{name: sampled_params[name] for name in OURS})
        return found
