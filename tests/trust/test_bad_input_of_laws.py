"""Embeddings, targets, duals: bad input is refused, by name, and leaves everything as it was."""

from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import check_refusal
from scripted import ScriptedEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import Target, TrajectoryEmbeddingWrapper, behaviour_distance, collect_embeddings
from sb3_wasserstein.duals import AlternatingDual, RKHSDual, SaturatingCost, SemiDiscreteDual, SinkhornDual, batched_sinkhorn
from sb3_wasserstein.duals.factory import dual_from_config, make_dual
from sb3_wasserstein.embeddings import (
    FinalState,
    FunctionEmbedding,
    MeanState,
    Path,
    StateOccupancy,
    Trajectory,
    VisitHistogram,
)
from sb3_wasserstein.embeddings.registry import make_embedding

BOX = spaces.Box(-1.0, 1.0, (3,))
CLOUD = np.random.default_rng(0).normal(size=(5, 2))
DUALS = [SinkhornDual, RKHSDual, AlternatingDual, SemiDiscreteDual]


class Still:
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros(len(observation), dtype=int), state


def nothing(n) -> Any:
    return None


def failing(n) -> NoReturn:
    raise RuntimeError("no samples left")


def cart_pole():
    return gym.make("CartPole-v1")


EMBEDDINGS = {
    "a number as features": (lambda: FinalState(3), "features", TypeError),
    "no features": (lambda: MeanState([]), "features", TypeError),
    "half a feature": (lambda: FinalState([0.5]), "features", TypeError),
    "features in two dimensions": (lambda: FinalState([[0, 1]]), "features", TypeError),
    "features out of range": (lambda: FinalState([7]).bind(BOX, None), "features"),
    "an empty slice": (lambda: FinalState(slice(9, 12)).bind(BOX, None), "features"),
    "a key where there is none": (lambda: FinalState("position").bind(BOX, None), "features"),
    "a function that returns a matrix": (lambda: FinalState(lambda o: np.zeros((2, 2))).bind(BOX, None), "features"),
    "a function that returns text": (lambda: FinalState(lambda o: "far").bind(BOX, None), "features"),
    "a function that raises": (lambda: FinalState(lambda o: o["x"]).bind(BOX, None), "features"),
    "a path of one point": (lambda: Path(1), "n_points"),
    "a path of 2.5 points": (lambda: Path(2.5), "n_points"),
    "a path of text": (lambda: Path("five"), "n_points"),
    "a path of None": (lambda: Path(None), "n_points"),
    "a path of NaN": (lambda: Path(float("nan")), "n_points"),
    "a path of infinity": (lambda: Path(float("inf")), "n_points"),
    "a path of True": (lambda: Path(True), "n_points"),
    "a horizon of 0": (lambda: StateOccupancy(horizon=0), "horizon"),
    "a horizon of text": (lambda: StateOccupancy(horizon="long"), "horizon"),
    "a horizon of NaN": (lambda: StateOccupancy(horizon=float("nan")), "horizon"),
    "another end": (lambda: StateOccupancy(after_termination="stop"), "after_termination"),
    "bins of text": (lambda: VisitHistogram(bins="many"), "bins"),
    "bins of NaN": (lambda: VisitHistogram(bins=float("nan")), "bins"),
    "smoothing of text": (lambda: VisitHistogram(smoothing="some"), "smoothing", TypeError),
    "smoothing of None": (lambda: VisitHistogram(smoothing=None), "smoothing", TypeError),
    "a shape of text": (lambda: VisitHistogram(shape="7x10"), "shape"),
    "a shape that is no sequence": (lambda: VisitHistogram(shape=7), "shape"),
    "low of text": (lambda: VisitHistogram(low=["a"], high=[1.0]), "low"),
    "low and high of two lengths": (lambda: VisitHistogram(low=[0.0, 0.0], high=[1.0]), "low"),
    "a shape for a Box": (lambda: VisitHistogram(shape=(3, 3)).bind(BOX, None), "shape"),
    "a function that cannot be called": (lambda: FunctionEmbedding(3, 1), "function", TypeError),
    "a function's dim of 0": (lambda: FunctionEmbedding(len, 0), "dim"),
    "a function's dim of text": (lambda: FunctionEmbedding(len, "two"), "dim"),
    "a function's dim of None": (lambda: FunctionEmbedding(len, None), "dim"),
    "an unknown config": (lambda: make_embedding({"embedding": "Nothing"}), "embedding"),
    "an empty config": (lambda: make_embedding({}), "embedding"),
    "a config without its arguments": (lambda: make_embedding({"embedding": "Path"}), "embedding"),
    "a config with others": (lambda: make_embedding({"embedding": "Path", "features": None, "n": 3}), "embedding"),
    "a class for an embedding": (lambda: make_embedding(Path), "embedding", TypeError),
    "None for an embedding": (lambda: make_embedding(None), "embedding", TypeError),
    "an id for the wrapper": (lambda: TrajectoryEmbeddingWrapper("CartPole-v1", "path"), "env", TypeError),
    "None for the wrapper": (lambda: TrajectoryEmbeddingWrapper(None, "path"), "env", TypeError),
    "text for every_step": (lambda: TrajectoryEmbeddingWrapper(cart_pole(), "path", "no"), "every_step", TypeError),
    "an occupancy at the end only": (
        lambda: TrajectoryEmbeddingWrapper(cart_pole(), "state_occupancy", every_step=False),
        "every_step",
    ),
    "wrapped twice": (
        lambda: TrajectoryEmbeddingWrapper(TrajectoryEmbeddingWrapper(cart_pole(), "path"), "path").reset(),
        "wasserstein.*taken",
    ),
    "no observations": (lambda: Trajectory(np.zeros((0, 2))), "observations"),
    "observations of no dimension": (lambda: Trajectory(3.0), "observations"),
    "observations None": (lambda: Trajectory(None), "observations"),
    "keys of two lengths": (lambda: Trajectory({"a": np.zeros(3), "b": np.zeros(4)}), "observations"),
    "an action too many": (lambda: Trajectory(np.zeros((3, 1)), actions=np.zeros(3)), "actions"),
    "a reward too few": (lambda: Trajectory(np.zeros((3, 1)), rewards=np.zeros(1)), "rewards"),
    "a reward of no dimension": (lambda: Trajectory(np.zeros((2, 1)), rewards=1.0), "rewards"),
}

TARGETS = {
    "None": (lambda: Target(None), "points"),
    "a dict": (lambda: Target({"points": [[0.0]]}), "points"),
    "ragged points": (lambda: Target([[0.0], [0.0, 1.0]]), "points"),
    "complex points": (lambda: Target(np.array([[1j]])), "points"),
    "three dimensions": (lambda: Target(np.zeros((2, 2, 2))), "points"),
    "a number": (lambda: Target(1.0), "points"),
    "infinite points": (lambda: Target([[np.inf]]), "points"),
    "points whose squares overflow": (lambda: Target([[1e200, 0.0]]), "points"),
    "weights in two dimensions": (lambda: Target([[0.0]], [[1.0]]), "weights"),
    "complex weights": (lambda: Target([[0.0]], [1j]), "weights"),
    "a sampler's dim of 2.5": (lambda: Target.from_sampler(lambda n: np.zeros((n, 2)), 2.5), "dim"),
    "a sampler's dim of None": (lambda: Target.from_sampler(lambda n: np.zeros((n, 2)), None), "dim"),
    "a sampler's dim of text": (lambda: Target.from_sampler(lambda n: np.zeros((n, 2)), "two"), "dim"),
    "a sampler that raises": (lambda: Target.from_sampler(failing, 2), "sampler"),
    "a sampler that returns None": (lambda: Target.from_sampler(nothing, 2), "sampler"),
    "no trajectories": (lambda: Target.from_trajectories([], "path"), "trajectories"),
    "None for trajectories": (lambda: Target.from_trajectories(None, "path"), "trajectories", TypeError),
    "trajectories of another space": (
        lambda: Target.from_trajectories([np.zeros((3, 2))], "mean_state", spaces.Box(-1, 1, (5,))),
        "trajectories|observation",
    ),
    "trajectories of unequal widths": (
        lambda: Target.from_trajectories([np.zeros((3, 2)), np.zeros((3, 4))], "mean_state"),
        "trajectories|episode",
    ),
    "trajectories of NaN": (lambda: Target.from_trajectories([np.full((3, 2), np.nan)], "mean_state"), "nan"),
    "a policy without predict": (lambda: Target.from_policy(object(), "CartPole-v1", "path", 1), "model", TypeError),
    "an env that is none": (lambda: Target.from_policy(Still(), 3, "path", 1), "env", TypeError),
    "an unknown env": (lambda: Target.from_policy(Still(), "Nowhere-v0", "path", 1), "Nowhere", (ValueError, gym.error.Error)),
    "half an episode": (lambda: collect_embeddings(Still(), "CartPole-v1", "path", 0.5), "n_episodes"),
    "None episodes": (lambda: collect_embeddings(Still(), "CartPole-v1", "path", None), "n_episodes"),
    "NaN episodes": (lambda: collect_embeddings(Still(), "CartPole-v1", "path", float("nan")), "n_episodes"),
    "episodes of text": (lambda: collect_embeddings(Still(), "CartPole-v1", "path", "3"), "n_episodes"),
    "a seed of text": (
        lambda: collect_embeddings(Still(), "CartPole-v1", "path", 1, seed="a"),
        "seed",
        (ValueError, TypeError),
    ),
    "a negative seed": (lambda: collect_embeddings(Still(), "CartPole-v1", "path", 1, seed=-1), "seed"),
    "an embedding that is none": (lambda: collect_embeddings(Still(), "CartPole-v1", 3, 1), "embedding", TypeError),
    "a file that is not there": (lambda: Target.load("nothing.npz"), "nothing", FileNotFoundError),
    "a folder": (lambda: Target.load("."), "target", OSError),
    "None for a path": (lambda: Target.load(None), "path", TypeError),
    "a number for a path": (lambda: Target.load(3), "path", TypeError),
}

DUAL_ARGUMENTS = {
    "epsilon of None": (lambda: SinkhornDual(None), "epsilon", TypeError),
    "epsilon of infinity": (lambda: SinkhornDual(float("inf")), "epsilon"),
    "epsilon of True": (lambda: SinkhornDual(True), "epsilon", TypeError),
    "relative of text": (lambda: SinkhornDual(relative="no"), "relative", TypeError),
    "debias of text": (lambda: SinkhornDual(debias="no"), "debias", TypeError),
    "debias of 2": (lambda: SinkhornDual(debias=2), "debias", TypeError),
    "tol of text": (lambda: SinkhornDual(tol="fine"), "tol", TypeError),
    "tol of NaN": (lambda: SinkhornDual(tol=float("nan")), "tol"),
    "2.5 iterations": (lambda: SinkhornDual(max_iterations=2.5), "max_iterations"),
    "a list for a cost": (lambda: SinkhornDual(cost=["euclidean"]), "cost", TypeError),
    "a device of None": (lambda: SinkhornDual(device=None), "device"),
    "a budget of 2.5": (lambda: RKHSDual(budget=2.5), "budget"),
    "a bandwidth of 0": (lambda: RKHSDual(bandwidth=0), "bandwidth"),
    "a bandwidth of None": (lambda: RKHSDual(bandwidth=None), "bandwidth", TypeError),
    "a clip of NaN": (lambda: RKHSDual(clip=float("nan")), "clip"),
    "a step of text": (lambda: AlternatingDual(step="big"), "step", TypeError),
    "a seed of 2.5": (lambda: AlternatingDual(seed=2.5), "seed"),
    "a seed of text": (lambda: RKHSDual(seed="a"), "seed"),
    "a memory of 0": (lambda: SemiDiscreteDual(memory=0), "memory"),
    "a saturating scale of text": (lambda: SaturatingCost(scale="one"), "scale", TypeError),
    "a saturating cost of another": (lambda: SaturatingCost(base=SaturatingCost()), "base", TypeError),
    "a class for a dual": (lambda: make_dual(SinkhornDual), "dual", TypeError),
    "None for a dual": (lambda: make_dual(None), "dual", TypeError),
    "pairs for dual_kwargs": (lambda: make_dual("sinkhorn", [("epsilon", 1.0)]), "dual_kwargs", TypeError),
    "an empty config": (lambda: dual_from_config({}), "dual"),
    "a config with others": (lambda: dual_from_config({"class": "SinkhornDual", "eps": 1.0}), "eps"),
    "a config that is none": (lambda: dual_from_config(None), "config"),
    "no list of clouds": (lambda: batched_sinkhorn(None, [CLOUD]), "xs", TypeError),
    "a number of clouds": (lambda: batched_sinkhorn([CLOUD], 3), "ys", TypeError),
    "an epsilon of 0 for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], epsilon=0), "epsilon"),
    "a tol of None for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], tol=None), "tol", TypeError),
    "no iterations for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], max_iterations=0), "max_iterations"),
    "iterations of text for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], max_iterations="all"), "max_iterations"),
    "debias of text for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], debias="no"), "debias", TypeError),
    "too few weights for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], x_weights=[]), "x_weights"),
    "a negative weight for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], y_weights=[[-1, 1, 1, 1, 1]]), "y_weights"),
    "a NaN among many": (lambda: batched_sinkhorn([CLOUD, CLOUD * np.nan], [CLOUD, CLOUD]), r"xs\[1\]"),
    "an empty one among many": (lambda: batched_sinkhorn([CLOUD], [CLOUD[:0]]), r"ys\[0\]"),
    "a cost for many": (lambda: batched_sinkhorn([CLOUD], [CLOUD], cost="far"), "cost"),
    "text to measure": (lambda: behaviour_distance("here", CLOUD), "`x`", TypeError),
    "None to measure": (lambda: behaviour_distance(CLOUD, None), "`y`", (TypeError, ValueError)),
    "complex numbers to measure": (lambda: behaviour_distance(CLOUD, CLOUD * 1j), "`y`", TypeError),
    "ragged points to measure": (lambda: behaviour_distance([[0.0], [0.0, 1.0]], CLOUD), "`x`", TypeError),
    "numbers too large to measure": (lambda: behaviour_distance(CLOUD * 1e200, CLOUD), "`x`"),
}


def table(cases):
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


@table(EMBEDDINGS)
def test_embeddings(case, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(*case)


@table(TARGETS)
def test_targets(case, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(*case)


@table(DUAL_ARGUMENTS)
def test_duals(case, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(*case)


def fitted(cls):
    dual = cls(seed=0) if cls is not SinkhornDual else cls()
    dual.update(CLOUD, CLOUD + 1.0)
    return dual


ON_A_DUAL = {
    "points of another dimension": (lambda dual: dual.potential(CLOUD[:, :1]), "`x`"),
    "NaN points": (lambda dual: dual.shaping(CLOUD * np.nan), "`x`"),
    "flat points": (lambda dual: dual.potential_y(CLOUD[0]), "`y`"),
    "text": (lambda dual: dual.shaping("here"), "`x`", TypeError),
    "an update with NaN": (lambda dual: dual.update(CLOUD, CLOUD * np.nan), "`y`"),
    "an update in another dimension": (lambda dual: dual.update(CLOUD[:, :1], CLOUD[:, :1]), "dimension"),
    "an update with weights of text": (lambda dual: dual.update(CLOUD, CLOUD, list("abcde")), "`x_weights`", TypeError),
    "an update with two weights": (lambda dual: dual.update(CLOUD, CLOUD, None, [1.0, 2.0]), "`y_weights`"),
    "an update with nothing": (lambda dual: dual.update(None, CLOUD), "`x`", (TypeError, ValueError)),
    "a state of None": (lambda dual: dual.load_state_dict(None), "`state`"),
    "an empty state": (lambda dual: dual.load_state_dict({}), "`state`"),
    "half a state": (lambda dual: dual.load_state_dict({"config": dual.config(), "dim": 2}), "`state`"),
    "a state of text": (
        lambda dual: dual.load_state_dict({key: "x" if key != "config" else v for key, v in dual.state_dict().items()}),
        "`state`",
    ),
    "a state of other arguments": (lambda dual: dual.load_state_dict(type(dual)(epsilon=0.9).state_dict()), "epsilon"),
}


@pytest.mark.parametrize("cls", DUALS)
@table(ON_A_DUAL)
def test_a_fitted_dual_stays_as_it_was(case, cls) -> None:
    act, words, *error = case
    check_refusal(act, words, *error, made=fitted(cls))


ON_A_TARGET = {
    "no path": (lambda target: target.save(None), "path", TypeError),
    "a folder that is not there": (lambda target: target.save("no/such/folder/target"), "folder", OSError),
    "a folder in the way": (lambda target: target.save("taken.npz"), "taken", OSError),
}


@table(ON_A_TARGET)
def test_a_target_that_cannot_be_saved(case, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.npz").mkdir()
    act, words, *error = case
    check_refusal(act, words, *error, made=Target(CLOUD))


NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.floats(max_value=0.0),
    st.just(float("nan")),
    st.integers(max_value=0),
    st.lists(st.integers(), max_size=2),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    value=NUMBERS,
    name=st.sampled_from(
        ["n_points", "horizon", "dim", "n_episodes", "epsilon", "tol", "max_iterations", "step", "budget", "scale"]
    ),
)
def test_whatever_is_no_positive_number_is_refused_by_name(value, name) -> None:
    makers = {
        "n_points": lambda: Path(n_points=value),
        "horizon": lambda: StateOccupancy(horizon=value),
        "dim": lambda: FunctionEmbedding(len, dim=value),
        "n_episodes": lambda: collect_embeddings(Still(), DummyVecEnv([ScriptedEnv]), "path", n_episodes=value),
        "epsilon": lambda: SinkhornDual(epsilon=value),
        "tol": lambda: SinkhornDual(tol=value),
        "max_iterations": lambda: SinkhornDual(max_iterations=value),
        "step": lambda: AlternatingDual(step=value),
        "budget": lambda: RKHSDual(budget=value),
        "scale": lambda: SaturatingCost(scale=value),
    }
    if value is None and name in ("horizon", "budget"):
        return
    with pytest.raises((ValueError, TypeError), match=name):
        makers[name]()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    junk=st.one_of(
        st.text(max_size=4),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
        st.lists(st.lists(st.floats(), min_size=1, max_size=3), max_size=3).filter(
            lambda rows: not rows or len({len(row) for row in rows}) > 1 or not np.isfinite(rows).all()
        ),
        st.binary(max_size=4),
        st.complex_numbers(),
    )
)
def test_whatever_is_no_cloud_is_refused_by_everything_that_takes_one(junk) -> None:
    for act in (
        lambda: Target(junk),
        lambda: behaviour_distance(junk, CLOUD),
        lambda: batched_sinkhorn([junk], [CLOUD]),
        lambda: SinkhornDual().update(CLOUD, junk),
        lambda: RKHSDual(seed=0).update(th.from_numpy(CLOUD), junk),
    ):
        with pytest.raises((ValueError, TypeError), match=r"points|`x`|`y`|xs"):
            act()
