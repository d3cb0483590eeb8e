"""Gymnasium environments of the papers; importing this package registers them under ``wasserstein/``."""

from gymnasium.envs.registration import register, registry

from sb3_wasserstein.envs.control import ControlTask, CoupledOscillators, NonlinearRegulator
from sb3_wasserstein.envs.goals import Goals
from sb3_wasserstein.envs.hilly_grid import HEIGHT_MAPS, HillyGrid

for _env in (HillyGrid, Goals, CoupledOscillators, NonlinearRegulator):
    if f"wasserstein/{_env.__name__}-v0" not in registry:
        register(id=f"wasserstein/{_env.__name__}-v0", entry_point=f"{_env.__module__}:{_env.__name__}")

__all__ = ["HEIGHT_MAPS", "ControlTask", "CoupledOscillators", "Goals", "HillyGrid", "NonlinearRegulator"]
