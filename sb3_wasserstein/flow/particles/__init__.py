"""
Policies as clouds of particles on a grid of states, after Dus 2026 (arXiv 2604.14765).

``mdp`` is the problem and ``policy`` the particles, both frozen; ``solver``, ``geodesics`` and ``langevin`` are functions of
them; ``flow`` puts them behind one object, :class:`~sb3_wasserstein.flow.ParticleFlow`.
"""
