"""Neural policies for known dynamics: the network, and the same behind SB3's ``predict``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sb3_wasserstein._atomic_io import read_bounded, read_tensors, write_whole
from sb3_wasserstein._validation import check_count, check_path, check_seed
from sb3_wasserstein.flow.predicting import Predicting


class MLP(nn.Module):
    """
    States (B, d) to actions (B, k): tanh layers between linear ones; the last starts small, near the zero policy.

    :param state_dim: d
    :param action_dim: k
    :param hidden: widths of the hidden layers
    :param centre: of the states, (d,) or a number
    :param scale: the spread of states that one unit of the first layer's input stands for
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        hidden: Sequence[int] = (64, 64),
        centre: Sequence[float] | float = 0.0,
        scale: Sequence[float] | float = 1.0,
    ) -> None:
        super().__init__()
        self.widths = [int(width) for width in (state_dim, *hidden, action_dim)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(self.widths))
        self.centre: torch.Tensor
        self.scale: torch.Tensor
        for name, value in (("centre", centre), ("scale", scale)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32).expand(state_dim).clone())
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        x = (states - self.centre) / self.scale
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return torch.as_tensor(self.layers[-1](x))

    def shape(self) -> dict[str, Any]:
        """What it takes to build a network that the state dict fits."""
        return {"state_dim": self.widths[0], "action_dim": self.widths[-1], "hidden": self.widths[1:-1]}


def mlp_around(
    hidden: Sequence[int], dim: int, actions: int, initial: Callable[[int, torch.Generator], torch.Tensor], seed: int | None
) -> MLP:
    """An MLP in units of the initial law's spread, from a seed that leaves no trace in torch's global generator."""
    if np.ndim(hidden) != 1:
        raise TypeError(f"policy must be a torch module, or the widths of its hidden layers; got {hidden!r}")
    for name, width in (*(("policy, a hidden layer's width,", width) for width in hidden), ("action_dim", actions)):
        if check_count(name, width) > 10**6:
            raise ValueError(f"{name} must be at most a million; got {width}")
    sample = initial(1024, torch.Generator().manual_seed(0))
    # tanh is still nearly linear, up to 3 spreads of the initial law, where a stabilised plant stays.
    scale = 3.0 * float(sample.std(0).max())
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return MLP(dim, actions, hidden, sample.mean(0).tolist(), scale)


def write(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Tensors and plain Python to a file, which is there whole or not at all."""
    target = check_path("path", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda temporary: torch.save(content, temporary))


def read(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """
    What :func:`write` wrote. Nothing is unpickled but tensors and plain Python.

    :param path: the file
    :param kind: the value that its entry "kind" must have
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if the file holds something else
    """
    if not check_path("path", path).is_file():
        raise FileNotFoundError(f"path={os.fspath(path)!r} is not a file")
    try:
        content = read_tensors(read_bounded(Path(path)))
        if not isinstance(content, dict) or content.get("kind") != kind:
            raise ValueError("its kind is another")
    except ValueError as error:
        raise ValueError(f"path={os.fspath(path)!r} does not hold a {kind}: {error}") from error
    return content


def _network(shape: dict[str, Any], state: dict[str, Any]) -> MLP:
    """The saved network; what it is said to be must be what its parameters are, before memory is taken for it."""
    widths = [shape["state_dim"], *shape["hidden"], shape["action_dim"]]
    for width in widths:
        check_count("a layer's width", width)
    expected = {f"layers.{i}.weight": (b, a) for i, (a, b) in enumerate(pairwise(widths))}
    if {name: tuple(state[name].shape) for name in expected} != expected:
        raise ValueError(f"its parameters are not those of a network of widths {widths}")
    return MLP(**shape).to(next(iter(state.values())).dtype)


def as_bound(name: str, value: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Bounds of actions, infinite where there are none."""
    try:
        bound = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a number or one per action dimension, got {value!r}") from error
    if bound.size == 0 or np.isnan(bound).any():
        raise ValueError(f"{name} must not be empty, nor NaN; got {value!r}")
    return bound


class NeuralPolicy(Predicting):
    """
    A policy network behind SB3's ``predict``; :meth:`save` and :meth:`load` keep it in a file of tensors.

    :param module: states (B, d) -> actions (B, k), or (states, noise (B, m)) with an attribute ``noise_dim`` = m
    :param action_low: where actions are clipped, a number or one per dimension
    :param action_high: the same, above
    :param seed: of the noise
    :raises TypeError: if ``module`` is no torch module

    Example:
        >>> import torch
        >>> from sb3_wasserstein.flow import NeuralPolicy
        >>> policy = NeuralPolicy(torch.nn.Linear(2, 1), action_low=-1.0, action_high=1.0)
        >>> action, _ = policy.predict([[0.5, -0.5]], deterministic=True)
        >>> action.shape
        (1, 1)
    """

    def __init__(
        self,
        module: nn.Module,
        action_low: Sequence[float] | np.ndarray | float = -np.inf,
        action_high: Sequence[float] | np.ndarray | float = np.inf,
        seed: int | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must be a torch module, got {type(module).__name__}")
        self.module = module
        self.low, self.high = as_bound("action_low", action_low), as_bound("action_high", action_high)
        self._rng = np.random.default_rng(check_seed(seed))

    def actions(self, observations: torch.Tensor, deterministic: bool) -> torch.Tensor:
        """Clipped actions (B, k) for states (B, d); where the policy takes noise, ``deterministic`` makes the noise 0."""
        states = observations.to(next(self.module.parameters()))
        arguments = [states]
        if width := int(getattr(self.module, "noise_dim", 0)):
            noise = np.zeros((len(states), width)) if deterministic else self._rng.standard_normal((len(states), width))
            arguments.append(torch.as_tensor(noise).to(states))
        low, high = (torch.as_tensor(bound).to(states) for bound in (self.low, self.high))
        try:
            return torch.as_tensor(self.module(*arguments)).clamp(low, high)
        except RuntimeError as error:
            raise ValueError(f"observation of shape {tuple(states.shape)} does not fit the network: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network and its bounds to a file."""
        network = self.module.shape() if isinstance(self.module, MLP) else None
        bounds = {"low": self.low.tolist(), "high": self.high.tolist()}
        write(path, {"kind": "neural policy", "network": network, "state": self.module.state_dict(), **bounds})

    @classmethod
    def load(cls, path: str | os.PathLike[str], module: nn.Module | None = None) -> NeuralPolicy:
        """
        Read what :meth:`save` wrote.

        :param path: the file
        :param module: a network of the saved one's class and sizes, where it was not an :class:`MLP`
        :raises FileNotFoundError: if it is not there
        :raises ValueError: if it holds something else, or its network is not known and not given
        """
        content = read(path, "neural policy")
        try:
            shape, state = content["network"], content["state"]
            if module is None and shape is None:
                raise ValueError("module must be given: the saved network is not an MLP of this package")
            module = _network(shape, state) if module is None else module
            module.load_state_dict(state)
            low, high = (np.asarray(content[name], dtype=np.float64) for name in ("low", "high"))
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"path={os.fspath(path)!r} holds no such policy: {error}") from error
        return cls(module, low, high)
