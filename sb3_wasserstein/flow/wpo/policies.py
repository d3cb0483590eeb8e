"""SAC's policy networks of SB3 with three kinds of actor: Gaussian, mixture of Gaussians, particles."""

from __future__ import annotations

import math
from typing import Any

import torch
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor, SACPolicy
from torch import nn

from sb3_wasserstein._validation import check_choice, check_count, check_number, check_positive, constructor_arguments
from sb3_wasserstein.flow.wpo.transport import LatentLaw

ACTORS = ("gaussian", "mixture", "particles")
COMPONENTS = {"mixture": 4, "particles": 16}


def spread(components: int, dim: int) -> torch.Tensor:
    """Latent positions (components, dim) whose actions are spread evenly over nine tenths of the box [−1, 1]."""
    engine = torch.quasirandom.SobolEngine(dim)  # type: ignore[no-untyped-call]
    points = engine.draw(components) + 0.5 / components
    return torch.atanh(0.9 * (2 * points.clamp(max=1.0) - 1))


class MixtureActor(Actor):
    """
    SB3's SAC actor with K components in place of one.

    :param n_components: K
    :param bandwidth: None: every component learns its width and its weight (a mixture); a number: the common, fixed width of
        equally weighted components (particles, and the kernel of their density)
    :param max_std: the widest that a mixture's component gets, in latent units; None: SB3's bound
    :param min_weight: the least weight of a mixture's component, at most 1/K
    :param kwargs: the actor's own arguments
    :raises ValueError: on gSDE, whose noise belongs to a single Gaussian

    Example:
        >>> from sb3_wasserstein import WPO
        >>> model = WPO("MlpPolicy", "Pendulum-v1", actor="mixture", policy_kwargs={"n_components": 4})
        >>> type(model.actor).__name__, model.actor.mu.out_features
        ('MixtureActor', 4)
    """

    def __init__(
        self,
        *,
        n_components: int,
        bandwidth: float | None,
        max_std: float | None = None,
        min_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("use_sde"):
            raise ValueError("use_sde=True needs actor='gaussian': the noise of gSDE has one mean, a mixture has several")
        super().__init__(**kwargs)
        self.n_components, self.bandwidth = n_components, bandwidth
        self.max_std, self.min_weight = max_std, min_weight
        dim = get_action_dim(self.action_space)
        width = self.net_arch[-1] if self.net_arch else self.features_dim
        self.action_size = dim
        self.mu = nn.Linear(width, n_components * dim)
        with torch.no_grad():
            self.mu.bias.copy_(spread(n_components, dim).flatten())
        if bandwidth is None:
            self.log_std = nn.Linear(width, n_components * dim)  # type: ignore[assignment]
            self.logits = nn.Linear(width, n_components)
            with torch.no_grad():
                self.logits.weight.mul_(0.1)
                self.logits.bias.zero_()
        else:
            del self.log_std

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **constructor_arguments(self)}

    def law(self, obs: PyTorchObs) -> LatentLaw:
        """The law of latent actions at observations."""
        latent = self.latent_pi(self.extract_features(obs, self.features_extractor))
        means = self.mu(latent).unflatten(1, (self.n_components, self.action_size))
        if self.bandwidth is not None:
            weights = torch.zeros_like(means[..., 0]).log_softmax(-1)
            return LatentLaw(means, torch.full_like(means, self.bandwidth), weights)
        raw = self.log_std(latent)  # type: ignore[operator]
        # Not clamped at the widest, as at SB3's bounds: all components begin there, and a clamp has no slope.
        bounded = raw if self.max_std is None else math.log(self.max_std) + nn.functional.logsigmoid(raw)
        log_std = torch.clamp(bounded, LOG_STD_MIN, LOG_STD_MAX)
        log_weights = self.logits(latent).log_softmax(-1)
        if self.min_weight > 0:
            log_weights = (self.min_weight + (1 - self.n_components * self.min_weight) * log_weights.exp()).log()
        return LatentLaw(means, log_std.exp().view_as(means), log_weights)

    def action_log_prob(self, obs: PyTorchObs) -> tuple[torch.Tensor, torch.Tensor]:
        law = self.law(obs)
        latents = _one(law)
        return torch.tanh(latents), law.log_prob(latents[None])[0]

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> torch.Tensor:
        law = self.law(obs)
        return torch.tanh(law.mode() if deterministic else _one(law))


def _one(law: LatentLaw) -> torch.Tensor:
    """One latent action a state, (B, k)."""
    chosen = torch.multinomial(law.log_weights.detach().exp(), 1).squeeze(1)
    rows = torch.arange(len(chosen), device=chosen.device)
    means, stds = law.means[rows, chosen], law.stds[rows, chosen]
    return means + stds * torch.randn_like(means)


def latent_law(actor: Actor, obs: PyTorchObs) -> LatentLaw:
    """The law of latent actions of any of the three actors."""
    if isinstance(actor, MixtureActor):
        return actor.law(obs)
    means, log_stds, rest = actor.get_action_dist_params(obs)
    certain = means.new_zeros(len(means), 1)
    if "latent_sde" not in rest:
        return LatentLaw(means[:, None], log_stds.exp()[:, None], certain)
    features, exploration = rest["latent_sde"], actor.action_dist
    assert isinstance(exploration, StateDependentNoiseDistribution)
    stds = (features**2 @ exploration.get_std(log_stds) ** 2 + exploration.epsilon).sqrt()

    def noise() -> torch.Tensor:
        exploration.sample_weights(log_stds)
        return exploration.get_noise(features)[:, None]

    return LatentLaw(means[:, None], stds[:, None], certain, noise)


class MlpPolicy(SACPolicy):
    """
    SB3's SAC policy whose actor may have several components.

    :param actor_type: "gaussian": SB3's own actor; "mixture": K Gaussians with weights; "particles": K points
    :param n_components: K; None: 4 for a mixture, 16 particles
    :param bandwidth: width of a particle in latent units, where one unit leads from action 0 to 0.76
    :param max_std: the widest that a mixture's component gets, in latent units: narrow ones keep their places while the
        temperature is high; None: SB3's bound, e²
    :param min_weight: the least weight of a mixture's component, at most 1/K, where all weigh the same
    :param kwargs: SACPolicy's arguments

    Example:
        >>> from sb3_wasserstein import WPO
        >>> from sb3_wasserstein.flow.wpo import MlpPolicy
        >>> isinstance(WPO("MlpPolicy", "Pendulum-v1", actor="particles").policy, MlpPolicy)
        True
    """

    def __init__(
        self,
        *args: Any,
        actor_type: str = "gaussian",
        n_components: int | None = None,
        bandwidth: float = 0.1,
        max_std: float | None = None,
        min_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_choice("actor", actor_type, ACTORS)
        if n_components is not None:
            check_count("n_components", n_components)
        check_positive("bandwidth", bandwidth)
        if max_std is not None:
            check_positive("max_std", max_std)
        if not 0 <= check_number("min_weight", min_weight) <= 1 / (n_components or COMPONENTS["mixture"]):
            raise ValueError(f"min_weight must be in [0, 1/n_components], got {min_weight!r}")
        if actor_type != "mixture" and (max_std is not None or min_weight > 0):
            raise ValueError(f"max_std and min_weight need actor='mixture', got actor={actor_type!r}")
        self.actor_type, self.n_components, self.bandwidth = actor_type, n_components, bandwidth
        self.max_std, self.min_weight = max_std, min_weight
        super().__init__(*args, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"actor_type": self.actor_type, "n_components": self.n_components, "bandwidth": self.bandwidth}
        own |= {"max_std": self.max_std, "min_weight": self.min_weight}
        return {**super()._get_constructor_parameters(), **own}

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        if self.actor_type == "gaussian":
            return super().make_actor(features_extractor)
        particles = self.actor_type == "particles"
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return MixtureActor(
            n_components=self.n_components or COMPONENTS[self.actor_type],
            bandwidth=self.bandwidth if particles else None,
            max_std=self.max_std,
            min_weight=self.min_weight,
            **kwargs,
        ).to(self.device)


class CnnPolicy(MlpPolicy):
    """
    :class:`MlpPolicy`, with its arguments, on images.

    :param features_extractor_class: from images to features

    Example:
        >>> from sb3_wasserstein.flow.wpo import CnnPolicy, MlpPolicy
        >>> issubclass(CnnPolicy, MlpPolicy)  # WPO("CnnPolicy", env) for an env whose observations are images
        True
    """

    def __init__(self, *args: Any, features_extractor_class: type[BaseFeaturesExtractor] = NatureCNN, **kwargs: Any) -> None:
        super().__init__(*args, features_extractor_class=features_extractor_class, **kwargs)


class MultiInputPolicy(MlpPolicy):
    """
    :class:`MlpPolicy`, with its arguments, on Dict observations.

    :param features_extractor_class: from a dict of observations to features

    Example:
        >>> from sb3_wasserstein.flow.wpo import MlpPolicy, MultiInputPolicy
        >>> issubclass(MultiInputPolicy, MlpPolicy)  # WPO("MultiInputPolicy", env) for an env whose observations are a Dict
        True
    """

    def __init__(
        self, *args: Any, features_extractor_class: type[BaseFeaturesExtractor] = CombinedExtractor, **kwargs: Any
    ) -> None:
        super().__init__(*args, features_extractor_class=features_extractor_class, **kwargs)


POLICIES: dict[str, type[BasePolicy]] = {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}
