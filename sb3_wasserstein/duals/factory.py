"""Duals by name, for arguments such as ``dual="sinkhorn"``."""

from __future__ import annotations

import inspect
from typing import Any

from sb3_wasserstein.duals.alternating import AlternatingDual
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.duals.costs import SaturatingCost
from sb3_wasserstein.duals.rkhs import RKHSDual
from sb3_wasserstein.duals.semidiscrete import SemiDiscreteDual
from sb3_wasserstein.duals.sinkhorn import SinkhornDual

DUALS: dict[str, type[Dual]] = {
    "sinkhorn": SinkhornDual,
    "rkhs": RKHSDual,
    "alternating": AlternatingDual,
    "semidiscrete": SemiDiscreteDual,
}


def make_dual(dual: str | Dual, dual_kwargs: dict[str, Any] | None = None) -> Dual:
    """
    A dual from its name and constructor arguments; an instance is passed through.

    :param dual: "sinkhorn", "rkhs", "alternating", "semidiscrete", or a ready :class:`Dual`
    :param dual_kwargs: the constructor's arguments, e.g. ``{"epsilon": 0.05, "cost": "euclidean"}``
    :return: the dual
    :raises ValueError: if the name or an argument is unknown, or its value out of range
    :raises TypeError: if an argument has the wrong type, or ``dual_kwargs`` come with an instance
    """
    if dual_kwargs is not None and not isinstance(dual_kwargs, dict):
        raise TypeError(f"`dual_kwargs` must be a dict of constructor arguments, got {type(dual_kwargs).__name__}")
    if isinstance(dual, Dual):
        if dual_kwargs:
            raise TypeError(f"`dual_kwargs`={dual_kwargs!r} came with a ready `dual`: give them to its constructor")
        return dual
    if not isinstance(dual, str):
        raise TypeError(f"`dual` must be one of {', '.join(DUALS)}, or a Dual, got {type(dual).__name__}")
    if dual not in DUALS:
        raise ValueError(f"`dual`={dual!r} is unknown: use one of {', '.join(DUALS)}, or a Dual")
    kwargs = dual_kwargs or {}
    known = list(inspect.signature(DUALS[dual]).parameters)
    for key in kwargs:
        if key not in known:
            raise ValueError(f"`dual_kwargs` has the unknown key {key!r}: dual={dual!r} takes {', '.join(known)}")
    try:
        return DUALS[dual](**kwargs)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`dual_kwargs` of dual={dual!r}: {error}") from error


def dual_from_config(config: dict[str, Any]) -> Dual:
    """
    The inverse of :meth:`Dual.config`.

    :param config: class name and constructor arguments, JSON-plain
    :return: a dual that has seen no sample
    :raises ValueError: if the class is unknown, or if the cost was a callable (functions are not saved)
    """
    if not isinstance(config, dict):
        raise ValueError(f"the dual's config must be a dict, as config() returns it; got {type(config).__name__}")
    classes = {known.__name__: known for known in DUALS.values()}
    name = config.get("class")
    if name not in classes:
        raise ValueError(f"dual {name!r} is not known here (known: {', '.join(classes)}): pass dual= to load()")
    arguments = {key: value for key, value in config.items() if key != "class"}
    cost = arguments.get("cost")
    if isinstance(cost, dict) and isinstance(cost.get("saturating"), str):
        arguments["cost"] = SaturatingCost(cost["saturating"], cost["scale"])
    elif isinstance(cost, dict):
        raise ValueError(f"the dual's cost is a function ({cost}), and functions are not saved: pass dual= with it to load()")
    try:
        return classes[name](**arguments)
    except TypeError as error:
        raise ValueError(f"the config of a {name} is damaged: {error}") from error
