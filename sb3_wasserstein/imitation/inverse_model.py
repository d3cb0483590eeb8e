"""Which action leads from one state to the next, learnt from the policy's own transitions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from sb3_wasserstein._validation import check_count, check_positive
from sb3_wasserstein.embeddings import Scaling


@dataclass(frozen=True)
class InverseModelOptions:
    """
    :param memory: number of the newest transitions that the model is trained on
    :param steps: number of gradient steps after each rollout
    :param batch_size: number of transitions of a gradient step
    :param hidden: number of units of each hidden layer
    :param learning_rate: Adam's
    :param clip: largest absolute value of an input, in standard deviations of the demonstrations
    :raises ValueError: if an option is out of range; the message names it

    Example:
        >>> from sb3_wasserstein.imitation import InverseModelOptions
        >>> InverseModelOptions(memory=20_000).memory
        20000
    """

    memory: int = 60_000
    steps: int = 150
    batch_size: int = 256
    hidden: tuple[int, ...] = (128, 128)
    learning_rate: float = 1e-3
    clip: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self)[:3]:
            check_count(field.name, getattr(self, field.name))
        object.__setattr__(self, "hidden", tuple(check_count("hidden", units) for units in self.hidden))
        check_positive("learning_rate", self.learning_rate)
        check_positive("clip", self.clip)


class InverseModel(nn.Module):
    """
    The action a(s, s') that leads from a state s to s' (Torabi et al. 2018, "Behavioral Cloning from Observation"): a network
    that is trained on the newest transitions of a policy, whose actions are known.

    :param dim: dimension of a state
    :param action_space: Box (one value for each dimension) or Discrete (one logit for each action)
    :param options: its numbers; None for the defaults
    :param seed: of the network's first weights and of the batches; None for any
    :raises ValueError: if the action space is neither Box nor Discrete

    Example:
        >>> import numpy as np
        >>> from gymnasium.spaces import Box
        >>> from sb3_wasserstein.imitation import InverseModel
        >>> rng = np.random.default_rng(0)
        >>> states, actions = rng.normal(size=(2000, 1)), rng.uniform(-1, 1, size=(2000, 1))
        >>> model = InverseModel(1, Box(-1, 1, (1,)), seed=0)
        >>> model.set_scale(states, states + actions)
        >>> model.remember(states, states + actions, actions)
        >>> bool(model.fit() > model.fit())
        True
    """

    center: th.Tensor
    deviation: th.Tensor
    action_center: th.Tensor
    action_scale: th.Tensor

    def __init__(
        self,
        dim: int,
        action_space: spaces.Space[Any],
        options: InverseModelOptions | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.options = options or InverseModelOptions()
        if isinstance(action_space, spaces.Discrete):
            self.is_discrete, width = True, int(action_space.n)
            action_center, action_scale = np.zeros(1), np.ones(1)
        elif isinstance(action_space, spaces.Box):
            self.is_discrete, width = False, int(np.prod(action_space.shape))
            low, high = action_space.low.ravel().astype(np.float64), action_space.high.ravel().astype(np.float64)
            bounded = np.isfinite(low) & np.isfinite(high)
            action_center = np.where(bounded, (low + high) / 2, 0.0)
            action_scale = np.where(bounded & (high > low), (high - low) / 2, 1.0)
        else:
            raise ValueError(
                f"inverse_dynamics=True needs a Box or a Discrete action space, not {action_space}: set inverse_dynamics=False"
            )
        self.generator = th.Generator()
        self.generator.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
        with th.random.fork_rng(devices=[]):
            # SB3's global generator stays where it is.
            th.manual_seed(self.generator.initial_seed())
            layers: list[nn.Module] = []
            for inputs, outputs in pairwise((2 * dim, *self.options.hidden)):
                layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            self.network = nn.Sequential(*layers, nn.Linear((2 * dim, *self.options.hidden)[-1], width))
        for name, values in {
            "center": np.zeros(2 * dim),
            "deviation": np.ones(2 * dim),
            "action_center": action_center,
            "action_scale": action_scale,
        }.items():
            self.register_buffer(name, th.as_tensor(values, dtype=th.float32))
        self.optimizer = th.optim.Adam(self.network.parameters(), self.options.learning_rate)
        self._transitions: deque[tuple[th.Tensor, th.Tensor]] = deque()

    def set_scale(self, states: NDArray[Any], following: NDArray[Any]) -> None:
        """
        Standardise states and their changes by a sample of them.

        :param states: (n, dim)
        :param following: (n, dim) the states that came next
        """
        scaling = Scaling.of(np.concatenate([states, following - states], axis=1).astype(np.float64))
        self.center.copy_(th.tensor(scaling.center))
        # A change that is tiny in the demonstrations is not to be magnified without bound.
        self.deviation.copy_(th.tensor(scaling.deviation).clamp(min=1e-3))

    @property
    def n_transitions(self) -> int:
        """Number of transitions in the memory."""
        return sum(len(actions) for _, actions in self._transitions)

    def remember(self, states: NDArray[Any], following: NDArray[Any], actions: NDArray[Any]) -> None:
        """
        Take in transitions; of more than ``options.memory`` the oldest are forgotten, a call's at a time.

        :param states: (n, dim)
        :param following: (n, dim)
        :param actions: (n, ...) that led from the one to the other; those of a Box are clipped to it
        """
        taken = th.as_tensor(np.asarray(actions).reshape(len(states), -1)).to(self.center)
        bound = th.inf if self.is_discrete else 1.0
        taken = ((taken - self.action_center) / self.action_scale).clamp(-bound, bound)
        self._transitions.append((self._inputs(states, following), taken))
        while len(self._transitions) > 1 and self.n_transitions > self.options.memory:
            self._transitions.popleft()

    def forget(self) -> None:
        """Empty the memory: the model will not be trained further."""
        self._transitions.clear()

    def fit(self) -> float:
        """
        Train on the memory for ``options.steps`` gradient steps.

        :return: mean loss: the squared error in half-widths of the Box, or the cross-entropy
        """
        inputs, actions = (th.cat(parts) for parts in zip(*self._transitions, strict=True))
        total = 0.0
        for _ in range(self.options.steps):
            batch = th.randint(len(inputs), (self.options.batch_size,), generator=self.generator)
            predicted, wanted = self.network(inputs[batch]), actions[batch]
            if self.is_discrete:
                loss = nn.functional.cross_entropy(predicted, wanted[:, 0].long())
            else:
                loss = nn.functional.mse_loss(predicted, wanted)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
        return total / self.options.steps

    @th.no_grad()
    def actions(self, states: NDArray[Any], following: NDArray[Any]) -> th.Tensor:
        """
        :param states: (n, dim)
        :param following: (n, dim)
        :return: (n,) indices of actions, or (n, k) actions inside of the Box, its centre 0 and its bounds ±1
        """
        predicted: th.Tensor = self.network(self._inputs(states, following))
        return predicted.argmax(dim=1) if self.is_discrete else predicted.clamp(-1.0, 1.0)

    def _inputs(self, states: NDArray[Any], following: NDArray[Any]) -> th.Tensor:
        joined = th.as_tensor(np.concatenate([states, following - states], axis=1)).to(self.center)
        return ((joined - self.center) / self.deviation).clamp(-self.options.clip, self.options.clip)

    def get_extra_state(self) -> dict[str, Any]:
        """:return: what a module's state dictionary does not have: optimizer, generator, memory; tensors and plain Python"""
        return {
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "transitions": [list(part) for part in self._transitions],
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """:param state: from :meth:`get_extra_state`"""
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self._transitions = deque(
            (inputs.to(self.center), actions.to(self.center)) for inputs, actions in state["transitions"]
        )
