"""The particle gradient flow as one object: a policy is a cloud of actions at every node, moved by −∇_a Q."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from sb3_wasserstein._validation import check_callable, check_choice, check_count, check_flag, check_number
from sb3_wasserstein.flow.grid.grid import Grid, as_tensor, per_dimension
from sb3_wasserstein.flow.particles import derivatives, geodesics, langevin, solver
from sb3_wasserstein.flow.particles.mdp import Dynamics, Evaluation, GridMDP, check_memory, evaluate, initial_law
from sb3_wasserstein.flow.particles.policy import GridPolicy, ObservationToState, ParticlePolicy
from sb3_wasserstein.flow.particles.solver import Result, SolverOptions


class ParticleFlow:
    """
    Policy optimisation as a gradient flow in Wasserstein space, after Dus 2026 (arXiv 2604.14765), on a grid of states.

    A policy is π(·|s) = Σ_i w_si δ(a_si) at each node. In the metric g_π(v, w) = Σ_s ρ(s) E_π ⟨v, w⟩ the gradient of the
    long-run cost J is ∇_a Q_π, which is what :meth:`gradient` returns; :meth:`hessian_vector` is the second derivative along
    straight displacements a + t v. Everything is exact for the finite MDP on the grid, in float64.

    :param dynamics: batched torch callable, states (B, d) and actions (B, k) -> next states without noise (B, d)
    :param cost: batched torch callable, states and actions -> cost (B,), minimised
    :param grid: the grid of states
    :param action_low: lower bounds of the actions, a number or one per action dimension
    :param action_high: upper bounds
    :param n_particles: actions per node
    :param noise: standard deviation of the Gaussian noise added in a step, a number or one per state dimension, at most the
        width of the grid
    :param discount: γ in [0, 1), or None for the ergodic (average) cost
    :param initial: μ₀ on the nodes, (cells,), for the discounted cost; None: uniform
    :raises ValueError: on shapes, bounds, NaN from the callables, or a grid that does not fit into memory
    :raises TypeError: on callables that torch cannot differentiate

    Example:
        >>> from sb3_wasserstein.flow import Grid, ParticleFlow
        >>> dynamics, cost = (lambda s, a: s + 0.1 * a), (lambda s, a: (s**2 + a**2)[:, 0])
        >>> flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 31), -2, 2, n_particles=2, noise=0.3)
        >>> flow.particles.shape
        torch.Size([31, 2, 1])
        >>> result = flow.solve()
        >>> J, V, rho = flow.evaluate()
        >>> bool(abs(J - result.J) < 1e-12), V.shape
        (True, torch.Size([31]))
    """

    def __init__(
        self,
        dynamics: Dynamics,
        cost: Dynamics,
        grid: Grid,
        action_low: float | Sequence[float] | np.ndarray,
        action_high: float | Sequence[float] | np.ndarray,
        n_particles: int,
        noise: float | Sequence[float] | np.ndarray,
        discount: float | None = None,
        initial: torch.Tensor | np.ndarray | Sequence[float] | None = None,
    ) -> None:
        m = check_count("n_particles", n_particles)
        std = check_task(dynamics, cost, grid, noise, discount)
        k = max(np.size(action_low), np.size(action_high))
        low = torch.as_tensor(per_dimension("action_low", action_low, k))
        high = torch.as_tensor(per_dimension("action_high", action_high, k))
        if (low >= high).any():
            raise ValueError(f"action_low must lie below action_high, got {low.tolist()} and {high.tolist()}")
        check_memory(grid, k, m)
        self.mdp = GridMDP(dynamics, cost, grid, low, high, std, discount, initial_law(initial, grid.size))
        self.mdp.check_callables()
        self.observation_to_state: ObservationToState | None = None
        self._evaluated: tuple[int, int, Evaluation] | None = None
        self._weights = torch.full((grid.size, m), 1 / m, dtype=torch.float64)
        self.particles = (low + (high - low) * _spread(m, k)).expand(grid.size, m, k)

    @property
    def grid(self) -> Grid:
        """The grid of states."""
        return self.mdp.grid

    @property
    def discount(self) -> float | None:
        """γ, or None for the ergodic cost."""
        return self.mdp.discount

    @property
    def policy(self) -> ParticlePolicy:
        """Particles and weights as they are now."""
        return ParticlePolicy(self._particles, self._weights)

    @property
    def particles(self) -> torch.Tensor:
        """The actions, float64 (cells, n_particles, k). Set values are copied and projected on the box of actions."""
        return self._particles

    @particles.setter
    def particles(self, value: torch.Tensor) -> None:
        shape = (*self._weights.shape, self.mdp.action_dim)
        value = as_tensor("particles", value)
        if value.shape != shape:
            raise ValueError(f"particles must have shape {shape}: (cells, n_particles, k), got {tuple(value.shape)}")
        if not torch.isfinite(value).all():
            raise ValueError("particles must be finite")
        self._set(ParticlePolicy(self.mdp.project(value), self._weights))

    @property
    def weights(self) -> torch.Tensor:
        """The probabilities of the particles, (cells, n_particles); set values are normalised."""
        return self._weights

    @weights.setter
    def weights(self, value: torch.Tensor) -> None:
        value = as_tensor("weights", value)
        if value.shape != self._weights.shape:
            raise ValueError(f"weights must have shape {tuple(self._weights.shape)}, got {tuple(value.shape)}")
        if not torch.isfinite(value).all() or (value < 0).any() or (value.sum(1) <= 0).any():
            raise ValueError("weights must be finite, non-negative, and not all zero at a node")
        self._set(ParticlePolicy(self._particles, value / value.sum(1, keepdim=True)))

    def _set(self, policy: ParticlePolicy) -> None:
        self._particles, self._weights, self._evaluated = policy.particles, policy.weights, None

    def evaluation(self) -> Evaluation:
        """The policy's :class:`Evaluation`, kept until particles or weights change."""
        # A tensor's version counts its in-place changes: `flow.particles[...] = x` is noticed.
        versions = self._particles._version, self._weights._version
        if self._evaluated is None or self._evaluated[:2] != versions:
            self._evaluated = (*versions, evaluate(self.mdp, self.policy))
        return self._evaluated[2]

    def evaluate(self) -> tuple[float, torch.Tensor, torch.Tensor]:
        """
        J, V (cells,) with V = 0 at the grid's centre when ergodic, and ρ (cells,).

        A RuntimeWarning says where the answer is not to be trusted: mass that falls off the grid, a reducible chain.
        """
        at = self.evaluation()
        for complaint in at.complaints():
            warnings.warn(complaint, RuntimeWarning, stacklevel=2)
        return at.J, at.V.clone(), at.rho.clone()

    def gradient(self) -> torch.Tensor:
        """grad J = ∇_a Q_π at every particle, like ``particles``; dJ/da_si = ρ(s) w_si ∇_a Q(s, a_si)."""
        return derivatives.gradient(self.evaluation())

    def action_value(self, actions: torch.Tensor) -> torch.Tensor:
        """Q_π(s, a), (cells, m) for actions (cells, m, k); ergodic: Q = c − J + E V(s'), discounted: c + γ E V(s')."""
        actions = as_tensor("actions", actions)
        if actions.ndim != 3 or (actions.shape[0], actions.shape[2]) != (self.grid.size, self.mdp.action_dim):
            shape = (self.grid.size, "m", self.mdp.action_dim)
            raise ValueError(f"actions must have shape {shape}, got {tuple(actions.shape)}")
        at = self.evaluation()
        with torch.no_grad():
            return at.q(actions) - (at.J if self.discount is None else 0.0)

    def solve(
        self,
        method: str = "newton",
        continuation: bool = True,
        *,
        max_iterations: int | None = None,
        options: SolverOptions = SolverOptions(),  # noqa: B008 (frozen)
    ) -> Result:
        """
        Run the flow until the quadratic model promises nothing more, to 1e-14 of J.

        :param method: ``"newton"``: −∇Q / ∂²Q at every particle; ``"gradient"``: the explicit Euler step, η = 1 / max ∂²Q
        :param continuation: γ = 0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99 before the flow's own; with Newton also a coarse-to-fine
            start, and at the end a jump of every particle that sees a better action. False: the local flow, in its own basin
        :param max_iterations: default 300 for Newton, 20,000 for the gradient
        :param options: tolerances and limits
        :raises ValueError: where the solution leaves mass at the grid's edge, or its chain is reducible
        """
        default = 300 if check_choice("method", method, solver.STEPS) == "newton" else 20_000
        limit = default if max_iterations is None else check_count("max_iterations", max_iterations)
        if not isinstance(options, SolverOptions):
            raise TypeError(f"options must be SolverOptions(...), got {options!r}")
        check_flag("continuation", continuation)
        policy, history = solver.solve(self.mdp, self.policy, method, continuation, limit, options)
        self._set(policy)
        at = self.evaluation()
        if complaints := at.complaints():
            raise ValueError("; ".join(complaints))
        if len(history) >= limit:
            warnings.warn(f"solve stopped at max_iterations={limit} before it converged", RuntimeWarning, stacklevel=2)
        return Result(at.J, len(history), history, solver.greedy_gap(at, options))

    def step(self, method: str = "newton") -> float:
        """One step of the flow in place, without continuation; returns J before the step."""
        at = self.evaluation()
        self._set(at.policy.moved(solver.STEPS[check_choice("method", method, solver.STEPS)](at, SolverOptions()).actions))
        return at.J

    def langevin(self, temperature: float, sweeps: int = 40, steps: int = 25, seed: int | None = None) -> float:
        """
        The entropy-regularised flow, velocity −∇_a Q − τ ∇_a log π, in place: its stationary law is Gibbs, π ∝ exp(−Q/τ).

        The particles follow Langevin dynamics with a Metropolis test, so that the law is exact at any step size. Q is that of
        the cost c + τ log π, with the entropy estimated from the particles: use tens of them or more.

        :param temperature: τ > 0, in the unit of the cost
        :param sweeps: evaluations of Q; step sizes are fitted during the first half of them
        :param steps: moves of every particle in a sweep
        :param seed: of the moves
        :return: J + τ E log π of the particles it ends with
        """
        policy, free_energy = langevin.langevin(self.mdp, self.policy, temperature, sweeps, steps, seed)
        self._set(policy)
        return free_energy

    def copy(self) -> ParticleFlow:
        """The same problem with its own particles and weights."""
        return self._with(ParticlePolicy(self._particles.clone(), self._weights.clone()))

    def _with(self, policy: ParticlePolicy) -> ParticleFlow:
        other = copy.copy(self)
        other._set(policy)
        return other

    def inner(self, v: torch.Tensor, w: torch.Tensor) -> float:
        """g_π(v, w) = Σ_s ρ(s) E_π ⟨v, w⟩ of two displacements like ``particles``."""
        return derivatives.inner(self.evaluation(), self._displacement("v", v), self._displacement("w", w))

    def _displacement(self, name: str, v: torch.Tensor) -> torch.Tensor:
        v = as_tensor(name, v)
        if v.shape != self._particles.shape:
            raise ValueError(f"{name} must have the particles' shape {tuple(self._particles.shape)}, got {tuple(v.shape)}")
        return v

    def hessian_vector(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The Hessian of J along straight displacements a + t v, as vectors of the metric: d²J/dt² is
        ``inner(v, local + transport)``, and both parts are symmetric under :meth:`inner`.

        These displacements are W2 geodesics in each state, not Levi-Civita geodesics of g_π; the two Hessians agree at
        critical points. States that ρ does not visit have no ρ'/ρ: that part of their transport is reported as 0.

        :param v: like ``particles``
        :return: ``local``, ∂²_a Q v, and ``transport``, what a change of the law of states adds; both like ``particles``
        """
        return derivatives.hessian_vector(self.evaluation(), self._displacement("v", v))

    def convexity(self, other: ParticleFlow, points: int = 11) -> derivatives.ConvexityReport:
        """J and its local and transport curvature at ``points`` places along the geodesic to another policy."""
        return derivatives.convexity(self.mdp, self.policy, self._policy_of(other), points)

    def _policy_of(self, other: ParticleFlow | torch.Tensor) -> ParticlePolicy:
        if isinstance(other, ParticleFlow):
            if other.grid.size != self.grid.size or other.mdp.action_dim != self.mdp.action_dim:
                raise ValueError(f"other must live on the same grid with the same actions, got {other.grid} and {self.grid}")
            return other.policy
        policy = self.copy()
        policy.particles = other
        return policy.policy

    def geodesic(self, other: ParticleFlow | torch.Tensor, t: float) -> ParticleFlow:
        """
        The policy at t in [0, 1] on the way to another: in every state (1 − t) a + t b along the optimal coupling.

        :param other: a flow on the same grid, or particles
        :param t: where
        :return: a flow with its own particles; of more particles where weights differ and mass has to split
        """
        if not 0 <= check_number("t", t) <= 1:
            raise ValueError(f"t must lie in [0, 1], got {t}")
        return self._with(geodesics.geodesic(self.policy, self._policy_of(other), t))

    def coupling(self, other: ParticleFlow | torch.Tensor) -> geodesics.Coupling:
        """The optimal coupling in every state: starts and ends (cells, pairs, k), and masses (cells, pairs)."""
        return geodesics.optimal_coupling(self.policy, self._policy_of(other))

    def distance(self, other: ParticleFlow | torch.Tensor) -> float:
        """W_π(π, π') = (Σ_s ρ(s) W2²(π_s, π'_s))^½, with this policy's ρ."""
        return geodesics.distance(self.evaluation(), self._policy_of(other))

    def as_policy(self, observation_to_state: ObservationToState | None = None, *, seed: int | None = None) -> GridPolicy:
        """
        The policy as an object with SB3's ``predict``: for ``evaluate_policy`` or a Gymnasium loop.

        :param observation_to_state: (B, obs) -> (B, d); None: the adapter's, else the observation is the state itself, or
            has (cos, sin) for each periodic dimension
        :param seed: of the draws when ``deterministic`` is False
        """
        to_state = self.observation_to_state if observation_to_state is None else observation_to_state
        return GridPolicy(self.policy, self.grid, to_state, seed)


def check_task(dynamics: Dynamics, cost: Dynamics, grid: Grid, noise: object, discount: float | None) -> np.ndarray:
    """
    Check what states a control problem, all but its actions.

    :return: the noise per dimension, (d,)
    :raises TypeError: if ``grid`` is no Grid, or if ``dynamics`` or ``cost`` cannot be called
    :raises ValueError: if ``noise`` or ``discount`` is out of range
    """
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a Grid(low, high, cells); got {grid!r}")
    check_callable("dynamics", dynamics, "(states, actions)")
    check_callable("cost", cost, "(states, actions)")
    std = per_dimension("noise", noise, grid.dim)
    if (std < 0).any() or (std > grid.high - grid.low).any():
        raise ValueError(f"noise must be a standard deviation, from 0 to the width of the grid; got {noise!r}")
    if discount is not None and not 0 <= check_number("discount", discount) < 1:
        raise ValueError(f"discount must lie in [0, 1), or be None for the ergodic cost; got {discount!r}")
    return std


def _spread(m: int, k: int) -> torch.Tensor:
    """m points of the unit cube: midpoints of equal intervals in one dimension, else a Halton sequence."""
    if k == 1:
        return (torch.arange(m, dtype=torch.float64)[:, None] + 0.5) / m
    from scipy.stats import qmc

    return torch.as_tensor(qmc.Halton(k, scramble=False).random(m + 1)[1:])
