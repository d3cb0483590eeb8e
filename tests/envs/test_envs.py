import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env

from sb3_wasserstein.envs import HEIGHT_MAPS, CoupledOscillators, Goals, HillyGrid, NonlinearRegulator


@pytest.mark.parametrize("heights", list(HEIGHT_MAPS))
def test_hilly_grid_passes_sb3s_checker(heights) -> None:
    check_env(HillyGrid(heights))
    check_env(gym.make("wasserstein/HillyGrid-v0", heights=heights).unwrapped)


@pytest.mark.parametrize("walls", [(), [((-1.0, 0.5), (1.0, 0.5))]])
def test_goals_passes_sb3s_checker(walls) -> None:
    check_env(Goals(walls=walls))
    check_env(gym.make("wasserstein/Goals-v0", walls=walls).unwrapped)


@pytest.mark.parametrize(("heights", "moves", "optimum"), [("deceptive", 21, -21), ("zigzag", 15, -24), ("serpent", 27, -27)])
def test_the_optimal_path_is_walked_for_the_optimal_return(heights, moves, optimum) -> None:
    env = HillyGrid(heights)
    assert env.optimal_return == optimum
    assert len(env.optimal_path) == moves + 1
    observation, _ = env.reset()
    assert observation == env.optimal_path[0] == 60
    total, terminated = 0.0, False
    for after in env.optimal_path[1:]:
        assert not terminated
        action = {-10: 0, 1: 1, 10: 2, -1: 3}[int(after) - int(observation)]
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation == after
        assert not truncated
        total += reward
    assert terminated
    assert info["is_success"]
    assert observation == 9
    assert total == optimum


def test_the_optimum_agrees_with_value_iteration() -> None:
    env = HillyGrid(np.random.default_rng(0).integers(0, 10, (5, 6)))
    value = np.full(env.heights.shape, -np.inf)
    value[env.goal] = 0.0
    for _ in range(100):
        for row, column in np.ndindex(*env.heights.shape):
            if (row, column) != env.goal:
                neighbours = [env._neighbour((row, column), action) for action in range(4)]
                value[row, column] = max(value[cell] - 1 - env.heights[cell] for cell in neighbours)
    assert env.optimal_return == value[env.start]


def test_a_time_out_is_part_of_the_task() -> None:
    env = HillyGrid("deceptive", time_limit=3, timeout_penalty=50.0)
    env.reset()
    rewards = [env.step(2)[1] for _ in range(2)]
    assert rewards == [-1.0, -1.0]
    _, reward, terminated, truncated, info = env.step(2)
    assert (reward, terminated, truncated, info["is_success"]) == (-51.0, True, False, False)


def test_bumping_stays_and_pays_for_the_own_cell() -> None:
    env = HillyGrid([[0, 0], [4, 0]])
    env.reset()
    observation, reward, *_ = env.step(3)
    assert (observation, reward) == (2, -5.0)


def test_hilly_grid_renders() -> None:
    env = HillyGrid([[1, 0], [0, 2]], render_mode="ansi")
    env.reset()
    assert env.render() == "1 G\nA 2"
    image = HillyGrid(render_mode="rgb_array")
    image.reset()
    assert image.render().shape == (112, 160, 3)


def test_goals_moves_by_the_projected_action() -> None:
    env = Goals()
    start, _ = env.reset(seed=0)
    assert np.all(np.abs(start) <= 0.05)
    after, reward, _, _, info = env.step(np.array([1.0, 1.0]))
    np.testing.assert_allclose(after - start, np.full(2, 0.1 / np.sqrt(2)), atol=1e-6)
    assert reward == pytest.approx(-np.linalg.norm(after - [1, 1]), abs=1e-6)
    assert info["goal"] == 1
    inverse = Goals(reward="inverse")
    inverse.reset(seed=0)
    assert inverse.step(np.array([1.0, 1.0]))[1] == pytest.approx(1 / (1 - 10 * reward))
    for _ in range(14):
        assert not env.step(np.zeros(2))[3]
    assert env.step(np.zeros(2))[2:4] == (False, True)


def test_goals_reach() -> None:
    env = Goals()
    env.reset(seed=0)
    for _ in range(16):
        observation, *_ = env.step(np.array([0.0, 1.0]))
    assert 1.55 <= observation[1] <= 1.65


@pytest.mark.parametrize("action", [[0.0, 1.0], [0.7, 0.7], [-0.3, 1.0]])
def test_a_wall_is_not_crossed(action) -> None:
    env = Goals(walls=[((-5.0, 0.25), (5.0, 0.25))], render_mode="rgb_array")
    env.reset(seed=1)
    for _ in range(16):
        observation, *_ = env.step(np.array(action))
    assert observation[1] < 0.25
    assert env.render().shape == (160, 160, 3)


@pytest.mark.parametrize(
    ("cls", "kwargs", "name"),
    [
        (Goals, {"render_mode": "human"}, "render_mode"),
        (CoupledOscillators, {"render_mode": "human"}, "render_mode"),
        (CoupledOscillators, {"beta": -1.0}, "beta"),
        (CoupledOscillators, {"n": 10**9}, "n must"),
        (NonlinearRegulator, {"noise": -1.0}, "noise"),
    ],
)
def test_bad_input(cls, kwargs, name) -> None:
    with pytest.raises(ValueError, match=name):
        cls(**kwargs)
