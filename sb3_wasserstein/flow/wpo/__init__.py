"""Wasserstein policy optimisation in Stable-Baselines3: the flow of ∇_a Q with learned critics."""

from sb3_wasserstein.flow.wpo.algorithm import WPO
from sb3_wasserstein.flow.wpo.policies import CnnPolicy, MixtureActor, MlpPolicy, MultiInputPolicy

__all__ = ["WPO", "CnnPolicy", "MixtureActor", "MlpPolicy", "MultiInputPolicy"]
