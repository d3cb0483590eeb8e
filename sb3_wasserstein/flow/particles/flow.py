"""The particle gradient flow of Dus 2026 as one object: a policy is a cloud of actions at every node, moved by −∇_a Q."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sb3_wasserstein._validation import check_callable, check_choice, check_count, check_flag, check_number
from sb3_wasserstein.flow.grid.grid import Grid, as_tensor, per_dimension
from sb3_wasserstein.flow.particles import langevin, solver
from sb3_wasserstein.flow.particles.geodesics import Coupling, optimal_coupling
from sb3_wasserstein.flow.particles.mdp import Dynamics, Evaluation, GridMDP, check_memory, differentiate, evaluate
from sb3_wasserstein.flow.particles.policy import GridPolicy, ObservationToState, ParticlePolicy
from sb3_wasserstein.flow.particles.solver import Result, SolverOptions


@dataclass(frozen=True)
class ConvexityReport:
    """
    J along a geodesic a + t v, at every t: ``curvature = local + transport = d²J/dt²`` exactly.

    :param t: where, in [0, 1]
    :param J: the cost there
    :param slope: dJ/dt
    :param local: Σ ρ E⟨v, ∂²_a Q v⟩
    :param transport: 2 ρ P' V'

    Example:
        >>> from sb3_wasserstein.flow import Grid, ParticleFlow
        >>> dynamics, cost = (lambda s, a: s + 0.1 * a), (lambda s, a: (s**2 + a**2)[:, 0])
        >>> flow = ParticleFlow(dynamics, cost, Grid(-3, 3, 31), -2, 2, n_particles=2, noise=0.3)
        >>> other = flow.copy()
        >>> _ = other.solve()
        >>> report = flow.convexity(other, points=5)
        >>> report.t.shape, report.convex
        ((5,), True)
    """

    t: np.ndarray
    J: np.ndarray
    slope: np.ndarray
    local: np.ndarray
    transport: np.ndarray

    @property
    def curvature(self) -> np.ndarray:
        """d²J/dt²."""
        return np.asarray(self.local + self.transport)

    @property
    def convex(self) -> bool:
        """Whether J is convex at all these places, up to round-off."""
        return bool(np.all(self.curvature >= -1e-12 * max(1.0, float(np.abs(self.curvature).max()))))


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
        start = torch.ones(grid.size, dtype=torch.float64) if initial is None else as_tensor("initial", initial).flatten()
        if start.shape != (grid.size,) or not torch.isfinite(start).all() or (start < 0).any() or start.sum() <= 0:
            law = f"a law on the {grid.size} nodes, non-negative, finite, not all 0"
            raise ValueError(f"initial must be {law}; got shape {tuple(start.shape)}")
        self.mdp = GridMDP(dynamics, cost, grid, low, high, std, discount, start / start.sum())
        self.observation_to_state: ObservationToState | None = None
        self._evaluated: tuple[int, int, Evaluation] | None = None
        particles = (low + (high - low) * _spread(m, k)).repeat(grid.size, 1, 1)
        self._policy = ParticlePolicy(particles, torch.full((grid.size, m), 1 / m, dtype=torch.float64))

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
        return self._policy

    @property
    def particles(self) -> torch.Tensor:
        """The actions, float64 (cells, n_particles, k). Set values are copied and projected on the box of actions."""
        return self._policy.particles

    @particles.setter
    def particles(self, value: torch.Tensor) -> None:
        self._set(self._policy.moved(self.mdp.project(_shaped("particles", value, self.particles.shape))))

    @property
    def weights(self) -> torch.Tensor:
        """The probabilities of the particles, (cells, n_particles); set values are normalised."""
        return self._policy.weights

    @weights.setter
    def weights(self, value: torch.Tensor) -> None:
        value = _shaped("weights", value, self.weights.shape)
        if (value < 0).any() or (value.sum(1) <= 0).any():
            raise ValueError("weights must be non-negative, and not all zero at a node")
        self._set(ParticlePolicy(self.particles, value / value.sum(1, keepdim=True)))

    def _set(self, policy: ParticlePolicy) -> None:
        self._policy, self._evaluated = policy, None

    def evaluation(self) -> Evaluation:
        """The policy's :class:`Evaluation`, kept until particles or weights change."""
        # A tensor's version counts its in-place changes: `flow.particles[...] = x` is noticed.
        versions = self.particles._version, self.weights._version
        if self._evaluated is None or self._evaluated[:2] != versions:
            self._evaluated = (*versions, evaluate(self.mdp, self._policy))
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

    def action_value(self, actions: torch.Tensor) -> torch.Tensor:
        """Q_π(s, a), (cells, m) for actions (cells, m, k); ergodic: Q = c − J + E V(s'), discounted: c + γ E V(s')."""
        actions = as_tensor("actions", actions)
        shape = (self.grid.size, actions.shape[1] if actions.ndim == 3 else "m", self.mdp.action_dim)
        actions, at = _shaped("actions", actions, shape), self.evaluation()
        with torch.no_grad():
            return at.q(actions) - (at.J if self.discount is None else 0.0)

    def gradient(self) -> torch.Tensor:
        """grad J = ∇_a Q_π at every particle, like ``particles``; dJ/da_si = ρ(s) w_si ∇_a Q(s, a_si)."""
        return differentiate(self.evaluation().q, self.particles).gradient

    def inner(self, v: torch.Tensor, w: torch.Tensor) -> float:
        """The metric g_π(v, w) = Σ_s ρ(s) E_π ⟨v, w⟩ of two displacements like ``particles``."""
        v, w = (_shaped(name, value, self.particles.shape) for name, value in (("v", v), ("w", w)))
        return float(self._policy.mean((v * w).sum(-1)) @ self.evaluation().rho)

    def hessian_vector(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The Hessian of J along straight displacements a + t v, as vectors of the metric: d²J/dt² is
        ``inner(v, local + transport)``. With V' the change of V and ρ' that of ρ along v,

            local = ∂²_a Q v,    transport = ∇_a (γ E V'(s')) + (ρ'/ρ) ∇_a Q

        Both parts are symmetric under :meth:`inner`. States that ρ does not visit have no ρ'/ρ: that part of their transport
        is reported as 0. The displacements are W2 geodesics in each state, not Levi-Civita geodesics of g_π; the two Hessians
        agree at critical points.

        :param v: like ``particles``
        :return: ``local`` and ``transport``, both like ``particles``
        """
        v, at, mdp = _shaped("v", v, self.particles.shape), self.evaluation(), self.mdp
        found = differentiate(at.q, self.particles, second=True)
        local = (found.hessian @ v[..., None]).squeeze(-1)

        # V' is the value of the cost g(s) = E⟨∇Q, v⟩.
        V_derivative, _ = at.chain.value(self._policy.mean((found.gradient * v).sum(-1)).numpy().copy())
        future = torch.as_tensor(mdp.gamma * mdp.axis_noise.expect(V_derivative)).requires_grad_(True)
        actions = self.particles.detach().requires_grad_(True)
        (moved,) = torch.autograd.grad(mdp.ahead(actions, future).sum(), actions, create_graph=True, materialize_grads=True)
        # That slope is linear in the future, so that its own gradient is the row ρ P', P' = E⟨∂_a P, v⟩, before the noise.
        (row,) = torch.autograd.grad(self._policy.mean((moved * v).sum(-1)) @ at.rho, future, materialize_grads=True)
        rho_derivative = torch.as_tensor(at.chain.adjoint(mdp.gamma * mdp.axis_noise.spread(row.numpy())))
        # ρ' / ρ is round-off where ρ is.
        visited = at.rho > 1e-14 * at.rho.max()
        relative = torch.where(visited, rho_derivative / at.rho.clamp(min=1e-300), torch.zeros_like(at.rho))
        return local, moved.detach() + relative[:, None, None] * found.gradient

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
            start, and at the end a jump of every particle for which there is a better action. False: the local flow, which
            stays in its basin
        :param max_iterations: default 300 for Newton, 20,000 for the gradient
        :param options: tolerances and limits
        :raises ValueError: where the solution leaves mass at the grid's edge, or its chain is reducible
        """
        default = 300 if check_choice("method", method, solver.DIRECTIONS) == "newton" else 20_000
        limit = default if max_iterations is None else check_count("max_iterations", max_iterations)
        if not isinstance(options, SolverOptions):
            raise TypeError(f"options must be SolverOptions(...), got {options!r}")
        check_flag("continuation", continuation)
        run = solver.Run(method, limit, options)
        self._set(run.solve(self.mdp, self._policy, continuation))
        at = self.evaluation()
        if complaints := at.complaints():
            raise ValueError("; ".join(complaints))
        if len(run.history) >= limit:
            warnings.warn(f"solve stopped at max_iterations={limit} before it converged", RuntimeWarning, stacklevel=2)
        return Result(at.J, len(run.history), run.history, solver.greedy_gap(at, options))

    def step(self, method: str = "newton") -> float:
        """One step of the flow in place, without continuation; returns J before the step."""
        check_choice("method", method, solver.DIRECTIONS)
        at = self.evaluation()
        self._set(at.policy.moved(solver.descend(at, method, SolverOptions()).actions))
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
        policy, free_energy = langevin.langevin(self.mdp, self._policy, temperature, sweeps, steps, seed)
        self._set(policy)
        return free_energy

    def copy(self) -> ParticleFlow:
        """The same problem with its own particles and weights."""
        return self._with(ParticlePolicy(self.particles.clone(), self.weights.clone()))

    def _with(self, policy: ParticlePolicy) -> ParticleFlow:
        other = copy.copy(self)
        other._set(policy)
        return other

    def coupling(self, other: ParticleFlow | torch.Tensor) -> Coupling:
        """The optimal coupling in every state: starts and ends (cells, pairs, k), and masses (cells, pairs)."""
        if not isinstance(other, ParticleFlow):
            particles, other = other, self.copy()
            other.particles = particles
        if other.grid.size != self.grid.size or other.mdp.action_dim != self.mdp.action_dim:
            raise ValueError(f"other must live on the same grid with the same actions, got {other.grid} and {self.grid}")
        return optimal_coupling(self._policy, other.policy)

    def geodesic(self, other: ParticleFlow | torch.Tensor, t: float) -> ParticleFlow:
        """
        The policy at t in [0, 1] on the way to another: in every state (1 − t) a + t b along the optimal coupling.

        :param other: a flow on the same grid, or particles
        :param t: where
        :return: a flow with its own particles; of more particles where weights differ and mass has to split
        """
        if not 0 <= check_number("t", t) <= 1:
            raise ValueError(f"t must lie in [0, 1], got {t}")
        return self._with(self.coupling(other).at(t))

    def distance(self, other: ParticleFlow | torch.Tensor) -> float:
        """W_π(π, π') = (Σ_s ρ(s) W2²(π_s, π'_s))^½, with this policy's ρ."""
        start, end, mass = self.coupling(other)
        return float((self.evaluation().rho @ (((start - end) ** 2).sum(-1) * mass).sum(1)).sqrt())

    def convexity(self, other: ParticleFlow, points: int = 11) -> ConvexityReport:
        """J and its local and transport curvature at ``points`` places along the geodesic to another policy."""
        if check_count("points", points, 2) > 1_000_000:
            raise ValueError(f"points must be at most a million, each of which takes an evaluation; got {points}")
        coupling = self.coupling(other)
        v, rows = coupling.end - coupling.start, []
        for t in np.linspace(0.0, 1.0, points):
            there = self._with(coupling.at(float(t)))
            curvatures = (there.inner(v, part) for part in there.hessian_vector(v))
            rows.append((t, there.evaluation().J, there.inner(there.gradient(), v), *curvatures))
        return ConvexityReport(*np.array(rows).T)

    def as_policy(self, observation_to_state: ObservationToState | None = None, *, seed: int | None = None) -> GridPolicy:
        """
        The policy as an object with SB3's ``predict``: for ``evaluate_policy`` or a Gymnasium loop.

        :param observation_to_state: (B, obs) -> (B, d); None: the adapter's, else the observation is the state itself, or
            has (cos, sin) for each periodic dimension
        :param seed: of the draws when ``deterministic`` is False
        """
        to_state = self.observation_to_state if observation_to_state is None else observation_to_state
        return GridPolicy(self._policy, self.grid, to_state, seed)


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


def _shaped(name: str, value: object, shape: Sequence[int | str]) -> torch.Tensor:
    """A finite float64 tensor of a shape, or an error that names the argument."""
    tensor = as_tensor(name, value)
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}: (cells, particles, ...), got {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} must be finite")
    return tensor


def _spread(m: int, k: int) -> torch.Tensor:
    """m points of the unit cube: midpoints of equal intervals in one dimension, else a Halton sequence."""
    if k == 1:
        return (torch.arange(m, dtype=torch.float64)[:, None] + 0.5) / m
    from scipy.stats import qmc

    return torch.as_tensor(qmc.Halton(k, scramble=False).random(m + 1)[1:])
