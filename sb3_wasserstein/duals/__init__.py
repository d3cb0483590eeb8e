"""
How far apart two behaviours are, and in which direction: the duals of entropic optimal transport.

A dual has two potentials f, g (Abdullah et al. 2018 call them test functions). f says of any behaviour x how much farther from
the target the policy gets by doing more of x: that is what a return is shaped with. The package is of use alone: it imports
numpy, scipy and torch only.

The lines below are the export list: a dual that stands here is known by name (``GreedyDual`` as ``"greedy"``).
"""

from sb3_wasserstein.duals.alternating import AlternatingDual as AlternatingDual
from sb3_wasserstein.duals.base import Dual as Dual
from sb3_wasserstein.duals.divergence import sinkhorn_divergence as sinkhorn_divergence
from sb3_wasserstein.duals.factory import dual_from_config as dual_from_config
from sb3_wasserstein.duals.factory import make_dual as make_dual
from sb3_wasserstein.duals.rkhs import RKHSDual as RKHSDual
from sb3_wasserstein.duals.semidiscrete import SemiDiscreteDual as SemiDiscreteDual
from sb3_wasserstein.duals.sinkhorn import SinkhornDual as SinkhornDual
from sb3_wasserstein.transport.batched import batched_sinkhorn as batched_sinkhorn
from sb3_wasserstein.transport.costs import GroundCost as GroundCost
from sb3_wasserstein.transport.costs import SaturatingCost as SaturatingCost

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
