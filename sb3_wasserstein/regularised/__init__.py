"""
How behaviour changes learning (Abdullah et al. 2018): the return of an episode becomes R(τ) + λ h(φ(τ)), h from the dual.

A :class:`BehaviourTracker` owns what is known of a behaviour: window, target, dual. :class:`DualCallback` hands it the steps
of a training; :class:`WassersteinOnPolicyMixin` adds the bonus to a rollout, :class:`WassersteinOffPolicyMixin` to what is
sampled from a replay buffer.

The lines below are the export list: a population knows an algorithm that stands here as its parent class's.
"""

from sb3_wasserstein.regularised.algorithms import WassersteinA2C as WassersteinA2C
from sb3_wasserstein.regularised.algorithms import WassersteinPPO as WassersteinPPO
from sb3_wasserstein.regularised.algorithms import WassersteinSAC as WassersteinSAC
from sb3_wasserstein.regularised.algorithms import WassersteinTD3 as WassersteinTD3
from sb3_wasserstein.regularised.callback import DualCallback as DualCallback
from sb3_wasserstein.regularised.mixin import WassersteinMixin as WassersteinMixin
from sb3_wasserstein.regularised.multiplier import MultiplierOptions as MultiplierOptions
from sb3_wasserstein.regularised.off_policy import WassersteinOffPolicyMixin as WassersteinOffPolicyMixin
from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin as WassersteinOnPolicyMixin
from sb3_wasserstein.regularised.tracker import BehaviourTracker as BehaviourTracker
from sb3_wasserstein.regularised.tracker import TrackerOptions as TrackerOptions

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
