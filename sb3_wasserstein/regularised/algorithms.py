"""SB3's PPO and A2C with Wasserstein regularisation."""

from stable_baselines3 import A2C, PPO

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
