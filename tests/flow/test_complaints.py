"""Where a policy's cost is not to be trusted, evaluate warns and solve stops."""

import numpy as np
import pytest

from benchmarks.flow.problems import regulator, scalar_lq
from sb3_wasserstein.flow import Grid, ParticleFlow


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
