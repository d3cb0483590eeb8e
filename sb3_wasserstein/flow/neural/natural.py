"""The natural gradient flow of a neural policy through known dynamics."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from sb3_wasserstein._validation import (
    check_array,
    check_callable,
    check_choice,
    check_count,
    check_number,
    check_path,
    check_positive,
    check_seed,
)
from sb3_wasserstein.flow.neural.chains import Chains, Initial, Window, gaussian
from sb3_wasserstein.flow.neural.metric import Parameters, WassersteinMetric, natural_direction
from sb3_wasserstein.flow.neural.policy import NeuralPolicy, as_bound, mlp_around, read, write
from sb3_wasserstein.flow.particles.mdp import Dynamics


def annealed(progress_remaining: float) -> float:
    """The default step: half of Newton's, falling to 0 over the second half of the training."""
    return min(0.5, progress_remaining)


class NaturalGradient:
    """
    The Wasserstein natural gradient flow of a neural policy's ergodic cost, after Dus 2026 (arXiv 2604.14765).

    Each update advances persistent chains by a window of T steps, backpropagates their cost discounted by γ = 1 − 1/T, solves
    (G + δI) d = ∇J by conjugate gradients, G = E[J_θ aᵀ J_θ a], and moves θ by −(learning rate / κ) d with κ the mean
    curvature ∂²Q/∂a²: at rate 1 this is a Newton step in the space of policies. T doubles from ``windows[0]`` to
    ``windows[1]`` over the first fifth of the training. A step of the training is one step of one chain.

    :param policy: widths of an MLP, or a module: states (B, d) -> actions (B, k), or (states, noise
        (B, m)) with an attribute ``noise_dim`` = m
    :param dynamics: batched callable, states (B, d) and actions (B, k) -> next states (B, d) without the noise, differentiable
    :param cost: batched callable, states and actions -> cost (B,), minimised on average
    :param noise: standard deviation per step and dimension, (d,), or a matrix (d, m)
    :param initial: law of the initial states: standard deviations around 0, or a callable (n, generator) -> (n, d)
    :param action_low: where the finished policy clips its actions; a module's output is not clipped while it learns
    :param action_high: the same, above
    :param learning_rate: a number, or a function of the remaining progress, from 1 to 0
    :param method: "natural"; "gradient": d = ∇J; "adam": Adam on ∇J with ``learning_rate`` as its own
    :param n_chains: number of chains
    :param windows: first and last T
    :param restart: share of the chains that each window restarts from the initial law
    :param damping: δ; an action's derivative by its own output bias is 1
    :param cg_iterations: conjugate gradients an update
    :param metric_samples: states that G is estimated from
    :param max_displacement: the longest step that an action makes, root mean square over actions and states
    :param action_dim: k, where ``policy`` is widths and the bounds are numbers
    :param seed: of network and chains
    :param verbose: 1 prints the log
    :param tensorboard_log: folder for TensorBoard
    :raises ValueError: if an argument is out of range, with its name
    :raises TypeError: if one is of the wrong type

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.envs import NonlinearRegulator
        >>> from sb3_wasserstein.flow import NaturalGradient
        >>> task = NonlinearRegulator()
        >>> learner = NaturalGradient((16,), task.dynamics, task.cost, noise=task.noise, initial=1.0, action_dim=1, seed=0)
        >>> before = learner.evaluate()
        >>> bool(learner.learn(8192).evaluate() < before)
        True
    """

    def __init__(
        self,
        policy: nn.Module | Sequence[int],
        dynamics: Dynamics,
        cost: Dynamics,
        *,
        noise: Sequence[float] | np.ndarray,
        initial: float | Sequence[float] | np.ndarray | Initial,
        action_low: float | Sequence[float] | np.ndarray = -np.inf,
        action_high: float | Sequence[float] | np.ndarray = np.inf,
        learning_rate: float | Callable[[float], float] = annealed,
        method: str = "natural",
        n_chains: int = 64,
        windows: tuple[int, int] = (16, 64),
        restart: float = 0.125,
        damping: float = 0.1,
        cg_iterations: int = 15,
        metric_samples: int = 1024,
        max_displacement: float = 0.3,
        action_dim: int | None = None,
        seed: int | None = None,
        verbose: int = 0,
        tensorboard_log: str | None = None,
    ) -> None:
        check_callable("dynamics", dynamics, "(states, actions)")
        check_callable("cost", cost, "(states, actions)")
        self.method = check_choice("method", method, ("natural", "gradient", "adam"))
        if (
            np.shape(windows) != (2,)
            or not 2 <= check_count("windows", windows[0]) <= check_count("windows", windows[1]) <= 10**6
        ):
            raise ValueError(f"windows must be (first, last) with 2 <= first <= last <= a million, got {windows}")
        self.cg_iterations = check_count("cg_iterations", cg_iterations)
        self.metric_samples = check_count("metric_samples", metric_samples)
        if not 0 <= check_number("restart", restart) < 1:
            raise ValueError(f"restart must lie in [0, 1), got {restart!r}")
        self.damping = check_positive("damping", damping)
        self.max_displacement = check_positive("max_displacement", max_displacement)
        rate = learning_rate if callable(learning_rate) else check_positive("learning_rate", learning_rate)
        self.learning_rate = rate if callable(rate) else lambda progress_remaining: rate
        if tensorboard_log is not None:
            check_path("tensorboard_log", tensorboard_log)
        check_seed(seed)
        spread = torch.as_tensor(check_array("noise", noise))
        if spread.ndim not in (1, 2) or spread.numel() == 0:
            raise ValueError(f"noise must be (d,) or (d, m), got shape {tuple(spread.shape)}")
        self.windows = (int(windows[0]), int(windows[1]))
        self.verbose, self.tensorboard_log = verbose, tensorboard_log
        self.action_low, self.action_high = as_bound("action_low", action_low), as_bound("action_high", action_high)
        if not (self.action_low < self.action_high).all():
            raise ValueError(f"action_low must lie below action_high, got {action_low!r} and {action_high!r}")
        dim = len(spread)
        sampler: Initial = initial if callable(initial) else gaussian(initial, dim)
        if isinstance(policy, nn.Module):
            self.policy = policy
        else:
            if action_dim is None and self.action_low.ndim == self.action_high.ndim == 0:
                raise ValueError("action_dim must be given where policy is widths and action_low, action_high are numbers")
            k = max(self.action_low.size, self.action_high.size) if action_dim is None else action_dim
            self.policy = mlp_around(policy, dim, k, sampler, seed)
        _check_chains(n_chains, dim)
        self.chains = Chains(self.policy, dynamics, cost, spread, sampler, n_chains, restart, seed)
        self.adam = torch.optim.Adam(self.policy.parameters(), lr=1.0)
        self.num_timesteps, self.n_updates = 0, 0
        self.curvature: float | None = None
        self._direction: Parameters | None = None

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[[NaturalGradient], bool | None] | None = None,
        log_interval: int = 10,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: int = 10,
        tb_log_name: str = "NaturalGradient",
    ) -> NaturalGradient:
        """
        Train until ``num_timesteps``, chains times steps of their windows, reaches ``total_timesteps``.

        :param total_timesteps: the end, from the very beginning on: a resumed training goes on to the same end
        :param callback: called with self after every update; False stops
        :param log_interval: updates between two lines of the log
        :param checkpoint: a file to go on from, where it is there, and to write to
        :param checkpoint_interval: updates between two writes
        :param tb_log_name: of the run, in TensorBoard
        """
        from stable_baselines3.common.utils import configure_logger

        check_count("total_timesteps", total_timesteps)
        check_count("log_interval", log_interval)
        check_count("checkpoint_interval", checkpoint_interval)
        if callback is not None:
            check_callable("callback", callback, "the learner")
        if checkpoint is not None and check_path("checkpoint", checkpoint).exists():
            self.load_checkpoint(checkpoint)
        logger = configure_logger(self.verbose, self.tensorboard_log, tb_log_name, True)
        while self.num_timesteps < total_timesteps:
            progress = self.num_timesteps / total_timesteps
            length = self._window_length(progress)
            measured = self._update(length, self.learning_rate(1 - progress))
            self.num_timesteps += length * self.chains.n_chains
            self.n_updates += 1
            if self.n_updates % log_interval == 0:
                for name, value in {**measured, "train/window": length, "train/n_updates": self.n_updates}.items():
                    logger.record(name, value)
                logger.dump(self.num_timesteps)
            if checkpoint is not None and self.n_updates % checkpoint_interval == 0:
                self.save_checkpoint(checkpoint)
            if callback is not None and callback(self) is False:
                break
        if checkpoint is not None:
            self.save_checkpoint(checkpoint)
        logger.close()
        return self

    def _window_length(self, progress: float) -> int:
        """T doubles twice over the first fifth: long windows through a plant that is not yet stable explode."""
        first, last = self.windows
        if progress >= 0.2:
            return last
        return min(last, first if progress < 0.07 else 2 * first)

    def _update(self, length: int, rate: float) -> dict[str, float]:
        """One step of the flow; what it measured, for the log."""
        window = self.chains.window(length)
        measured = {"rollout/cost": window.cost, "rollout/diverged": window.diverged, "train/learning_rate": rate}
        if not all(bool(torch.isfinite(value).all()) for value in window.gradient.values()):
            # A window in which chains explode has no usable gradient; these chains have been restarted.
            return measured
        if self.method == "adam":
            for name, parameter in self.policy.named_parameters():
                parameter.grad = window.gradient[name]
            self.adam.param_groups[0]["lr"] = rate
            self.adam.step()
            return measured
        # The curvature changes slowly and costs a second backward pass: a running mean over every fourth update.
        if self.n_updates % 4 == 0:
            found = abs(self.chains.curvature(length))
            if np.isfinite(found) and found > 0:
                self.curvature = found if self.curvature is None else 0.7 * self.curvature + 0.3 * found
        curvature = 1.0 if self.curvature is None else self.curvature
        measured["train/curvature"] = curvature
        vector, step = window.gradient, rate / curvature
        if self.method == "natural":
            metric = self._metric(window)
            direction = natural_direction(metric, vector, self.damping, self.cg_iterations, self._direction)
            vector = self._direction = direction.vector
            step = min(step, self.max_displacement * np.sqrt(metric.action_dim) / max(direction.length, 1e-300))
            measured |= {"train/displacement": direction.length, "train/cg_residual": direction.residual}
        with torch.no_grad():
            for name, parameter in self.policy.named_parameters():
                parameter.sub_(step * vector[name])
        return measured

    def _metric(self, window: Window) -> WassersteinMetric:
        """G from some of the window's states."""
        rows = torch.randperm(len(window.weights), generator=self.chains.generator)[: self.metric_samples]
        arguments = tuple(part[rows] for part in window.arguments)

        def actions(parameters: Parameters) -> torch.Tensor:
            return torch.as_tensor(functional_call(self.policy, dict(parameters), arguments))

        weights = window.weights[rows] / window.weights[rows].sum()
        return WassersteinMetric(actions, dict(self.policy.named_parameters()), weights)

    def evaluate(self, n_chains: int = 128, burn_in: int = 200, steps: int = 600, seed: int = 0) -> float:
        """
        The average cost of a step, by simulation of new chains; it counts for nothing in ``num_timesteps``.

        :param n_chains: number of chains
        :param burn_in: steps before the average begins
        :param steps: steps that are averaged
        :param seed: of the chains, the same for every policy
        """
        _check_chains(n_chains, len(self.chains.centre))
        check_count("burn_in", burn_in, 0)
        check_count("steps", steps)
        check_count("seed", seed, 0)
        chains, generator = self.chains, torch.Generator().manual_seed(seed)
        low, high = (torch.as_tensor(bound).to(chains.example) for bound in (self.action_low, self.action_high))
        states, total = chains.starts(n_chains, generator), 0.0
        with torch.no_grad():
            simulated = chains.roll(lambda *at: self.policy(*at).clamp(low, high), states, burn_in + steps, generator)
            for t, (_, costs, _) in enumerate(simulated):
                total += float(costs.mean()) if t >= burn_in else 0.0
        return total / steps

    def as_policy(self, seed: int | None = None) -> NeuralPolicy:
        """The network behind SB3's ``predict``; its ``save`` keeps it."""
        return NeuralPolicy(self.policy, self.action_low, self.action_high, seed)

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that a resumed training needs, so that it goes on as if it had never stopped."""
        write(path, self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "kind": "natural gradient",
            "policy": self.policy.state_dict(),
            "adam": self.adam.state_dict(),
            "chains": self.chains.state_dict(),
            "direction": self._direction,
            "curvature": self.curvature,
            "num_timesteps": self.num_timesteps,
            "n_updates": self.n_updates,
        }

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """
        Go on from what :meth:`save_checkpoint` wrote, in an object that was built with the same arguments.

        :param path: the file
        :raises FileNotFoundError: if there is no such file
        :raises ValueError: if the file holds something else; the learner is then as it was
        """
        content = read(path, "natural gradient")
        before = copy.deepcopy(self._content())
        try:
            self._take_up(content)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            self._take_up(before)
            raise ValueError(f"path={os.fspath(path)!r} holds no checkpoint of this learner: {error}") from error

    def _take_up(self, content: dict[str, Any]) -> None:
        shapes = {name: parameter.shape for name, parameter in self.policy.named_parameters()}
        direction, curvature = content["direction"], content["curvature"]
        if direction is not None and {name: part.shape for name, part in direction.items()} != shapes:
            raise ValueError("its direction is not one of this network")
        self.policy.load_state_dict(content["policy"])
        self.adam.load_state_dict(content["adam"])
        for parameter, state in self.adam.state.items():
            if any(value.shape not in (parameter.shape, ()) for value in state.values() if isinstance(value, torch.Tensor)):
                raise ValueError("its Adam is not one of this network")
        self.chains.load_state_dict(content["chains"])
        self._direction, self.curvature = direction, None if curvature is None else check_number("curvature", curvature)
        self.num_timesteps = check_count("num_timesteps", content["num_timesteps"], 0)
        self.n_updates = check_count("n_updates", content["n_updates"], 0)


def _check_chains(n_chains: int, dim: int) -> None:
    if check_count("n_chains", n_chains) * dim > 10**9:
        raise ValueError(f"n_chains={n_chains} chains of {dim} coordinates take more than 4 GB: take fewer")
