"""The fast core: both array namespaces, small ε, warm starts, warnings, and Gaussians in closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from sb3_wasserstein import behaviour_distance
from sb3_wasserstein.cloud import ArrayBackend, Cloud
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.transport.acceleration import AndersonAcceleration, Search
from sb3_wasserstein.transport.cost_matrix import MatrixPairs
from sb3_wasserstein.transport.precision import Solved, solve_within
from sb3_wasserstein.transport.sinkhorn import solve, solve_symmetric


def clouds(n: int, d: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.7 * rng.normal(size=(n, d)) + 1 / np.sqrt(d)


def error(dual: Any) -> float:
    """L1 error of both marginals in float64."""
    plan = dual.coupling()
    return np.abs(plan.sum(1) - 1 / len(plan)).sum() + np.abs(plan.sum(0) - 1 / plan.shape[1]).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_are_solved_as_arrays_are(dtype: str) -> None:
    x, y = clouds(300, 2)
    costs, weights = cdist(x, y).astype(dtype), np.full(300, 1 / 300, dtype)
    here, there = ArrayBackend(dtype), ArrayBackend(dtype, "cpu:0")
    of_arrays = solve(MatrixPairs(costs, here), weights, weights, 0.1)
    tensor, tensor_weights = torch.from_numpy(costs), torch.from_numpy(weights)
    of_tensors = solve(MatrixPairs(tensor, there), tensor_weights, tensor_weights, 0.1)
    assert of_tensors.residual <= 1e-3
    np.testing.assert_allclose(of_tensors.f.numpy() - of_tensors.f.mean().item(), of_arrays.f - of_arrays.f.mean(), atol=2e-3)
    own = torch.from_numpy(cdist(x, x).astype(dtype))
    assert solve_symmetric(MatrixPairs(own, there), tensor_weights, 0.1).residual <= 1e-3


@pytest.mark.parametrize("d", [2, 16])
@pytest.mark.parametrize("epsilon", [0.1, 0.01])
def test_both_marginals_fit_cold_and_warm(loops: str, d: int, epsilon: float) -> None:
    x, y = clouds(400, d)
    dual = SinkhornDual(epsilon=epsilon, debias=False)
    dual.update(x, y)
    assert error(dual) <= 1.05e-3
    cold = dual.iterations
    dual.update(x + 0.01, y)
    assert error(dual) <= 1.05e-3
    assert dual.iterations < cold
    dual.update(x, np.vstack([y, y[:5] + 0.1]))
    assert error(dual) <= 1.05e-3


def test_mixing_takes_a_fraction_of_sinkhorns_iterations() -> None:
    x, y = clouds(300, 2)
    dual = SinkhornDual(epsilon=0.01, debias=False)
    dual.update(x, y)
    costs, weights = cdist(x, y), np.full(300, 1 / 300)
    plain = 0
    f, g, residual = np.zeros(300), np.zeros(300), 1.0
    while residual > 1e-3:
        g = -dual.epsilon_ * np.log(np.exp((f[:, None] - costs) / dual.epsilon_).mean(axis=0))
        rows = np.exp((f[:, None] + g - costs) / dual.epsilon_).mean(axis=1)
        f, residual, plain = f - dual.epsilon_ * np.log(rows), weights @ np.abs(rows - 1), plain + 1
    assert 2 * dual.iterations <= plain


def test_mixing_is_a_least_squares_solution() -> None:
    """Walker and Ni 2011, type II: the last three differences of steps, against numpy."""
    rng = np.random.default_rng(0)
    weights, (points, steps) = rng.dirichlet(np.ones(30)), rng.normal(size=(2, 6, 30))
    search = Search(weights, AndersonAcceleration(memory=3, ridge=0.0, largest_step=1e9))
    mixed = [search.next(1.0, float(k), point, step) for k, (point, step) in enumerate(zip(points, steps, strict=True))]
    root, plain = np.sqrt(weights), points + steps
    shares = np.linalg.lstsq((root * np.diff(steps[-4:], axis=0)).T, root * steps[-1], rcond=None)[0]
    np.testing.assert_allclose(mixed[-1], plain[-1] - shares @ np.diff(plain[-4:], axis=0), atol=1e-9)


def test_a_target_that_stays_is_solved_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []

    def counted(cloud: Cloud, *args: Any, **kwargs: Any) -> Solved:
        solved.append(len(cloud))
        return solve_within(cloud, *args, **kwargs)

    monkeypatch.setattr("sb3_wasserstein.duals.sinkhorn.solve_within", counted)
    x, y = clouds(50, 2)
    dual = SinkhornDual()
    for target, expected in ((y[:40], [50, 40]), (y[:40], [50]), (y[:40] + 0.1, [50, 40])):
        solved.clear()
        dual.update(x, target)
        assert solved == expected


def test_float32_falls_back_once_with_a_warning_and_is_right(loops: str) -> None:
    x, y = clouds(60, 2)
    dual = SinkhornDual(epsilon=1e-4, debias=False)
    with pytest.warns(UserWarning, match="`dtype`='float32' is too coarse"):
        dual.update(x, y)
    dual.update(x + 0.01, y)
    assert error(dual) <= 1.05e-3
    assert dual.distance == pytest.approx(_assignment(x + 0.01, y), rel=1e-2)


def _assignment(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    costs = cdist(x, y)
    return costs[linear_sum_assignment(costs)].mean()


def test_not_converged_is_said_once_with_the_residual() -> None:
    x, y = clouds(60, 2)
    dual = SinkhornDual(epsilon=0.01, max_iterations=2, debias=False)
    with pytest.warns(UserWarning, match=r"`max_iterations`=2 .* marginal error"):
        dual.update(x, y)
    dual.update(x, y + 0.5)


def gaussian_ot(
    mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray, epsilon: float
) -> tuple[float, np.ndarray]:
    """Janati et al. 2020, Thm. 1, for c = |x − y|² and ε KL: ε = 2σ². Value and the quadratic form A of f(x) = x'Ax + …."""
    d, half = len(cov_x), epsilon / 4.0
    root = np.real(sqrtm(cov_x))
    inner = np.real(sqrtm(root @ cov_y @ root + half**2 * np.eye(d)))
    eye = np.eye(d)
    bures = np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(inner) + 2 * half * d * (1 - np.log(2 * half))
    value = np.sum((mean_x - mean_y) ** 2) + bures + 2 * half * np.linalg.slogdet(inner + half * eye)[1]
    # grad f = 2 (x − E[y | x]), and E[y | x] is affine with slope Σ_x⁻¹ K, K the coupling's cross-covariance.
    cross = root @ inner @ np.linalg.inv(root) - half * eye
    slope = np.linalg.inv(cov_x) @ cross
    return value, eye - slope


@pytest.mark.parametrize(("d", "gap_line"), [(2, 2e-3), (16, 5e-3)])
def test_gaussians_in_closed_form(loops: str, d: int, gap_line: float) -> None:
    # Quasi-random normal clouds: the error of plain samples would hide the solver's.
    from scipy.stats import norm, qmc

    n, epsilon = 1000, 4.0 if d == 2 else 40.0
    scale_x, scale_y = np.linspace(0.7, 1.2, d), np.linspace(1.1, 0.8, d)
    points = norm.ppf(qmc.Sobol(2 * d, seed=0).random(1024)[:n])
    points = (points - points.mean(0)) / points.std(0)
    x, y = points[:, :d] * scale_x, points[:, d:] * scale_y + 0.5
    dual = SinkhornDual(epsilon=epsilon, relative=False, cost="sqeuclidean", debias=False)
    dual.update(x, y)
    value, form = gaussian_ot(np.zeros(d), np.diag(scale_x**2), np.full(d, 0.5), np.diag(scale_y**2), epsilon)
    assert dual.distance == pytest.approx(value, rel=gap_line)
    if d == 2:
        new = np.random.default_rng(1).normal(size=(500, d)) * scale_x
        exact = np.einsum("ni,ij,nj->n", new, form, new) - 2 * new @ (np.full(d, 0.5))
        ours = dual.potential(new)
        assert np.std(ours - exact) <= 0.03 * np.std(exact)


def test_distance_is_symmetric_and_invariant() -> None:
    x, y = clouds(50, 3)
    base = behaviour_distance(x, y)
    assert behaviour_distance(y, x) == pytest.approx(base, rel=1e-3)
    assert behaviour_distance(x[::-1], y) == pytest.approx(base, rel=1e-3)
    assert behaviour_distance(x + 100, y + 100) == pytest.approx(base, rel=1e-3)
    assert behaviour_distance(7 * x, 7 * y) == pytest.approx(7 * base, rel=1e-3)
    assert behaviour_distance(x, x) == 0


def test_a_torch_device_gives_what_the_cpu_gives() -> None:
    x, y = clouds(300, 3)
    here, there = SinkhornDual(), SinkhornDual(device="cpu:0")
    for dual in (here, there):
        dual.update(x, y)
        dual.update(x + 0.01, y)
    assert there.distance == pytest.approx(here.distance, rel=1e-3)
    np.testing.assert_allclose(there.potential(x), here.potential(x), atol=5e-3)
