"""Anderson mixing against least squares over the last differences, beyond the point where the oldest are overwritten."""

import numpy as np
import torch

from sb3_wasserstein.transport.acceleration import DEPTH, Anderson

N = 40


def walk(rng):
    """Points and steps of a linear iteration, with a little noise so that differences stay independent."""
    matrix = 0.3 * rng.normal(size=(N, N)) / np.sqrt(N)
    points = np.cumsum(0.3 * rng.normal(size=(3 * DEPTH, N)), axis=0)
    return points, points @ matrix + 0.1 * rng.normal(size=points.shape)


def test_it_is_least_squares_over_the_last_differences():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(N))
    points, steps = walk(rng)
    mixer, tensors = Anderson(weights), Anderson(torch.from_numpy(weights))
    for k, (point, step) in enumerate(zip(points, steps, strict=True)):
        found = mixer.next(point, step)
        first = max(0, k - DEPTH)
        differences = np.diff(steps[first : k + 1], axis=0)
        images = np.diff((points + steps)[first : k + 1], axis=0)
        root = np.sqrt(weights)
        mixing = np.linalg.lstsq((differences * root).T, step * root, rcond=None)[0]
        np.testing.assert_allclose(found, point + step - mixing @ images, atol=1e-4)
        np.testing.assert_allclose(tensors.next(torch.from_numpy(point), torch.from_numpy(step)).numpy(), found, atol=1e-10)


def test_it_forgets():
    rng = np.random.default_rng(1)
    points, steps = walk(rng)
    mixer = Anderson(np.full(N, 1 / N))
    for point, step in zip(points, steps, strict=True):
        mixer.next(point, step)
    mixer.forget()
    np.testing.assert_array_equal(mixer.next(points[0], steps[0]), points[0] + steps[0])
