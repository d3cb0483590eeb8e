"""
How far apart two behaviours are, and in which direction: the duals of entropic optimal transport.

A dual holds two potentials f, g (S1 calls them test functions). f says of any behaviour x how much farther from the target the
policy gets by doing more of x: that is what a return is shaped with. Useful alone: numpy, scipy and torch are all it imports.
"""

from sb3_wasserstein.duals.alternating import AlternatingDual
from sb3_wasserstein.duals.base import Dual
from sb3_wasserstein.duals.batched import batched_sinkhorn
from sb3_wasserstein.duals.costs import GroundCost, SaturatingCost
from sb3_wasserstein.duals.divergence import behaviour_distance
from sb3_wasserstein.duals.factory import dual_from_config, make_dual
from sb3_wasserstein.duals.rkhs import RKHSDual
from sb3_wasserstein.duals.semidiscrete import SemiDiscreteDual
from sb3_wasserstein.duals.sinkhorn import SinkhornDual

__all__ = [
    "AlternatingDual",
    "Dual",
    "GroundCost",
    "RKHSDual",
    "SaturatingCost",
    "SemiDiscreteDual",
    "SinkhornDual",
    "batched_sinkhorn",
    "behaviour_distance",
    "dual_from_config",
    "make_dual",
]
