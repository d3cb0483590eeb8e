"""The algorithms of the package's export list, by name and by parent."""

from __future__ import annotations

import importlib
import inspect

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin


def known_algorithms() -> dict[str, type[WassersteinOnPolicyMixin]]:
    """:return: class name: class"""
    # Here, not above: the package imports what this module reads.
    package = importlib.import_module("sb3_wasserstein.regularised")
    classes = [found for found in (getattr(package, name) for name in package.__all__) if inspect.isclass(found)]
    mixin = WassersteinOnPolicyMixin
    return {found.__name__: found for found in classes if issubclass(found, mixin) and found is not mixin}


def regularised(algorithm: type[OnPolicyAlgorithm]) -> type[WassersteinOnPolicyMixin] | None:
    """
    :param algorithm: one of SB3's, as a class
    :return: the listed class that adds Wasserstein regularisation to it, None where there is none
    """
    return next((found for found in known_algorithms().values() if algorithm in found.__bases__), None)
