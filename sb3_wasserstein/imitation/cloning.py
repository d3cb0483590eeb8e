"""Cloning of demonstrations whose actions an inverse model has guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_wasserstein._validation import check_count, check_number, check_positive
from sb3_wasserstein.imitation.inverse_model import InverseModel


@dataclass(frozen=True)
class CloningOptions:
    """
    :param until: share of the training, in [0, 1], in which demonstrations are cloned: cloning finds the region of the
        expert's states, and holds the policy back later
    :param steps: number of gradient steps after each rollout
    :param batch_size: number of transitions of a gradient step
    :param learning_rate: Adam's
    :param near_share: share of a batch, in [0, 1], that is taken from where the policy is: the demonstrations' transitions
        next to states of the current rollout
    :param n_near: number of the rollout's states whose nearest transition is looked for
    :raises ValueError: if an option is out of range; the message names it

    Example:
        >>> from sb3_wasserstein.imitation import CloningOptions
        >>> CloningOptions(until=0.3).until
        0.3
    """

    until: float = 0.5
    steps: int = 150
    batch_size: int = 256
    learning_rate: float = 1e-3
    near_share: float = 0.5
    n_near: int = 768

    def __post_init__(self) -> None:
        for name in ("until", "near_share"):
            if not 0 <= check_number(name, getattr(self, name)) <= 1:
                raise ValueError(f"{name} must lie in [0, 1]; got {getattr(self, name)!r}")
        for name in ("steps", "batch_size", "n_near"):
            check_count(name, getattr(self, name))
        check_positive("learning_rate", self.learning_rate)


class Cloner:
    """
    Draws a policy's actions to those that an inverse model reads from demonstrations.

    :param policy: whose actor is trained
    :param model: that says which action led from one state to the next
    :param options: its numbers
    """

    def __init__(self, policy: ActorCriticPolicy, model: InverseModel, options: CloningOptions) -> None:
        self.model, self.options, self._policy = model, options, policy
        actor = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
        self.optimizer = th.optim.Adam(actor, options.learning_rate)
        #: (N, ...) observations that the N transitions start from, as the environment gave them; a dict for a Dict space
        self.observations: Any = np.zeros((0, 0))
        #: (N, d) the features of the states before and after each transition
        self.states = self.following = np.zeros((0, 0))

    def set_demonstrations(self, observations: Any, states: NDArray[Any], following: NDArray[Any]) -> None:
        """
        :param observations: (N, ...) that the transitions start from
        :param states: (N, d) their features
        :param following: (N, d) the features of what the transitions lead to
        """
        self.observations, self.states, self.following = observations, states, following
        self.model.set_scale(states, following)

    def nearest(self, points: NDArray[np.float64], demonstrated: NDArray[np.float64]) -> th.Tensor:
        """
        :param points: (k, dim) states of the policy
        :param demonstrated: (N, dim) the states that the demonstrations' transitions lead to
        :return: (m,) indices of the demonstrations' transitions that lead next to m of the points
        """
        chosen = th.randperm(len(points), generator=self.model.generator)[: self.options.n_near].numpy()
        return th.as_tensor(cdist(points[chosen], demonstrated).argmin(axis=1))

    def step(self, observations: Any, near: th.Tensor) -> float:
        """
        Train the actor.

        :param observations: (N, ...) tensors, or a dict of them: ``observations`` as the policy sees them
        :param near: (m,) indices of transitions, from :meth:`nearest`
        :return: mean loss
        """
        options, generator = self.options, self.model.generator
        wanted, total = self.model.actions(self.states, self.following), 0.0
        for _ in range(options.steps):
            batch = th.randint(len(wanted), (options.batch_size,), generator=generator)
            others = near[th.randint(len(near), (options.batch_size,), generator=generator)]
            batch = th.where(th.rand(options.batch_size, generator=generator) < options.near_share, others, batch)
            seen = {key: part[batch] for key, part in observations.items()} if isinstance(observations, dict) else None
            loss = self._loss(observations[batch] if seen is None else seen, wanted[batch])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
        return total / options.steps

    def _loss(self, observations: Any, wanted: th.Tensor) -> th.Tensor:
        """The mean loss of (b,) or (b, k) actions that are wanted where the policy sees (b, ...) observations."""
        distribution = self._policy.get_distribution(observations)
        if self.model.is_discrete:
            return -distribution.log_prob(wanted).mean()
        mode = distribution.mode()
        if not self._policy.squash_output:
            mode = (mode - self.model.action_center) / self.model.action_scale
        error = mode - wanted
        # The environment clips actions: one beyond a bound is as good as the bound.
        beyond = (wanted.abs() >= 1.0 - 1e-3) & (error * wanted > 0)
        return (error.masked_fill(beyond, 0.0) ** 2).mean()

    def state_dict(self) -> dict[str, Any]:
        """:return: model, optimizer and demonstrations: tensors and plain Python"""
        arrays = self.observations if isinstance(self.observations, dict) else {"": self.observations}
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "observations": {key: th.as_tensor(array) for key, array in arrays.items()},
            "states": th.as_tensor(self.states),
            "following": th.as_tensor(self.following),
        }

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """
        :param state: from :meth:`state_dict`
        :param strict: as torch's
        :raises ValueError: if it is damaged
        """
        try:
            arrays = {key: tensor.cpu().numpy() for key, tensor in state["observations"].items()}
            self.model.load_state_dict(state["model"], strict)
            self.optimizer.load_state_dict(state["optimizer"])
            self.observations = arrays.get("", arrays)
            self.states, self.following = (state[name].cpu().numpy() for name in ("states", "following"))
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"the state of the cloning is damaged: {error!r}") from error
