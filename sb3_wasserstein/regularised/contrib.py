"""
sb3-contrib's on-policy algorithms with Wasserstein regularisation; needs the extra ``contrib``.

The mixin adds the bonus to what their own loops have collected: none of them is copied.
"""

try:
    from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
except ImportError as error:
    raise ImportError(
        "WassersteinTRPO, WassersteinRecurrentPPO and WassersteinMaskablePPO need sb3-contrib: "
        "pip install 'sb3-wasserstein[contrib]'"
    ) from error

from sb3_wasserstein.regularised.on_policy import WassersteinOnPolicyMixin


class WassersteinTRPO(WassersteinOnPolicyMixin, TRPO):
    """
    sb3-contrib's TRPO. Takes TRPO's arguments, and those of :class:`WassersteinOnPolicyMixin` by keyword.

    Example:
        >>> from sb3_wasserstein.regularised.contrib import WassersteinTRPO
        >>> near = [[0.0, 0.0, 0.0, 0.0]]
        >>> model = WassersteinTRPO("MlpPolicy", "CartPole-v1", target=near, wasserstein_coef=1.0, n_steps=128)
        >>> model.learn(128).embeddings.shape[1]
        4
    """


class WassersteinRecurrentPPO(WassersteinOnPolicyMixin, RecurrentPPO):
    """
    sb3-contrib's RecurrentPPO. Takes its arguments, and those of :class:`WassersteinOnPolicyMixin` by keyword. The bonus of
    an episode depends on its observations only, not on the policy's memory.

    Example:
        >>> from sb3_wasserstein.regularised.contrib import WassersteinRecurrentPPO
        >>> near = [[0.0, 0.0, 0.0, 0.0]]
        >>> model = WassersteinRecurrentPPO("MlpLstmPolicy", "CartPole-v1", target=near, wasserstein_coef=1.0, n_steps=128)
        >>> model.learn(128).embeddings.shape[1]
        4
    """


class WassersteinMaskablePPO(WassersteinOnPolicyMixin, MaskablePPO):
    """
    sb3-contrib's MaskablePPO. Takes its arguments, and those of :class:`WassersteinOnPolicyMixin` by keyword. Actions that
    the mask forbids are never taken: a target that needs them cannot be reached.

    Example:
        >>> from sb3_contrib.common.envs import InvalidActionEnvDiscrete
        >>> from sb3_wasserstein.regularised.contrib import WassersteinMaskablePPO
        >>> env = InvalidActionEnvDiscrete(dim=10, ep_length=20, n_invalid_actions=5)
        >>> model = WassersteinMaskablePPO("MlpPolicy", env, target=[[0.5] * 10], wasserstein_coef=1.0, n_steps=128)
        >>> model.learn(128).embeddings.shape[1]
        10
    """
