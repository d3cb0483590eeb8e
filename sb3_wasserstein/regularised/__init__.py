"""
How behaviour changes learning (S1): the return of an episode becomes R(τ) + λ h(φ(τ)), h from the dual.

:class:`DualCallback` records embeddings and keeps the dual; :class:`WassersteinOnPolicyMixin` adds the bonus to a rollout,
:class:`WassersteinOffPolicyMixin` to what is sampled from a replay buffer.

The lines below are the export list: a population knows an algorithm that stands here as its parent class's.
"""

from sb3_wasserstein.regularised.algorithms import WassersteinA2C as WassersteinA2C
from sb3_wasserstein.regularised.algorithms import WassersteinPPO as WassersteinPPO
from sb3_wasserstein.regularised.algorithms import WassersteinSAC as WassersteinSAC
from sb3_wasserstein.regularised.algorithms import WassersteinTD3 as WassersteinTD3
from sb3_wasserstein.regularised.callback import DualCallback as DualCallback
from sb3_wasserstein.regularised.mixin import WassersteinMixin as WassersteinMixin
from sb3_wasserstein.regularised.off_policy import WassersteinOffPolicyMixin as WassersteinOffPolicyMixin
from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin as WassersteinOnPolicyMixin

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
