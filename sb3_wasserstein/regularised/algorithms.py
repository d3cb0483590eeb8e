"""SB3's PPO, A2C, SAC and TD3 with Wasserstein regularisation."""

from stable_baselines3 import A2C, PPO, SAC, TD3

from sb3_wasserstein.regularised.off_policy import WassersteinOffPolicyMixin
from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin


class WassersteinPPO(WassersteinOnPolicyMixin, PPO):
    """
    SB3's PPO, drawn to a target behaviour or driven from it. Takes PPO's arguments, and those of
    :class:`WassersteinOnPolicyMixin` by keyword.

    Example:
        >>> from sb3_wasserstein import Target, WassersteinPPO
        >>> slow = Target([[0.0, 0.0, 0.0, 0.0]])
        >>> model = WassersteinPPO("MlpPolicy", "CartPole-v1", target=slow, wasserstein_coef=-1.0, n_steps=256, seed=0)
        >>> model.learn(512).embeddings.shape[1]
        4
    """


class WassersteinA2C(WassersteinOnPolicyMixin, A2C):
    """
    SB3's A2C, drawn to a target behaviour or driven from it. Takes A2C's arguments, and those of
    :class:`WassersteinOnPolicyMixin` by keyword.

    Example:
        >>> from sb3_wasserstein import Target, WassersteinA2C
        >>> model = WassersteinA2C("MlpPolicy", "CartPole-v1", target=Target([[0.0] * 4]), wasserstein_coef=1.0, seed=0)
        >>> model.learn(200).num_timesteps
        200
    """


class WassersteinSAC(WassersteinOffPolicyMixin, SAC):
    """
    SB3's SAC, drawn to a target behaviour or driven from it. Takes SAC's arguments, and those of
    :class:`WassersteinOffPolicyMixin` by keyword.

    Example:
        >>> from sb3_wasserstein import Target, WassersteinSAC
        >>> upright = Target([[1.0, 0.0, 0.0]])
        >>> kwargs = {"target": upright, "wasserstein_coef": -1.0, "learning_starts": 450}
        >>> model = WassersteinSAC("MlpPolicy", "Pendulum-v1", seed=0, **kwargs)
        >>> model.learn(500).embeddings.shape
        (2, 3)
    """


class WassersteinTD3(WassersteinOffPolicyMixin, TD3):
    """
    SB3's TD3, drawn to a target behaviour or driven from it. Takes TD3's arguments, and those of
    :class:`WassersteinOffPolicyMixin` by keyword.

    Example:
        >>> from sb3_wasserstein import Target, WassersteinTD3
        >>> upright = Target([[1.0, 0.0, 0.0]])
        >>> kwargs = {"target": upright, "wasserstein_coef": -1.0, "learning_starts": 450}
        >>> model = WassersteinTD3("MlpPolicy", "Pendulum-v1", seed=0, **kwargs)
        >>> model.learn(500).embeddings.shape
        (2, 3)
    """
