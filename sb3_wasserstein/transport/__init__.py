"""
Stateless numerics of entropic optimal transport: costs, the Sinkhorn iteration, potentials at any point, many small problems.

Numbers in, numbers out: what is kept from one update to the next is in :mod:`sb3_wasserstein.duals`.
"""
