"""Behaviours that are driven apart (Abdullah et al. 2018, §4.2), in populations."""
