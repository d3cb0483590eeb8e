"""Gymnasium environments of the papers; importing this package registers them under ``wasserstein/``."""

from gymnasium.envs.registration import register, registry

from sb3_wasserstein.envs.goals import Goals
from sb3_wasserstein.envs.hilly_grid import HEIGHT_MAPS, HillyGrid

for _name, _entry in (("HillyGrid", "hilly_grid:HillyGrid"), ("Goals", "goals:Goals")):
    if f"wasserstein/{_name}-v0" not in registry:
        register(id=f"wasserstein/{_name}-v0", entry_point=f"sb3_wasserstein.envs.{_entry}")

__all__ = ["HEIGHT_MAPS", "Goals", "HillyGrid"]
