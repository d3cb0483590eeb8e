"""Behaviour as a first-class quantity in reinforcement learning: Wasserstein-regularised Stable-Baselines3."""

__version__ = "0.1.0"
