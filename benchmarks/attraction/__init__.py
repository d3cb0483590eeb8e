"""Behaviour that is drawn to a target (Abdullah et al. 2018, §4.1)."""
