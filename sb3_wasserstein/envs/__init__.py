"""Gymnasium environments of the papers; importing this package registers them under ``wasserstein/``."""

from gymnasium.envs.registration import register, registry

from sb3_wasserstein.envs.control import ControlTask
from sb3_wasserstein.envs.coupled_oscillators import CoupledOscillators
from sb3_wasserstein.envs.goals import Goals
from sb3_wasserstein.envs.hilly_grid import HEIGHT_MAPS, HillyGrid
from sb3_wasserstein.envs.nonlinear_regulator import NonlinearRegulator

for _name, _entry in (
    ("HillyGrid", "hilly_grid:HillyGrid"),
    ("Goals", "goals:Goals"),
    ("CoupledOscillators", "coupled_oscillators:CoupledOscillators"),
    ("NonlinearRegulator", "nonlinear_regulator:NonlinearRegulator"),
):
    if f"wasserstein/{_name}-v0" not in registry:
        register(id=f"wasserstein/{_name}-v0", entry_point=f"sb3_wasserstein.envs.{_entry}")

__all__ = ["HEIGHT_MAPS", "ControlTask", "CoupledOscillators", "Goals", "HillyGrid", "NonlinearRegulator"]
