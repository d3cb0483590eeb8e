"""WPO: SB3's SAC with another step of the actor, the Wasserstein flow of the policy."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, PyTorchObs, ReplayBufferSamples, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.sac import SAC
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from sb3_wasserstein._atomic_io import save_model
from sb3_wasserstein._validation import check_choice, check_count, check_flag, check_number, check_positive
from sb3_wasserstein.flow.neural.metric import Parameters, WassersteinMetric, natural_direction
from sb3_wasserstein.flow.wpo.policies import ACTORS, POLICIES, MlpPolicy, latent_law
from sb3_wasserstein.flow.wpo.transport import Velocity, kl_to, transport_loss, velocity, w2_to

SelfWPO = TypeVar("SelfWPO", bound="WPO")

PROXIMAL = {"none": None, "w2": w2_to, "kl": kl_to}


class WPO(SAC):
    """
    Wasserstein policy optimisation (Pfau et al. 2025, arXiv 2505.00663) with SB3's SAC networks and replay.

    Sampled actions are given the velocity ``∇_a Q − τ ∇_a log π`` of learned twin critics, and the policy's parameters follow
    them: dθ = E[J_θ aᵀ v]. For SB3's Gaussian actor with entropy this is SAC's expected update, from several action samples a
    state; mixture and particle actors, proximal steps, the squashed velocity and the natural gradient are the flow's own.

    :param policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy", or a subclass of SB3's SACPolicy
    :param env: as for SAC
    :param learning_rate: of actor, critics and temperature, as for SAC
    :param ent_coef: τ, the temperature of the Langevin velocity; "auto" or "auto_0.1": adapted to ``target_entropy`` as in SAC
    :param target_update_interval: gradient steps between two updates of the target critics
    :param target_entropy: for "auto"; "auto" is minus the dimension of actions
    :param use_sde: generalised state-dependent exploration; Gaussian actor only
    :param n_action_samples: actions a state that the velocity is averaged over, in antithetic pairs; networks of 64-64 can
        afford 16, which is steadier
    :param actor: "gaussian"; "mixture": Gaussians with learned weights; "particles": equally weighted points
        (``policy_kwargs``: ``n_components``, ``bandwidth``, a mixture's ``max_std`` and ``min_weight``)
    :param prox: "w2" or "kl": a penalty on the distance to the target actor, a Polyak average of the actor
    :param prox_coef: its coefficient
    :param squash_velocity: "cbrt": the cube root of each entry of ∇_a Q
    :param natural_gradient: (G + δI) d = dθ by conjugate gradients in place of the optimizer's step
    :param natural_damping: δ
    :param cg_iterations: conjugate gradients a step
    :param max_displacement: longest natural step, in latent actions, root mean square over states
    :param args: what SAC takes next: ``buffer_size, learning_starts, batch_size, tau, gamma, train_freq, gradient_steps,
        action_noise``, in this order
    :param kwargs: these by name, and what else SAC takes: ``replay_buffer_class, replay_buffer_kwargs,
        optimize_memory_usage, n_steps, policy_kwargs, stats_window_size, tensorboard_log, verbose, device, seed,
        sde_sample_freq, use_sde_at_warmup``
    :raises ValueError: if an argument is out of range, with its name

    Example:
        >>> from sb3_wasserstein import WPO
        >>> WPO("MlpPolicy", "Pendulum-v1", actor="particles", learning_starts=50, seed=0).learn(54).num_timesteps
        54
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = POLICIES

    def __init__(
        self,
        policy: str | type[SACPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        *args: Any,
        ent_coef: str | float = "auto",
        target_update_interval: int = 1,
        target_entropy: str | float = "auto",
        n_action_samples: int = 4,
        actor: str = "gaussian",
        prox: str = "none",
        prox_coef: float = 1.0,
        squash_velocity: str = "none",
        natural_gradient: bool = False,
        natural_damping: float = 0.01,
        cg_iterations: int = 10,
        max_displacement: float = 0.1,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        self.actor_type = check_choice("actor", actor, ACTORS)
        self.prox = check_choice("prox", prox, PROXIMAL)
        self.squash_velocity = check_choice("squash_velocity", squash_velocity, ("none", "cbrt"))
        self.n_action_samples = check_count("n_action_samples", n_action_samples)
        self.cg_iterations = check_count("cg_iterations", cg_iterations)
        check_count("target_update_interval", target_update_interval)
        self.prox_coef = check_positive("prox_coef", prox_coef)
        self.natural_damping = check_positive("natural_damping", natural_damping)
        self.max_displacement = check_positive("max_displacement", max_displacement)
        self.natural_gradient = check_flag("natural_gradient", natural_gradient)
        if not (isinstance(target_entropy, str) and target_entropy == "auto"):
            check_number("target_entropy", target_entropy)
        _check_temperature(ent_coef)
        if actor != "gaussian":
            if isinstance(policy, type) and not issubclass(policy, MlpPolicy):
                raise ValueError(f"policy must be a name or a subclass of wpo's MlpPolicy for actor={actor!r}, got {policy}")
            kwargs["policy_kwargs"] = {**(kwargs.get("policy_kwargs") or {}), "actor_type": actor}
        kwargs |= {"ent_coef": ent_coef, "target_entropy": target_entropy, "target_update_interval": target_update_interval}
        kwargs["_init_setup_model"] = _init_setup_model
        self.actor_target: Actor | None = None
        super().__init__(policy, env, learning_rate, *args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.prox != "none":
            self.actor_target = self.policy.make_actor()
            self.actor_target.load_state_dict(self.actor.state_dict())
            self.actor_target.set_training_mode(False)
            self.actor_target.requires_grad_(False)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        self.policy.set_training_mode(True)
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        self._update_learning_rate(optimizers + ([self.ent_coef_optimizer] if self.ent_coef_optimizer is not None else []))
        assert self.replay_buffer is not None
        records: dict[str, list[float]] = {}
        for step in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            if self.use_sde:
                self.actor.reset_noise()
            temperature = self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.detach().exp()
            found = self._train_critic(batch, temperature) | self._train_actor(batch, temperature)
            for name, value in found.items():
                records.setdefault(name, []).append(value)
            if step % self.target_update_interval == 0:
                polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
                polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
                if self.actor_target is not None:
                    polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
                    polyak_update(self.actor.buffers(), self.actor_target.buffers(), 1.0)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in records.items():
            self.logger.record(f"train/{name}", np.mean(values))

    def _train_critic(self, batch: ReplayBufferSamples, temperature: torch.Tensor) -> dict[str, float]:
        """One step of the twin critics towards the soft value of the next state."""
        discounts = self.gamma if batch.discounts is None else batch.discounts
        with torch.no_grad():
            actions, log_prob = self.actor.action_log_prob(batch.next_observations)
            following = torch.cat(self.critic_target(batch.next_observations, actions), 1).amin(1, keepdim=True)
            following = following - temperature * log_prob.reshape(-1, 1)
            target = batch.rewards + (1 - batch.dones) * discounts * following
        values = self.critic(batch.observations, batch.actions)
        loss = 0.5 * torch.stack([F.mse_loss(value, target) for value in values]).sum()
        self.critic.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.critic.optimizer.step()
        return {"critic_loss": loss.item()}

    def _train_actor(self, batch: ReplayBufferSamples, temperature: torch.Tensor) -> dict[str, float]:
        """Velocity at sampled actions, and the step of the parameters that carries it; then the temperature's."""
        observations = batch.observations
        law = latent_law(self.actor, observations)
        draw = law.draw(self.n_action_samples)
        with torch.no_grad():
            features = self.critic.extract_features(observations, self.critic.features_extractor)

        def q(actions: torch.Tensor) -> torch.Tensor:
            tiled = features.expand(len(actions), *features.shape)
            inputs = torch.cat([tiled, actions], -1)
            return torch.cat([network(inputs) for network in self.critic.q_networks], -1).amin(-1)

        at = velocity(q, law, draw.latents, temperature, self.squash_velocity == "cbrt")
        loss = transport_loss(draw, at)
        found = {
            "actor_loss": -_average(draw.weights, at.value),
            "velocity": _average(draw.weights, (at.field**2).sum(-1)) ** 0.5,
        }
        measure = PROXIMAL[self.prox]
        if measure is not None:
            assert self.actor_target is not None
            with torch.no_grad():
                anchor = latent_law(self.actor_target, observations)
            apart = measure(law, anchor)
            loss = loss + self.prox_coef * apart
            found["prox"] = apart.item()
        self.actor.optimizer.zero_grad()
        torch.autograd.backward(loss)
        if self.natural_gradient:
            found["displacement"] = self._move_naturally(observations)
        else:
            self.actor.optimizer.step()
        found["ent_coef"] = temperature.item()
        return found | self._train_temperature(draw.weights, at)

    def _move_naturally(self, observations: PyTorchObs) -> float:
        """
        Move the actor against the gradient of its parameters: θ − rate (G + δI)⁻¹ ∇, cut to a longest displacement.

        :return: the displacement of the latent actions' law, W₂ per state, root mean square
        """
        module = _Coordinates(self.actor)
        learned = {name: p for name, p in module.named_parameters() if p.requires_grad and p.grad is not None}
        gradient = {name: p.grad for name, p in learned.items() if p.grad is not None}

        def coordinates(at: Parameters) -> torch.Tensor:
            return torch.as_tensor(functional_call(module, dict(at), (observations,)))

        metric = WassersteinMetric(coordinates, learned)
        direction = natural_direction(metric, gradient, self.natural_damping, self.cg_iterations)
        rate = float(self.actor.optimizer.param_groups[0]["lr"])
        step = min(rate, self.max_displacement / max(direction.length, 1e-300))
        with torch.no_grad():
            for name, parameter in learned.items():
                parameter.sub_(step * direction.vector[name])
        return step * direction.length

    def _train_temperature(self, weights: torch.Tensor, at: Velocity) -> dict[str, float]:
        """Towards the target entropy, as in SAC."""
        if self.log_ent_coef is None or self.ent_coef_optimizer is None:
            return {}
        loss = -self.log_ent_coef.mean() * (_average(weights, at.log_prob) + float(self.target_entropy))
        self.ent_coef_optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.ent_coef_optimizer.step()
        return {"ent_coef_loss": loss.item()}

    def learn(
        self: SelfWPO,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "WPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfWPO:
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def save(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """SB3's; its arguments are the parent's. A file is there whole or not at all."""
        parent = super().save
        save_model(path, lambda place: parent(place, *args, **kwargs))

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "actor_target"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        states, variables = super()._get_torch_save_params()
        return [*states, *(["actor_target"] if self.actor_target is not None else [])], variables


class _Coordinates(nn.Module):
    """An actor as a map of its parameters to the coordinates of its laws."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, observations: PyTorchObs) -> torch.Tensor:
        return latent_law(self.actor, observations).coordinates()


def _average(weights: torch.Tensor, values: torch.Tensor) -> float:
    return float((weights.detach() * values).sum(0).mean())


def _check_temperature(ent_coef: str | float) -> None:
    text = str(ent_coef)
    learned = text.startswith("auto")
    try:
        number = float((text.partition("_")[2] or "1.0") if learned else text)
    except ValueError:
        number = float("nan")
    if not (np.isfinite(number) and number >= 0 and not (learned and number == 0)):
        raise ValueError(f'ent_coef must be a number >= 0, "auto", or "auto_" and a number > 0; got {ent_coef!r}')
