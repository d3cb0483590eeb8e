"""Who is repelled from whom, when, and how much: without environments or networks."""

import json
from typing import Any

import numpy as np
import pytest

from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.population.exchange import Exchange, Report
from sb3_wasserstein.population.images import images
from sb3_wasserstein.population.rounds import Rounds
from sb3_wasserstein.population.rules import Rules
from sb3_wasserstein.population.schedule import Burst


def reports(centres, n=60, seed=0, returns=(0.0, 4.0)):
    rng = np.random.default_rng(seed)
    made = {}
    for k, centre in enumerate(centres):
        cloud = np.asarray(centre, dtype=float) + 0.1 * rng.normal(size=(n, 2))
        made[k] = Report(cloud, np.linspace(*returns, n), 100, True)
    return made


def exchange(n_policies=3, **rules):
    return Exchange(n_policies, Rules(**{"burst": AT_ONCE, **rules}), SinkhornDual())


AT_ONCE = Burst(gain=0.0)
LINE = [(0, 0), (1, 0), (5, 0)]


def test_the_potential_grows_away_from_the_others() -> None:
    turns = exchange(2).turns(reports([(0, 0), (1, 0)]), 0.0)
    away, towards = np.array([[-1.0, 0.0]]), np.array([[1.0, 0.0]])
    assert turns[0].potential(away) > turns[0].potential(towards)
    assert turns[1].potential(away) < turns[1].potential(towards)
    assert turns[0].coef == 1.0


def test_nearest_is_a_soft_minimum_and_mean_is_equal() -> None:
    near = exchange(neighbours="nearest", schedule="constant")
    near.turns(reports(LINE), 0.0)
    weights = near.weights(0, {})
    gap = near.distances[0, 2] - near.distances[0, 1]
    assert weights.get(2, 0.0) == pytest.approx(np.exp(-gap / (0.1 * near.scales.ground_cost)), abs=1e-6)
    assert weights[1] > 0.99
    mean = exchange(neighbours="mean", schedule="constant")
    mean.turns(reports(LINE), 0.0)
    assert mean.weights(0, {}) == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize("repulsion", ["ordered", "sequential"])
def test_ordered_looks_back_only(repulsion) -> None:
    ordered = exchange(repulsion=repulsion)
    turns = ordered.turns(reports(LINE), 0.0)
    assert turns[0].potential is None
    assert ordered.weights(1, {}) == {0: 1.0}
    assert set(ordered.weights(2, {})) <= {0, 1}


def test_the_units_are_measured_on_the_warm_up_and_then_frozen() -> None:
    one = exchange(2, warm_up=100)
    first = one.turns(reports([(0, 0), (1, 0)]), 0.0)[0]
    returns = np.linspace(0.0, 4.0, 60)
    low, high = np.quantile(np.tile(returns, 2), [0.01, 0.99])
    assert first.episode_return == pytest.approx(high - low)
    second = one.turns(reports([(0, 0), (50, 0)], returns=(0.0, 400.0)), 0.1)[0]
    assert (second.episode_return, second.ground_cost) == (first.episode_return, first.ground_cost)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1, 1, 1]), (lambda left: left**2, [1, 0.25, 0]), ("burst", [1, 0, 0])],
    ids=["constant", "own", "burst"],
)
def test_schedules(schedule, expected) -> None:
    made = exchange(2, coef=3.0, schedule=schedule)
    for progress, factor in zip([0.0, 0.5, 1.0], expected, strict=True):
        turns = made.turns(reports([(0, 0), (9, 0)]), progress)
        assert turns[0].coef == pytest.approx(3.0 * factor)
        assert (turns[0].potential is None) == (factor == 0)


def test_a_burst_is_full_then_falls_in_a_line() -> None:
    burst = Burst(full=0.1, end=0.3)
    assert [burst(age) for age in (0.0, 0.1, 0.2, 0.3, 0.9)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_a_collapsed_pair_begins_afresh_once_and_is_repelled_again() -> None:
    made = exchange(3)
    made.turns(reports(LINE), 0.0)
    together = reports([(2, 0), (2, 0), (9, 0)])
    turns = made.turns(together, 0.3)
    assert [turns[k].restart is not None for k in range(3)] == [True, True, False]
    assert turns[0].restart != turns[1].restart
    assert turns[2].potential is None
    again = made.turns(together, 0.31)
    assert [again[k].restart for k in range(3)] == [None] * 3
    assert [again[k].coef for k in range(3)] == [1.0, 1.0, 0.0]
    assert made.restarts == {0: 1, 1: 1, 2: 0}
    assert all(turn.restart is None for turn in made.turns(together, 0.95).values())


def test_among_more_than_three_all_but_one_of_those_that_collapsed_begin_afresh() -> None:
    made = exchange(4)
    made.turns(reports([(0, 0), (1, 0), (5, 0), (0, 5)]), 0.0)
    together = reports([(2, 0), (2, 0), (9, 0), (2, 0)])
    turns = made.turns(together, 0.3)
    assert [turns[k].restart is not None for k in range(4)] == [False, True, False, True]
    assert turns[0].potential is None
    again = made.turns(together, 0.31)
    assert [again[k].restart for k in range(4)] == [None] * 4
    assert [again[k].coef for k in range(4)] == [0.0, 1.0, 0.0, 1.0]


def test_the_younger_of_a_pair_begins_afresh() -> None:
    made = exchange(4)
    made.turns(reports([*LINE, (5, 5)]), 0.0)
    assert made.turns(reports([(0, 0), (0, 0), (9, 0), (9, 9)]), 0.3)[1].restart is not None
    # It has come upon another that was there all along, whose number is the higher.
    shown = reports([(0, 0), (9, 0), (9, 0), (9, 9)])
    assert all(turn.restart is None for turn in made.turns(shown, 0.46).values())
    assert [turn.restart is not None for turn in made.turns(shown, 0.48).values()] == [False, True, False, False]
    assert made.restarts == {0: 0, 1: 2, 2: 0, 3: 0}


def afresh(places, **rules):
    """The last of them has just begun afresh, next to the others, who have settled."""
    made = exchange(len(places), **rules)
    # Young members are nearer to each other than those that have settled, and the unit is theirs.
    made.turns(reports(np.asarray(places) / 2), 0.0)
    turns = made.turns(reports([*places[:-1], places[0]]), 0.3)
    assert [k for k, turn in turns.items() if turn.restart is not None] == [len(places) - 1]
    return made


def test_who_begins_afresh_is_driven_to_the_free_place_and_not_back_to_where_it_starts() -> None:
    angles = 2 * np.pi * np.arange(5) / 5
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    made = afresh([*circle[1:], (2, 2)])
    here = np.array([0.3, 0.0])
    turns = made.turns(reports([*circle[1:], here]), 0.31)
    # The unit vectors to four corners of a pentagon add up to minus the fifth.
    assert turns[4].potential(here + 0.5 * circle).argmax() == 0
    nearest = int(np.argmin(made.distances[4, :4]))
    assert made.pairwise.potential(4, {nearest: 1.0})(here + 0.5 * circle).argmax() != 0


@pytest.mark.parametrize(("member", "temperature"), [(3, 1.0), (2, 0.1)], ids=["afresh", "settled"])
def test_a_fresh_members_soft_minimum_is_wide(member, temperature) -> None:
    made = afresh([(0, 0), (9, 0), (9, 9), (0, 9)])
    made.turns(reports([(0, 0), (9, 0), (9, 9), (2, 7)]), 0.31)
    others = [l for l in range(4) if l != member]
    hot = np.exp(-made.distances[member, others] / (temperature * made.scales.ground_cost))
    assert made.weights(member, {}) == pytest.approx(dict(zip(others, hot / hot.sum(), strict=True)))


@pytest.mark.parametrize(("gap", "afresh_too", "settled"), [(2.0, True, True), (3.6, True, False), (4.4, False, False)])
def test_who_begins_afresh_is_released_further_away(gap, afresh_too, settled) -> None:
    made = afresh([(0, 0), (9, 0), (0, 9), (50, 50)])
    unit = made.scales.ground_cost
    made.turns(reports([(0, 0), (5 * unit, 9 * unit), (-9 * unit, 0), (gap * unit, 0)]), 0.31)
    # ε takes a little off.
    assert gap - 0.3 < made.distances[0, 3] / unit < gap
    assert (0 in made.weights(3, {})) == afresh_too
    assert (3 in made.weights(0, {})) == settled


@pytest.mark.parametrize("repulsion", ["mutual", "ordered"])
def test_who_came_back_to_a_place_that_was_taken_is_driven_elsewhere_the_next_time(repulsion) -> None:
    corners = [(0, 0), (9, 0), (9, 9), (0, 9)]
    made = afresh([*corners[:3], (50, 50)], repulsion=repulsion)
    middle, vain = (4.5, 4.5), (3.5, 5.5)
    made.turns(reports([*corners[:3], middle]), 0.31)
    assert set(made.weights(3, {})) == {0, 1, 2}
    made.turns(reports([*corners[:3], vain]), 0.36)
    # Past the burst in full, it is on its way to where it ends.
    made.turns(reports([*corners[:3], (1, 1)]), 0.4)
    assert made.turns(reports([*corners[:3], corners[0]]), 0.48)[3].restart is not None
    turns = made.turns(reports([*corners[:3], middle]), 0.49)
    assert set(made.weights(3, {})) == {0, 1, 2, 4}
    np.testing.assert_array_equal(made.pairwise.clouds[4], reports([*corners[:3], vain])[3].cloud)
    # Nobody else minds, no pair is one with it, and who repels nobody does not see it.
    assert set(made.weights(0, {})) <= {1, 2, 3}
    assert made.distances.shape == (4, 4)
    assert max(map(max, made.pair_distances)) == 3
    assert turns[3].potential(np.array([vain])) < turns[3].potential(np.array([(5.5, 3.5)]))
    made.turns(reports([*corners[:3], corners[3]]), 0.7)
    assert set(made.pairwise.clouds) == {0, 1, 2, 3}
    assert (len(made.tried), made.reached) == (1, {3: made.reached[3]})
    made.begin()
    assert (made.tried, made.reached) == ([], {})


def vain(**rules):
    """The last of four begins afresh for the second time, in this round."""
    corners = [(0, 0), (9, 0), (9, 9), (50, 50)]
    made = afresh(corners, **rules)
    for progress, place in ((0.31, (3.5, 5.5)), (0.48, corners[0]), (0.49, (4.0, 5.0))):
        turns = made.turns(reports([*corners[:3], place]), progress)
    return made, turns


def test_a_place_is_shunned_once() -> None:
    made, _ = vain()
    assert made.turns(reports([(0, 0), (9, 0), (9, 9), (0, 0)]), 0.66)[3].restart is not None
    assert (len(made.tried), made.reached) == (2, {})


def test_a_place_that_was_in_vain_comes_in_the_features_unit() -> None:
    made = Exchange(4, Rules(burst=AT_ONCE), SinkhornDual(), occupancy=True)
    corners = [(0, 0), (9, 0), (9, 9), (50, 50)]
    made.turns(reports(np.asarray(corners) / 2), 0.0)
    for progress, place in ((0.3, corners[0]), (0.31, (3.5, 5.5)), (0.48, corners[0]), (0.49, (4.0, 5.0))):
        made.turns(reports([*corners[:3], place]), progress)
    assert not np.allclose(made.feature_scale, 1.0)
    np.testing.assert_array_equal(made.pairwise.clouds[4], made.tried[0] / made.feature_scale)


def test_what_is_shown_is_of_members_only() -> None:
    made, turns = vain()
    assert 4 in made.pairwise.clouds
    logged = {}

    class Log:
        record = staticmethod(lambda name, value, **_: logged.update({name: value}))
        dump = staticmethod(lambda step: None)

    Rounds(None, made, None)._log(Log, turns, 0, 0.0)
    assert {name for name in logged if "pair" in name} == {
        f"wasserstein/pair_{k}_{l}" for k in range(4) for l in range(k + 1, 4)
    }
    pytest.importorskip("matplotlib")
    shown = images(made, turns)["embeddings"].axes[0]
    assert len(shown.collections) == 4


@pytest.mark.parametrize(("n_policies", "gap", "expected"), [(3, 0.6, 0), (3, 0.4, 2), (4, 0.6, 1), (4, 1.0, 0)])
def test_among_more_a_pair_has_collapsed_at_a_larger_distance(n_policies, gap, expected) -> None:
    made = exchange(n_policies, warm_up=100)
    made.turns(reports([(0, 0), (4, 0), (0, 4), (4, 4)][:n_policies]), 0.0)
    places = made.scales.ground_cost * np.array([(0, 0), (gap, 0), (0, 9), (9, 9)][:n_policies])
    turns = made.turns(reports(places), 0.3)
    # ε takes a little off.
    assert gap - 0.1 < made.distances[0, 1] / made.scales.ground_cost < gap
    assert sum(turn.restart is not None for turn in turns.values()) == expected


def test_in_a_small_population_a_fresh_pair_has_longer() -> None:
    made = exchange(3)
    made.turns(reports(LINE), 0.0)
    together = reports([(2, 0), (2, 0), (9, 0)])
    for progress, expected in ((0.3, 2), (0.5, 0), (0.53, 2)):
        assert sum(turn.restart is not None for turn in made.turns(together, progress).values()) == expected


def test_a_first_attempt_has_nothing_to_shun() -> None:
    corners = [(0, 0), (9, 0), (9, 9), (50, 50)]
    made = afresh(corners)
    assert made.tried == []


@pytest.mark.parametrize("rules", [{}, {"distance_target": 0.7}])
def test_a_fresh_member_is_nowhere_until_an_episode_of_its_own_ends(rules) -> None:
    places = [(9, 7), (2, 0), (2, 0), (2, 0)]
    made = exchange(4, **rules)
    made.turns(reports([(5, 5), (5, 0), (0, 0), (1, 0)]), 0.0)
    poor, good = reports(places), reports(places, returns=(99.0, 101.0))
    made.turns({**poor, 0: good[0], 1: good[1]}, 0.1)
    turns = made.turns({**poor, 0: good[0], 1: good[1]}, 0.3)
    assert [turns[k].restart is not None for k in range(4)] == [False, False, True, True]
    unseen = Report(np.zeros((0, 0)), np.zeros(0), 100, True)
    # Longer than a lost member's patience: of what nobody has seen, nobody can say that it is lost.
    for progress in (0.31, 0.7):
        turns = made.turns({0: good[0], 1: good[1], 2: unseen, 3: unseen}, progress)
        assert all(turn.restart is None for turn in turns.values())
        assert (turns[2].potential, turns[3].potential) == (None, None)
    found = reports([*places[:2], (20, 20)], returns=(99.0, 101.0))[2]
    turns = made.turns({2: found, 3: unseen}, 0.71)
    assert set(made.clouds) == {0, 1, 2}
    assert turns[3].potential is None


@pytest.mark.parametrize(("n_policies", "expected"), [(3, [True, True, False]), (4, [True, False, False, False])])
def test_a_member_that_does_not_come_back_begins_afresh(n_policies, expected) -> None:
    made = exchange(n_policies, warm_up=100)
    line = [(0, 0), (2, 0), (5, 0), (2, 5)][:n_policies]
    made.turns(reports(np.asarray(line) / 2, returns=(-31.0, -29.0)), 0.0)
    late = {**reports(line, returns=(-11.0, -9.0)), 0: reports(line, returns=(-29.0, -26.0))[0]}
    for progress in (0.1, 0.36):
        assert all(turn.restart is None for turn in made.turns(late, progress).values())
    turns = made.turns(late, 0.38)
    # −27.5 is above the untrained −30, but by less than a fifth of what the best has gained.
    assert [turn.restart is not None for turn in turns.values()] == expected
    assert all(turn.restart is None for turn in made.turns(late, 0.6).values())


TOGETHER = [(2, 0), (2, 0), (9, 0)]


@pytest.mark.parametrize(("progress", "begins"), [(0.3, False), (0.41, True), (0.79, True), (0.81, False)])
def test_nobody_begins_afresh_who_still_learns_or_could_not_finish(progress, begins) -> None:
    made = exchange(3)
    made.turns(reports(LINE), 0.0)
    # At 0.2 it has made nine tenths of what it will have gained.
    for when, gained in ((0.1, 50.0), (0.2, 95.0), (0.25, 100.0)):
        made.turns(reports(LINE, returns=(gained - 1, gained + 1)), when)
    turns = made.turns(reports(TOGETHER, returns=(99.0, 101.0)), progress)
    assert any(turn.restart is not None for turn in turns.values()) == begins


@pytest.mark.parametrize(("new", "comes_back"), [(96.0, False), (80.0, True), (None, True)])
def test_old_weights_come_back_where_the_new_ones_are_worse(new, comes_back) -> None:
    made = exchange(3)
    made.turns(reports(LINE, returns=(-1.0, 1.0)), 0.0)
    made.turns(reports(LINE, returns=(99.0, 101.0)), 0.1)
    turns = made.turns(reports(TOGETHER, returns=(99.0, 101.0)), 0.3)
    assert [turns[k].keeps for k in range(3)] == [True, True, False]
    shown = reports(LINE, returns=(99.0, 101.0))
    shown[0] = reports(LINE, returns=((new or 0.0) - 1, (new or 0.0) + 1))[0]
    if new is None:
        shown[0] = Report(np.zeros((0, 0)), np.zeros(0), 100, True)
    assert not any(turn.gives_back for turn in made.turns(shown, 0.5).values())
    saved = exchange(3)
    saved.load_state(*made.state())
    for one in (made, saved):
        turns = one.turns(shown, 0.86)
        assert [turns[k].gives_back for k in range(3)] == [comes_back, False, False]
        assert (0 in one.clouds) != comes_back
        assert not any(turn.gives_back for turn in one.turns(shown, 0.9).values())


def test_a_second_attempt_keeps_the_better_weights() -> None:
    made = exchange(3)
    made.turns(reports(LINE, returns=(-1.0, 1.0)), 0.0)
    made.turns(reports(LINE, returns=(99.0, 101.0)), 0.1)
    made.turns(reports(TOGETHER, returns=(99.0, 101.0)), 0.3)
    shown = reports(TOGETHER, returns=(99.0, 101.0))
    shown[0] = reports(TOGETHER, returns=(69.0, 71.0))[0]
    turns = made.turns(shown, 0.6)
    assert [turns[k].restart is not None for k in range(3)] == [True, True, False]
    assert [turns[k].keeps for k in range(3)] == [False, True, False]


def test_a_burst_begins_when_the_reward_has_been_found() -> None:
    made = exchange(2, burst=Burst(gain=0.5))
    apart = [(0, 0), (1, 0)]
    for progress in (0.0, 0.2, 0.4):
        assert [turn.coef for turn in made.turns(reports(apart), progress).values()] == [0.0, 0.0]
    better = reports(apart, returns=(2.0, 6.0))
    assert [turn.coef for turn in made.turns(better, 0.5).values()] == [1.0, 1.0]
    assert made.born == {0: 0.5, 1: 0.5}
    # From there on it goes its way, whatever the returns are.
    assert made.turns(reports(apart), 0.6)[0].coef == 1.0
    assert made.turns(reports(apart), 0.7)[0].coef == 0.0


def test_a_burst_lets_go_of_a_pair_that_is_far_enough() -> None:
    made = exchange(2, warm_up=100)
    assert made.turns(reports([(0, 0), (1, 0)]), 0.0)[0].potential is not None
    assert made.turns(reports([(0, 0), (9, 0)]), 0.05)[0].potential is None
    assert made.turns(reports([(0, 0), (1, 0)]), 0.1)[0].potential is not None


@pytest.mark.parametrize(
    "rules",
    [{"schedule": "constant"}, {"schedule": lambda left: 1.0}, {"coef": 0.0}, {"coef": -1.0}],
    ids=["constant", "own", "blind", "attracted"],
)
def test_fresh_starts_belong_to_the_burst_of_those_that_repel(rules) -> None:
    made = exchange(2, **rules)
    made.turns(reports([(0, 0), (1, 0)]), 0.0)
    assert all(turn.restart is None for turn in made.turns(reports([(2, 0), (2, 0)]), 0.5).values())


def test_the_distance_target_releases_a_pair_that_is_far_enough() -> None:
    made = exchange(2, schedule="constant", distance_target=0.7)
    made.turns(reports([(0, 0), (0, 0)]), 0.0)
    close = made.turns(reports([(3, 0), (3, 1)]), 0.1)
    assert close[0].potential is not None
    far = made.turns(reports([(3, 0), (-3, 0)]), 0.2)
    assert far[0].potential is None
    assert far[1].potential is None


def test_the_return_floor_spares_a_member_that_has_fallen_behind() -> None:
    made = exchange(2, schedule="constant", return_floor=0.9)

    def repelled(*means):
        shown = reports([(0, 0), (1, 0)])
        shown = {k: Report(shown[k].cloud, np.full(60, mean), 100, True) for k, mean in enumerate(means)}
        return [turn.potential is not None for turn in made.turns(shown, 0.1).values()]

    assert repelled(10.0, 30.0) == [False, True]  # untrained: 20; best: 30; floor: 29
    assert repelled(120.0, 111.0) == [True, True]  # 110
    assert repelled(109.0, 120.0) == [False, True]
    assert repelled(111.0, 109.0) == [True, False]
    assert repelled(109.0, 109.0) == [False, False]  # the best is remembered
    again = exchange(2, schedule="constant", return_floor=0.9)
    plain, arrays = made.state()
    again.load_state(json.loads(json.dumps(plain)), arrays)
    assert again.best_return == 120.0
    made = again
    assert repelled(109.0, 111.0) == [False, True]


def test_a_member_without_episodes_waits() -> None:
    made = exchange(2)
    some = reports([(0, 0)])
    some[1] = Report(np.zeros((0, 0)), np.zeros(0), 100, True)
    turns = made.turns(some, 0.0)
    assert turns[0].potential is None
    assert turns[1].potential is None
    assert np.isnan(made.distances[0, 1])


def test_an_occupancys_features_have_one_unit() -> None:
    made = Exchange(2, Rules(burst=AT_ONCE), SinkhornDual(), occupancy=True)
    some = reports([(0, 0), (1, 0)])
    stretched = {k: Report(report.cloud * [1.0, 1000.0], report.returns, 100, True) for k, report in some.items()}
    turns: Any = made.turns(stretched, 0.0)
    other: Any = Exchange(2, Rules(burst=AT_ONCE), SinkhornDual(), occupancy=True).turns(some, 0.0)
    points = np.array([[0.3, 0.1], [-1.0, 0.2]])
    np.testing.assert_allclose(turns[0].potential(points * [1.0, 1000.0]), other[0].potential(points), rtol=1e-5)


def test_the_state_goes_through_a_file_format() -> None:
    made = exchange(3)
    made.turns(reports(LINE), 0.0)
    made.turns(reports([(2, 0), (2, 0), (9, 0)]), 0.3)
    plain, arrays = made.state()
    other = exchange(3)
    other.load_state(plain, arrays)
    np.testing.assert_array_equal(other.distances, made.distances)
    again, expected = (one.turns(reports([(2, 0), (2.5, 0), (9, 0)]), 0.32) for one in (other, made))
    points = np.array([[0.3, 0.1]])
    for k in (0, 1):
        assert again[k].coef == expected[k].coef > 0
        np.testing.assert_array_equal(again[k].potential(points), expected[k].potential(points))
    with pytest.raises(ValueError, match="damaged"):
        other.load_state({}, arrays)


def test_the_state_has_the_places_that_were_tried() -> None:
    made, _ = vain()
    assert (len(made.tried), list(made.reached)) == (1, [3])
    other = exchange(4)
    other.load_state(*made.state())
    np.testing.assert_array_equal(other.reached[3], made.reached[3])
    corners = [(0, 0), (9, 0), (9, 9)]
    again, expected = (one.turns(reports([*corners, (4.0, 5.0)]), 0.5)[3] for one in (other, made))
    points = np.array([[3.0, 6.0], [6.0, 3.0]])
    np.testing.assert_array_equal(again.potential(points), expected.potential(points))
    for one in (other, made):
        one.turns(reports([*corners, corners[1]]), 0.7)
        assert len(one.tried) == 2
    np.testing.assert_array_equal(other.tried, made.tried)


@pytest.mark.parametrize(
    ("kwargs", "error", "name"),
    [
        ({"schedule": "never"}, ValueError, "schedule"),
        ({"schedule": 3}, TypeError, "schedule"),
        ({"repulsion": "all"}, ValueError, "repulsion"),
        ({"neighbours": "far"}, ValueError, "neighbours"),
        ({"distance_target": 0.0}, ValueError, "distance_target"),
        ({"distance_target": "far"}, TypeError, "distance_target"),
        ({"return_floor": 1.1}, ValueError, "return_floor"),
        ({"return_floor": -0.1}, ValueError, "return_floor"),
        ({"return_floor": "high"}, TypeError, "return_floor"),
    ],
)
def test_bad_rules(kwargs, error, name) -> None:
    with pytest.raises(error, match=name):
        Rules(**kwargs)
