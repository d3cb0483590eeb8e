"""
How behaviour changes learning (S1): the return of an episode becomes R(τ) + λ h(φ(τ)), h from the dual.

:class:`DualCallback` records embeddings and keeps the dual; :class:`WassersteinOnPolicyMixin` adds the bonus to a rollout,
:class:`WassersteinOffPolicyMixin` to what is sampled from a replay buffer.
"""

from sb3_wasserstein.regularised.algorithms import WassersteinA2C, WassersteinPPO, WassersteinSAC, WassersteinTD3
from sb3_wasserstein.regularised.callback import DualCallback
from sb3_wasserstein.regularised.off_policy import WassersteinOffPolicyMixin
from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin

__all__ = [
    "DualCallback",
    "WassersteinA2C",
    "WassersteinOffPolicyMixin",
    "WassersteinOnPolicyMixin",
    "WassersteinPPO",
    "WassersteinSAC",
    "WassersteinTD3",
]
