"""One clear exception, early, that names the argument, what came, and the fix."""

import warnings

import numpy as np
import pytest
import torch
from flow_problems import regulator, scalar_lq

from sb3_wasserstein.flow import Grid, ParticleFlow

GOOD = {
    "dynamics": lambda s, a: 0.5 * s + a,
    "cost": lambda s, a: s[:, 0] ** 2 + a[:, 0] ** 2,
    "grid": Grid(-3, 3, 21),
    "action_low": -1.0,
    "action_high": 1.0,
    "n_particles": 2,
    "noise": 0.4,
}


def build(**changes):
    return ParticleFlow(**{**GOOD, **changes})


def test_good_arguments_are_good() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build().solve()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"dynamics": lambda s, a: s[:, 0]}, ValueError, r"dynamics must return shape \(\d+, 1\)"),
        ({"cost": lambda s, a: s**2}, ValueError, "cost must return shape"),
        ({"dynamics": lambda s, a: s.numpy()}, TypeError, "dynamics must return a torch tensor"),
        ({"dynamics": lambda s, a: (s + a).float()}, ValueError, "dynamics must compute in float64"),
        (
            {"dynamics": lambda s, a: 0.5 * s + a.detach()},
            TypeError,
            "dynamics changes with the action, but torch finds no gradient",
        ),
        (
            {"cost": lambda s, a: torch.round(4 * a[:, 0])},
            TypeError,
            "cost changes with the action, but torch finds no gradient",
        ),
        (
            {"dynamics": lambda s, a: torch.log(s) + a},
            ValueError,
            r"dynamics returned NaN or infinity at state \[-3.0\] and action \[",
        ),
        (
            {"cost": lambda s, a: (a / (s - 3.0))[:, 0]},
            ValueError,
            r"cost returned NaN or infinity at state \[3.0\] and action \[",
        ),
        ({"dynamics": None}, TypeError, "dynamics must be a callable"),
        ({"grid": (-3, 3, 21)}, TypeError, "grid must be a Grid"),
        ({"action_low": 2.0}, ValueError, "action_low must lie below action_high"),
        ({"action_high": np.inf}, ValueError, "action_high must be finite"),
        ({"n_particles": 0}, ValueError, "n_particles"),
        ({"n_particles": 2.5}, ValueError, "n_particles"),
        ({"noise": -0.1}, ValueError, "noise"),
        ({"noise": [0.1, 0.2]}, ValueError, "noise must be a number or one per dimension"),
        ({"discount": 1.0}, ValueError, r"discount must lie in \[0, 1\)"),
        ({"discount": 0.9, "initial": torch.ones(5)}, ValueError, "initial must be a law on the 21 nodes"),
        ({"discount": 0.9, "initial": -torch.ones(21)}, ValueError, "initial"),
    ],
)
def test_constructor(changes, error, words) -> None:
    with pytest.raises(error, match=words):
        build(**changes)


def test_setters() -> None:
    flow = build()
    with pytest.raises(ValueError, match=r"particles must have shape \(21, 2, 1\)"):
        flow.particles = torch.zeros(21, 3, 1)
    with pytest.raises(ValueError, match="particles must be finite"):
        flow.particles = torch.full((21, 2, 1), torch.nan)
    with pytest.raises(ValueError, match="weights must have shape"):
        flow.weights = torch.ones(21, 3)
    with pytest.raises(ValueError, match="weights must be finite"):
        flow.weights = torch.zeros(21, 2)
    flow.particles = torch.full((21, 2, 1), 7.0)
    assert (flow.particles == 1.0).all()
    with pytest.raises(ValueError, match="method="):
        flow.solve(method="adam")


def test_a_grid_that_does_not_fit_says_so_before_it_is_made() -> None:
    with pytest.raises(ValueError, match=r"grid with 8,000,000,000 nodes.*GiB.*fewer cells"):
        build(grid=Grid([-1] * 3, [1] * 3, 2000), dynamics=lambda s, a: 0.5 * s + a)
    with pytest.raises(ValueError, match="1,000,000 nodes"):
        build(grid=Grid(-1, 1, 1_000_000))
    with pytest.raises(ValueError, match=r"n_particles=1000000000 needs about .*fewer particles"):
        build(n_particles=10**9)


def test_mass_at_the_edge_warns_and_stops_a_solve() -> None:
    flow, _, _ = scalar_lq(41, -0.2, 0.2)
    with pytest.warns(
        RuntimeWarning, match=r"mass at the grid's edge: \d+\.\d+% of its steps.*Grid\(low=\[-0.4\], high=\[0.4\]"
    ):
        flow.evaluate()
    with pytest.raises(ValueError, match="mass at the grid's edge"):
        flow.solve()


def test_only_the_side_that_leaks_is_moved() -> None:
    flow = ParticleFlow(lambda s, a: s + 0.05 + 0 * a, lambda s, a: s[:, 0] ** 2, Grid(-2, 2, 41), -1, 1, 1, 0.2)
    with pytest.warns(RuntimeWarning, match=r"Grid\(low=\[-2.0\], high=\[4.0\]"):
        flow.evaluate()


def test_walls_of_the_physics_are_no_leak() -> None:
    def dynamics(s, a):
        return (s + 0.05 + 0 * a).clamp(-2, 2)

    flow = ParticleFlow(dynamics, lambda s, a: s[:, 0] ** 2, Grid(-2, 2, 41), -1, 1, 1, 0.2)
    flow.evaluate()


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_two_wells_of_the_state_warn_with_the_spectral_gap(noise) -> None:
    """x⁺ = x + .2 (x − x³) stays on its side: J depends on the start."""
    flow = ParticleFlow(
        lambda s, a: s + 0.2 * (s - s**3) + 0 * a, lambda s, a: (s[:, 0] - 1) ** 2, Grid(-2, 2, 121), -1, 1, 1, noise / 3
    )
    with pytest.warns(RuntimeWarning, match="reducible, or nearly: its spectral gap is"):
        flow.evaluate()
    with pytest.raises(ValueError, match="spectral gap"):
        flow.solve()


def test_a_mixing_chain_has_the_gap_of_its_second_eigenvalue() -> None:
    flow = regulator(61, 2)
    transition, _ = flow.mdp.chain(flow.policy)
    moduli = np.sort(np.abs(np.linalg.eigvals(transition.matrix.toarray())))
    assert flow.evaluation().chain.spectral_gap() == pytest.approx(1 - moduli[-2], rel=0.05)


def test_an_unfinished_solve_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="max_iterations=3"):
        regulator(61, 2).solve(max_iterations=3)
