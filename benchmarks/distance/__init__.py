"""Distances between many behaviours at once."""
