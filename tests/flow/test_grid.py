import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from sb3_wasserstein.flow import Grid


def points(low, high, n=200, seed=0):
    return low + (high - low) * torch.rand(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weights_are_scipys_cubic_b_spline() -> None:
    grid = Grid(-2.0, 3.0, 11)
    x = points(-1.4, 2.4)
    indices, weights = grid.weights(x)
    bump = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    distance = (x - grid.nodes[indices.flatten(), 0].reshape(indices.shape)) / grid.spacing[0]
    np.testing.assert_allclose(weights, bump(distance.clamp(-2, 2).numpy()), atol=1e-14)


def test_weights_are_laws_with_mean_x_and_variance_h2_over_3() -> None:
    grid = Grid([-1, 0], [1, 2], (9, 12))
    x = torch.cat([points(-0.7, 0.7), points(0.3, 1.7, seed=1)], dim=1)
    indices, weights = grid.weights(x)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-14)
    mean = (weights[..., None] * grid.nodes[indices]).sum(1)
    np.testing.assert_allclose(mean, x, atol=1e-14)
    variance = (weights[..., None] * (grid.nodes[indices] - x[:, None]) ** 2).sum(1)
    np.testing.assert_allclose(variance, np.broadcast_to(grid.spacing**2 / 3, (200, 2)), atol=1e-14)


@pytest.mark.parametrize("periodic", [False, True])
def test_weights_are_twice_differentiable_inside_and_once_at_the_edge(periodic) -> None:
    grid = Grid(0.0, 1.0, 6, periodic=periodic)
    f = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def value(x):
        indices, weights = grid.weights(x[:, None])
        return (weights * f[indices]).sum(1)

    knots = torch.tensor([float(node) for node in grid.nodes[1:-1, 0]], dtype=torch.float64)
    first = torch.func.vmap(torch.func.grad(lambda x: value(x[None])[0]))
    second = torch.func.vmap(torch.func.grad(torch.func.grad(lambda x: value(x[None])[0])))
    for function in (value, first, second):
        np.testing.assert_allclose(function(knots - 1e-9), function(knots + 1e-9), atol=1e-5)
    edge = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for function in (value, first):
        np.testing.assert_allclose(function(edge - 1e-9), function(edge + 1e-9), atol=1e-5)


def test_periodic_grid_knows_no_edge() -> None:
    grid = Grid(-np.pi, np.pi, 16, periodic=True)
    assert grid.nodes.max() < np.pi
    x = points(-3, 3)
    for turn in (0, 2 * np.pi, -4 * np.pi):
        indices, weights = grid.weights(x + turn)
        z = (weights * torch.exp(1j * grid.nodes[indices, 0])).sum(1)
        np.testing.assert_allclose(z.angle(), x[:, 0], atol=1e-3)


def test_two_pi_is_an_angle_unless_told() -> None:
    assert Grid([-np.pi, -8], [np.pi, 8], 9).periodic == (True, False)
    assert Grid(0, 2 * np.pi, 9).periodic == (True,)
    assert Grid(-np.pi, np.pi, 9, periodic=False).periodic == (False,)
    assert Grid(-3, 3, 9).periodic == (False,)


def test_points_outside_are_clamped() -> None:
    grid = Grid(0.0, 1.0, 5)
    for outside, edge in ((-7.0, 0.0), (9.0, 1.0)):
        a, b = (grid.weights(torch.tensor([[p]], dtype=torch.float64)) for p in (outside, edge))
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


@pytest.mark.parametrize("std", [0.05776, 0.06, 0.1, 0.25, 1.0])
def test_noise_and_spline_together_have_the_variance_asked_for(std) -> None:
    grid = Grid(-5.0, 5.0, 101)
    kernel, effective = grid.noise_kernel(std, 0)
    steps = np.arange(len(kernel)) - len(kernel) // 2
    assert effective == std
    np.testing.assert_allclose(kernel.sum(), 1, atol=1e-14)
    np.testing.assert_allclose(kernel @ (steps * grid.spacing[0]) ** 2 + grid.spacing[0] ** 2 / 3, std**2, rtol=1e-10)


def test_a_grid_too_coarse_for_the_noise_says_what_it_adds() -> None:
    kernel, effective = Grid(-5.0, 5.0, 101).noise_kernel(0.01, 0)
    assert len(kernel) == 1
    assert effective == pytest.approx(0.1 / np.sqrt(3))


def test_noise_matrix_is_a_stochastic_matrix_also_on_a_small_grid() -> None:
    for periodic in (False, True):
        matrix = Grid(0.0, 1.0, 7, periodic=periodic).noise_matrix(2.0, 0)
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-14)


def test_linear_weights_interpolate_linear_functions() -> None:
    grid = Grid([-1, 0], [1, 2], (5, 6))
    x = torch.cat([points(-1, 1), points(0, 2, seed=1)], dim=1)
    indices, weights = grid.linear_weights(x)
    np.testing.assert_allclose((weights[..., None] * grid.nodes[indices]).sum(1), x, atol=1e-14)
