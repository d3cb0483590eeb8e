"""compare(): unbiased, exact under the null, honest about what it was given. The oracles are normal laws and scipy."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom
from stable_baselines3 import PPO

from sb3_wasserstein import DriftCallback, Target, compare
from sb3_wasserstein.__main__ import algorithm_class, main
from sb3_wasserstein.compare import Resampling
from sb3_wasserstein.embeddings import StateOccupancy, Trajectory

#: where the interval is not asked for
QUICK, NO_INTERVAL = Resampling(n_splits=5, n_subsamples=3), Resampling(n_subsamples=3)


def normal(rng: np.random.Generator, n: int, dim: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return scale * rng.normal(size=(n, dim)) + shift


@pytest.mark.parametrize(("n", "dim"), [(20, 2), (20, 16), (60, 2), (60, 4)])
def test_two_samples_of_one_law_are_at_no_distance_on_average(n: int, dim: int) -> None:
    rng = np.random.default_rng(n + dim)
    found = [
        compare(
            normal(rng, n, dim), normal(rng, n, dim), n_permutations=19, seed=k, standardize=False, resampling=NO_INTERVAL
        ).distance
        for k in range(16)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_the_p_value_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    p_values = [
        compare(normal(rng, 20, 3), normal(rng, 20, 3), n_permutations=99, seed=k, resampling=QUICK).p_value
        for k in range(120)
    ]
    # Counts below a level are binomial.
    for level in (0.05, 0.5):
        below = sum(p <= level for p in p_values)
        assert binom.cdf(below, 120, level) > 0.001
        assert binom.sf(below - 1, 120, level) > 0.001


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.0, 0.8)])
def test_what_differs_is_found(scale: float, shift: float) -> None:
    rng = np.random.default_rng(1)
    found = [compare(normal(rng, 60, 4), normal(rng, 60, 4, scale, shift), n_permutations=99, seed=k) for k in range(20)]
    assert np.mean([item.p_value < 0.05 for item in found]) > 0.9
    assert np.mean([item.interval[0] <= np.mean([one.distance for one in found]) <= item.interval[1] for item in found]) > 0.8


def test_far_clouds_are_as_far_as_their_means() -> None:
    """Two point-like laws: the Wasserstein distance is the distance of their centres."""
    rng = np.random.default_rng(2)
    found = compare(normal(rng, 40, 2, 0.01), normal(rng, 40, 2, 0.01, 3.0), standardize=False, seed=0)
    assert found.distance == pytest.approx(3.0 * np.sqrt(2.0), abs=0.02)
    assert found.unit == "units of the cost"


def test_the_feature_that_differs_comes_first() -> None:
    rng = np.random.default_rng(3)
    a, b = normal(rng, 50, 3), normal(rng, 50, 3)
    b[:, 1] += 2.0
    found = compare(a, b, seed=0)
    assert found.features[0].feature == 1
    assert found.features[0].mean_b - found.features[0].mean_a == pytest.approx(b[:, 1].mean() - a[:, 1].mean())


def test_the_unit_of_a_feature_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    a, b = normal(rng, 40, 2), normal(rng, 40, 2, shift=1.0)
    unit = np.array([1e6, 1e-6])
    one, other = (compare(x, y, seed=5, n_permutations=49) for x, y in ((a, b), (a * unit, b * unit)))
    assert other.distance == pytest.approx(one.distance, rel=1e-3)
    assert other.p_value == one.p_value


def test_episodes_of_an_occupancy_stay_whole() -> None:
    """States of one episode are alike: a test that exchanged states would find every two samples different."""
    rng = np.random.default_rng(6)

    def episodes(n: int) -> list[np.ndarray]:
        return [rng.normal() + 0.01 * rng.normal(size=(30, 1)) for _ in range(n)]

    embedding = StateOccupancy(after_termination="ignore")
    p_values = [
        compare(episodes(12), episodes(12), embedding=embedding, n_permutations=19, seed=k, resampling=QUICK).p_value
        for k in range(20)
    ]
    assert np.mean(np.array(p_values) < 0.1) < 0.4


def test_models_targets_trajectories_and_arrays_can_be_compared() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=0)
    same = compare(model, model, "CartPole-v1", n_episodes=12, n_permutations=49, seed=0)
    assert same.n_episodes == (12, 12)
    assert same.p_value > 0.01
    assert None not in same.returns
    target = Target(same.behaviours[0].points)
    trajectories = [Trajectory(np.full((5, 4), 9.0), rewards=np.ones(4)) for _ in range(6)]
    assert compare(target, same.behaviours[0].points, n_permutations=49, seed=0).p_value == 1.0
    different = compare(model, trajectories, n_episodes=12, n_permutations=99, seed=0)
    assert different.p_value < 0.05
    assert different.returns[1] == 4.0
    assert json.loads(json.dumps(different.to_dict()))["p_value"] == different.p_value
    assert "behave differently" in str(different)


def test_a_seed_repeats_and_the_global_generators_stay() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=0)
    np.random.seed(0)  # noqa: NPY002
    one, other = (compare(model, model, "CartPole-v1", n_episodes=5, n_permutations=19, seed=3) for _ in range(2))
    assert one == other
    assert np.random.rand() == np.random.RandomState(0).rand()  # noqa: NPY002


@pytest.mark.parametrize(
    ("a", "b", "kwargs", "error", "message"),
    [
        (np.zeros((9, 2)), np.zeros((9, 3)), {}, ValueError, "a has dimension 2 and b 3"),
        (np.zeros((3, 2)), np.zeros((9, 2)), {}, ValueError, "a has 3 episodes"),
        (np.zeros((9, 2)), np.full((9, 2), np.nan), {}, ValueError, "`b` has NaN"),
        (np.zeros((9, 2)), 7, {}, TypeError, "b must be a list of episodes"),
        (np.zeros((9, 2)), np.zeros((9, 2)), {"level": 1.5}, ValueError, "level"),
        (np.zeros((9, 2)), np.zeros((9, 2)), {"n_permutations": 0}, ValueError, "n_permutations"),
        (np.zeros((9, 2)), [np.zeros((4, 2)), "x"], {}, ValueError, r"b\[1\] is no episode"),
    ],
)
def test_bad_input_is_named(a: object, b: object, kwargs: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compare(a, b, **kwargs)


def test_equal_points_are_equal() -> None:
    """No spread, no cost: nothing is divided by zero."""
    found = compare(np.ones((9, 2)), np.ones((9, 2)), seed=0)
    assert (found.distance, found.p_value) == (0.0, 1.0)


def test_the_report_is_one_page(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    found = compare(normal(rng, 30, 3), normal(rng, 30, 3, shift=1.0), names=("old <b>", "new"), seed=0, n_permutations=49)
    found.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "behave differently" in page
    assert "old &lt;b&gt;" in page
    assert "<b>" not in page
    assert not {'src="http', "href="} & set(page.split())
    with pytest.raises(OSError, match="nowhere"):
        found.report(tmp_path / "nowhere" / "report.html")


def test_the_command_line(tmp_path, capsys) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=seed).save(tmp_path / name)
    files = [str(tmp_path / "a.zip"), str(tmp_path / "b.zip")]
    common = ["--env", "CartPole-v1", "--episodes", "20", "--seed", "0"]
    assert main(["compare", *files, *common]) == 0
    assert "p = " in capsys.readouterr().out
    assert main(["compare", *files, *common, "--fail-if-different", "--level", "0.999"]) == 1
    assert main(["compare", files[0], files[0], *common, "--fail-if-different", "--level", "0.002"]) == 0


def test_algorithms_have_names() -> None:
    assert algorithm_class("PPO") is PPO
    assert algorithm_class("wppo").__name__ == "WassersteinPPO"
    with pytest.raises(ValueError, match="algo='sarsa'"):
        algorithm_class("sarsa")


def test_drift_is_reported() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=0)
    elsewhere = [np.full((3, 4), 9.0) + k for k in range(12)]
    callback = DriftCallback(elsewhere, "CartPole-v1", eval_freq=64, n_eval_episodes=12, seed=0)
    with pytest.warns(UserWarning, match="has drifted from the reference after 64 steps"):
        model.learn(64, callback)
    stop = DriftCallback(elsewhere, "CartPole-v1", eval_freq=64, n_eval_episodes=12, on_drift="stop", seed=0)
    model.learn(256, stop)
    assert model.num_timesteps == 64
    itself = DriftCallback(model, "CartPole-v1", eval_freq=64, n_eval_episodes=12, on_drift="stop", level=0.999, seed=0)
    assert model.learn(64, itself).num_timesteps == 64
    assert itself.last is not None
    with pytest.raises(ValueError, match="on_drift"):
        DriftCallback(elsewhere, "CartPole-v1", on_drift="panic")


def test_comparing_does_not_need_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np\nfrom sb3_wasserstein import compare\ncompare(np.eye(9), np.eye(9))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
