"""
Learning from observations alone: a policy is drawn to the law of the states in demonstrations, whose actions are unknown.

:class:`ImitationPPO` puts together what the other modules are: :class:`Demonstrations`, :class:`DemonstrationScaling` and
:class:`InverseModel`. Each of them can be used alone.
"""

from sb3_wasserstein.imitation.cloning import CloningOptions as CloningOptions
from sb3_wasserstein.imitation.demonstrations import Demonstrations as Demonstrations
from sb3_wasserstein.imitation.inverse_model import InverseModel as InverseModel
from sb3_wasserstein.imitation.inverse_model import InverseModelOptions as InverseModelOptions
from sb3_wasserstein.imitation.ppo import ImitationPPO as ImitationPPO
from sb3_wasserstein.imitation.scaling import DemonstrationScaling as DemonstrationScaling

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
