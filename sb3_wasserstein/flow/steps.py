"""One step of the flow on every particle at once: the velocity −∇Q or its Newton form, projected on the box, backtracked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch

# (n, m, k) actions -> (n, m) action values
ActionValue: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_ARMIJO = 1e-4
_HALVINGS = 12
# State-action pairs that the greedy scan holds in memory at once.
_SCAN_AT_ONCE = 250_000
# Values of Q closer than this, relative to their spread, are told apart by round-off only.
_ROUND_OFF = 1e-13


class Derivatives(NamedTuple):
    """Q (n, m), ∇_a Q (n, m, k) and, where asked for, ∂²_a Q (n, m, k, k)."""

    value: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor | None


class Step(NamedTuple):
    """New particles, and the decrease of Q that the quadratic model promised each of them, (n, m)."""

    actions: torch.Tensor
    promised: torch.Tensor


def differentiate(q: ActionValue, actions: torch.Tensor, second: bool = False) -> Derivatives:
    """
    Q and its derivatives in the action, particle by particle. Actions that do not enter have derivative 0 exactly.

    :param second: whether the Hessian is wanted
    """
    actions = actions.detach().requires_grad_(True)
    value = q(actions)
    k = actions.shape[-1]
    gradient, hessian = torch.zeros_like(actions), torch.zeros(*actions.shape, k, dtype=torch.float64)
    if value.requires_grad:
        (found,) = torch.autograd.grad(value.sum(), actions, create_graph=second, allow_unused=True)
        gradient = gradient if found is None else found
    if second and gradient.requires_grad:
        for i in range(k):
            (row,) = torch.autograd.grad(gradient[..., i].sum(), actions, retain_graph=i < k - 1, allow_unused=True)
            if row is not None:
                hessian[..., i, :] = row
    return Derivatives(value.detach(), gradient.detach(), hessian if second else None)


def newton_direction(
    gradient: torch.Tensor, hessian: torch.Tensor, actions: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """
    v = −∇Q / |∂²Q|, the eigenvalues of the Hessian made positive so that it descends where Q is not convex. Coordinates that
    a bound holds are left out, and no step is longer than a quarter of the box.
    """
    held = ((actions <= low) & (gradient > 0)) | ((actions >= high) & (gradient < 0))
    free = (~held).to(gradient.dtype)
    matrix = hessian * free[..., :, None] * free[..., None, :]
    values, vectors = (matrix[..., 0], torch.ones_like(matrix)) if len(low) == 1 else torch.linalg.eigh(matrix)
    # A flat direction takes the longest step: its curvature is put where the cap below decides.
    values = values.abs().clamp(min=1e-300)
    inside = (vectors.transpose(-1, -2) @ (gradient * free)[..., None]).squeeze(-1)
    steps = torch.where(inside == 0, torch.zeros_like(inside), -inside / values)
    direction = (vectors @ steps.nan_to_num(0.0, 1e300, -1e300)[..., None]).squeeze(-1) * free
    excess = (direction.abs() / (0.25 * (high - low))).amax(-1, keepdim=True)
    return direction / excess.clamp(min=1.0)


def descend(
    q: ActionValue, at: Derivatives, actions: torch.Tensor, direction: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> Step:
    """
    a ← Proj_box(a + α v), α halved for each particle until Q falls enough (Armijo). Every state's E_π' Q_π ≤ E_π Q_π, so J
    falls too, by the policy improvement theorem: no evaluation of J is needed inside.
    """
    slack = _ROUND_OFF * float(at.value.max() - at.value.min())
    scale = torch.ones(*at.value.shape, 1, dtype=torch.float64)
    for _ in range(_HALVINGS):
        trial = torch.minimum(torch.maximum(actions + scale * direction, low), high)
        with torch.no_grad():
            reached = q(trial)
        wanted = at.value + _ARMIJO * (at.gradient * (trial - actions)).sum(-1) + slack
        failed = reached > wanted
        if not failed.any():
            break
        scale = torch.where(failed[..., None], scale / 2, scale)
    accepted = torch.where(failed[..., None], actions, trial)
    full = torch.minimum(torch.maximum(actions + direction, low), high)
    promised = -(at.gradient * (full - actions)).sum(-1).clamp(max=0.0)
    # At a kink of the user's own (a clipped speed) the slope promises what no step along it can keep.
    return Step(accepted, torch.where(failed, torch.zeros_like(promised), promised))


def scan_actions(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """A regular grid over the box of actions, ends included: 65 in one dimension, 17 each in two, (S, k)."""
    count = {1: 65, 2: 17}.get(len(low), 7)
    axes = [torch.linspace(float(a), float(b), count, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    return torch.cartesian_prod(*axes).reshape(-1, len(low))


def greedy(q: ActionValue, actions: torch.Tensor, scan: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The best of the particles and the scanned actions in each state, after one Newton step of the scan's winner.

    :return: min_a Q (n,), and where (n, k)
    """
    n = actions.shape[0]
    low, high = scan.amin(0), scan.amax(0)
    with torch.no_grad():
        parts = torch.split(scan, max(1, _SCAN_AT_ONCE // n))
        values = torch.cat([q(part.expand(n, -1, -1)) for part in parts], dim=1)
    best = scan[values.argmin(1)][:, None]
    at = differentiate(q, best, second=True)
    assert at.hessian is not None
    polished = descend(q, at, best, newton_direction(at.gradient, at.hessian, best, low, high), low, high).actions
    candidates = torch.cat([actions, best, polished], dim=1)
    with torch.no_grad():
        values = q(candidates)
    least, where = values.min(1)
    return least, candidates[torch.arange(n), where]
