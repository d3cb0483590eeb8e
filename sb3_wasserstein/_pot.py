"""The optional extra ``ot``: POT, which is imported where one of its solvers is asked for."""

from __future__ import annotations

import importlib
from typing import Any


def import_pot(asked_for: str) -> Any:
    """
    :param asked_for: what needs POT, for the error
    :return: POT's module ``ot``
    :raises ImportError: without POT; the message names the extra
    """
    try:
        return importlib.import_module("ot")
    except ImportError as error:
        raise ImportError(f"{asked_for} needs POT: pip install 'sb3-wasserstein[ot]'") from error
