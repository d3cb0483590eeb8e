"""Duals by name, for arguments such as ``dual="sinkhorn"``: those of the package's export list."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from sb3_wasserstein.cloud import ArrayBackend
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.transport.costs import SaturatingCost


def known_duals() -> dict[str, type[Dual]]:
    """:return: name, as in ``dual="sinkhorn"``: class"""
    # Here, not above: the package imports this module for its own list.
    package = importlib.import_module("sb3_wasserstein.duals")
    classes = (getattr(package, name) for name in package.__all__)
    return {
        found.__name__.removesuffix("Dual").lower(): found
        for found in classes
        if inspect.isclass(found) and issubclass(found, Dual) and not inspect.isabstract(found)
    }


def takes_seed(dual: str) -> bool:
    """:return: whether the dual of this name draws samples, with a generator of its own"""
    known = known_duals()
    return dual in known and "seed" in inspect.signature(known[dual]).parameters


def make_dual(dual: str | Dual, dual_kwargs: dict[str, Any] | None = None) -> Dual:
    """
    A dual from its name and constructor arguments; an instance is passed through.

    :param dual: "sinkhorn", "rkhs", "alternating", "semidiscrete", or a ready :class:`Dual`
    :param dual_kwargs: the constructor's arguments, e.g. ``{"epsilon": 0.05, "cost": "euclidean"}``
    :return: the dual
    :raises ValueError: if the name or an argument is unknown, or its value out of range
    :raises TypeError: if an argument has the wrong type, or ``dual_kwargs`` come with an instance

    Example:
        >>> from sb3_wasserstein.duals import make_dual
        >>> make_dual("rkhs", {"epsilon": 0.1, "budget": 64}).budget
        64
    """
    if dual_kwargs is not None and not isinstance(dual_kwargs, dict):
        raise TypeError(f"`dual_kwargs` must be a dict of constructor arguments, got {type(dual_kwargs).__name__}")
    if isinstance(dual, Dual):
        if dual_kwargs:
            raise TypeError(f"`dual_kwargs`={dual_kwargs!r} came with a ready `dual`: give them to its constructor")
        return dual
    duals = known_duals()
    if not isinstance(dual, str):
        raise TypeError(f"`dual` must be one of {', '.join(duals)}, or a Dual, got {type(dual).__name__}")
    if dual not in duals:
        raise ValueError(f"`dual`={dual!r} is unknown: use one of {', '.join(duals)}, or a Dual")
    kwargs = dual_kwargs or {}
    known = list(inspect.signature(duals[dual]).parameters)
    for key in kwargs:
        if key not in known:
            raise ValueError(f"`dual_kwargs` has the unknown key {key!r}: dual={dual!r} takes {', '.join(known)}")
    try:
        return duals[dual](**kwargs)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`dual_kwargs` of dual={dual!r}: {error}") from error


def dual_from_config(config: dict[str, Any]) -> Dual:
    """
    The inverse of :meth:`Dual.config`.

    :param config: class name and constructor arguments, JSON-plain
    :return: a dual that has seen no sample
    :raises ValueError: if the class is unknown, or if the cost was a callable (functions are not saved)

    Example:
        >>> from sb3_wasserstein.duals import SinkhornDual, dual_from_config
        >>> dual_from_config(SinkhornDual(epsilon=0.1).config()).epsilon
        0.1
    """
    if not isinstance(config, dict):
        raise ValueError(f"the dual's config must be a dict, as config() returns it; got {type(config).__name__}")
    classes = {known.__name__: known for known in known_duals().values()}
    name = config.get("class")
    if name not in classes:
        raise ValueError(f"dual {name!r} is not known here (known: {', '.join(classes)}): pass dual= to load()")
    arguments = {key: value for key, value in config.items() if key != "class"}
    cost = arguments.get("cost")
    if isinstance(cost, dict) and isinstance(cost.get("saturating"), str):
        arguments["cost"] = SaturatingCost(cost["saturating"], cost["scale"])
    elif isinstance(cost, dict):
        raise ValueError(f"the dual's cost is a function ({cost}), and functions are not saved: pass dual= with it to load()")
    device = arguments.get("device", "cpu")
    if isinstance(device, str) and not ArrayBackend(device=device).is_available():
        # The device says how to compute: a dual that was saved beside a GPU is the same without.
        arguments["device"] = "cpu"
    try:
        return classes[name](**arguments)
    except TypeError as error:
        raise ValueError(f"the config of a {name} is damaged: {error}") from error
