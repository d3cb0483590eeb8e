"""
One table of bad input. An argument has one kind wherever its name stands (``KINDS``); each public callable has a call that
works and the bad values that are its own (``TABLE``).
"""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from refusals import Anything, Bad, Made, bad, but, check_refusal
from scripted import ScriptedEnv
from small_population import PPO_KWARGS, make, parameters
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_wasserstein import Population, Target, WassersteinA2C
from sb3_wasserstein.duals import SaturatingCost, SinkhornDual
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding, Trajectory, VisitHistogram
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.flow import Grid, NaturalGradient, ParticleFlow, Problem

Kind = tuple[Bad, ...]
#: a call that works, and the bad values of its arguments where the name does not say them
Entry = tuple[dict[str, Any], dict[str, Kind]]

POINTS = np.random.default_rng(0).normal(size=(5, 2))
STATE = [[0.0, 0.0, 0.0, 0.0]]
BOX = spaces.Box(-1.0, 1.0, (3,))
NAN, INF, HUGE, EMPTY = float("nan"), float("inf"), 10**30, np.zeros((0, 2))

# --- Kinds of arguments -----------------------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = ("x", [], EMPTY, Anything())
#: of what Gymnasium, SB3 or torch check, or what takes anything
UNCHECKED: Kind = ()
NUMBER = bad(None, True, 1j, *JUNK, error=TypeError) + bad(NAN, INF, -INF, 10**400, error=ValueError)
FRACTION = NUMBER + bad(-0.1, 1.5, error=ValueError)
NOT_NEGATIVE = NUMBER + bad(-1, -0.5, error=ValueError)
POSITIVE = NOT_NEGATIVE + bad(0, 0.0, error=ValueError)
INDEX = bad(None, *JUNK, NAN, INF, -1, 0.5, 2.5, True, 1j, HUGE, error=ValueError)
COUNT = INDEX + bad(0, error=ValueError)
FROM_TWO = COUNT + bad(1, error=ValueError)
SEED = but(INDEX, None)
FLAG = bad(None, "no", 2, 0.0, NAN, [], EMPTY, Anything(), HUGE, error=TypeError)
NAME = bad(None, "nothing", "", 3, True, ["nothing"], [], EMPTY, HUGE, Anything())
PATH = bad(None, 3, True, NAN, [], EMPTY, Anything(), HUGE, error=TypeError)
CALLABLE = bad(None, 3, *JUNK, HUGE, error=TypeError)
DICT = bad(None, 3, True, *JUNK, HUGE, [("epsilon", 1.0)], error=TypeError)
OBJECT = bad(None, 3, *JUNK, HUGE, error=TypeError)
#: a number, or one for each dimension
VECTOR = bad(None, *JUNK, ["a"], NAN, [NAN], 1j, 10**400)
TUPLE = bad(None, 3, "x", ("x",), (NAN,), (-1,), (None,), EMPTY, Anything())
CLOUD = bad(None, HUGE, *JUNK, {}, {"points": STATE}, [["a", "b"]], [[0.0], [0.0, 1.0]], POINTS[0], POINTS[None], b"x", 1j)
CLOUD += bad(np.zeros((3, 0)), POINTS * NAN, POINTS * INF, POINTS * 1j, np.where(POINTS > 1, NAN, POINTS), POINTS * 1e200)
#: of five points
WEIGHTS = bad("x", -1, NAN, [], EMPTY, HUGE, Anything(), list("abcde"), [1.0, 2.0], np.ones((5, 1)), np.ones(5) * 1j)
WEIGHTS += bad(np.zeros(5), -np.ones(5), np.full(5, NAN), np.full(5, INF), np.array([-1.0, 1, 1, 1, 1]))
EMBEDDING = bad("nothing", "", {}, {"embedding": "Nothing"}, {"embedding": "Path"}, match="embedding", error=ValueError)
EMBEDDING += bad({"embedding": "Path", "features": None, "n": 3}, match="embedding", error=ValueError)
EMBEDDING += bad(None, 3, list, [], EMPTY, HUGE, Anything(), error=TypeError)
DUAL = bad("nothing", "", match="dual.*alternating, rkhs, semidiscrete, sinkhorn", error=ValueError)
DUAL += bad(None, 3, list, SinkhornDual, [], EMPTY, HUGE, Anything(), error=TypeError)
COST = bad("euclid", "manhattan", "", match="cost.*euclidean", error=ValueError)
COST += bad("mahalanobis", match="cost.*depends on the clouds", error=ValueError)
COST += bad(None, 3, ["euclidean"], EMPTY, HUGE, Anything(), error=TypeError)
FEATURES = bad(3, [], [0.5], [[0, 1]], EMPTY, HUGE, [HUGE], Anything(), error=TypeError)
DUAL_KWARGS = DICT + bad({"eps": 1.0}, match="dual_kwargs.*eps.*epsilon", error=ValueError)
DUAL_KWARGS += bad({"budget": 3}, {"cost": "manhattan"}, {"epsilon": 0.0}, match="dual_kwargs", error=ValueError)
DUAL_KWARGS += bad({"epsilon": None}, match="dual_kwargs.*epsilon", error=TypeError)
DUAL_KWARGS += bad({"seed": "x"}, match="dual_kwargs.*seed", error=ValueError, dual="rkhs")
DUAL_KWARGS += bad({"buget": 3}, match="dual_kwargs.*buget.*budget", error=ValueError, dual="rkhs")
DUAL_KWARGS += bad({"epsilon": 1.0}, match="dual_kwargs", error=TypeError, dual=SinkhornDual())
TARGET = but(CLOUD, "x", None) + bad("nowhere.npz", match=r"target.*nowhere.*Target\.", error=FileNotFoundError)
TARGET += bad("", match="target", error=OSError) + bad(Trajectory(POINTS), match=r"target.*Target\.from_trajectories")
COEFFICIENT = but(NUMBER, "x") + bad("1", "big", [1.0], error=TypeError) + bad("auto_0", "auto_x", error=ValueError)
ENVIRONMENT = bad(None, 3, [], EMPTY, HUGE, Anything(), error=TypeError)
COMPARED = bad(None, 3, HUGE, Anything(), error=TypeError) + bad("nowhere.npz", match="nowhere", error=FileNotFoundError)
COMPARED += bad([], EMPTY, POINTS * NAN, POINTS[:, :0], {}, [["x"]])
COMPARED += bad(POINTS[:3], POINTS[None], match="[ab] has . episodes", error=ValueError)
#: a flow, or particles
FLOW_LIKE = bad(None, "x", EMPTY, 3, th.zeros(3, 2, 1), match="particles|other")
SHAPED = bad(None, "x", EMPTY, 3, th.zeros(1))

# --- What the calls are made with -------------------------------------------------------------------------------------


def half(s, a):
    return 0.5 * s + a


def square(s, a):
    return s[:, 0] ** 2 + a[:, 0] ** 2


def failing(*_):
    raise RuntimeError("out of order")


class Still:
    """A policy that does nothing."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros(len(observation), dtype=int), state


FLOW = {"dynamics": half, "cost": square, "grid": Grid(-3, 3, 21), "action_low": -1.0, "action_high": 1.0, "noise": 0.4}
NATURAL = {"policy": [8], "dynamics": half, "cost": square, "noise": [0.4], "initial": 1.0, "action_dim": 1, "n_chains": 4}


def fitted(cls):
    dual = cls() if cls is SinkhornDual else cls(seed=0)
    dual.update(POINTS, POINTS + 1.0)
    return dual


def trained():
    env = DummyVecEnv([ScriptedEnv])
    return WassersteinA2C("MlpPolicy", env, target=[[0.0] * 3], wasserstein_coef=1.0, seed=0, device="cpu").learn(64)


def flow(**changes):
    made = ParticleFlow(**{**FLOW, "n_particles": 2, **changes})
    made.evaluate()
    return made


def natural():
    return NaturalGradient(**NATURAL, windows=(2, 4), seed=0)


#: what the methods of a class are called on
RECEIVERS: dict[str, Callable[[], Any]] = {
    "FinalState": FinalState,
    "GridPolicy": lambda: flow().as_policy(),
    "NaturalGradient": natural,
    "NeuralPolicy": lambda: natural().as_policy(),
    "ParticleFlow": flow,
    "Population": make,
    "Problem": lambda: Problem(**FLOW),
    "Target": lambda: Target(POINTS),
    "WassersteinA2C": trained,
}
DUALS = ("AlternatingDual", "RKHSDual", "SemiDiscreteDual", "SinkhornDual")


@cache
def receiver(name: str) -> Any:
    """One for all calls, as a refusal leaves it as it was."""
    made = RECEIVERS[name]() if name in RECEIVERS else fitted(public()[name]) if name in DUALS else public()[name]()
    if isinstance(made, gym.Env):
        made.reset(seed=0)
    return made


@cache
def saved(kind: str) -> dict[str, bytes]:
    """The files of something that was saved."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / kind
        {
            "target": Target(POINTS).save,
            "model.zip": receiver("WassersteinA2C").save,
            "policy": receiver("NeuralPolicy").save,
            "checkpoint": receiver("NaturalGradient").save_checkpoint,
            "population": receiver("Population").save,
            "other": lambda folder: make(seed=4).save(folder),
        }[kind](place)
        return {str(path.relative_to(name)): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()}


def on_disk(kind: str) -> Made:
    """The path of something that was saved, in the test's folder."""

    def write():
        for name, content in saved(kind).items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content)
        return kind

    return Made(write, f"saved {kind}")


def file(content: bytes = b"in the way") -> Made:
    def write():
        Path("a_file.zip").write_bytes(content)
        return "a_file.zip"

    return Made(write, f"file of {len(content)} bytes")


def taken() -> Made:
    def make_folder():
        Path("taken.npz").mkdir()
        return "taken.npz"

    return Made(make_folder, "folder")


# --- The table --------------------------------------------------------------------------------------------------------

#: what is wrong for an argument of this name, wherever it stands; a default of None is taken
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("action_nodes", "episode_window", "max_points", "n_points", "n_policies", "points"), FROM_TWO),
    **dict.fromkeys(("eval_freq", "n_eval_episodes", "n_permutations", "total_timesteps"), COUNT),
    **dict.fromkeys(("action_dim", "budget", "cells", "cg_iterations", "checkpoint_every", "checkpoint_interval"), COUNT),
    **dict.fromkeys(("dim", "every", "horizon", "log_interval", "max_iterations", "memory", "metric_samples", "n"), COUNT),
    **dict.fromkeys(("n_action_samples", "n_chains", "n_envs", "n_episodes", "n_particles", "segment_length"), COUNT),
    **dict.fromkeys(("states_per_episode", "steps", "sweeps", "target_update_interval", "time_limit"), COUNT),
    **dict.fromkeys(("clip", "damping", "decay", "epsilon", "learning_rate", "max_displacement", "natural_damping"), POSITIVE),
    **dict.fromkeys(("distance_target", "dt", "member_timeout", "prox_coef", "scale", "step", "temperature", "tol"), POSITIVE),
    **dict.fromkeys(("beta", "smoothing", "timeout_penalty"), NOT_NEGATIVE),
    **dict.fromkeys(("discount", "restart"), NUMBER + bad(1.0, -0.1, error=ValueError)),
    "level": NUMBER + bad(0, 1, -0.1, 2.0, error=ValueError),
    "min_distance": NUMBER,
    **dict.fromkeys(("return_floor", "t"), NUMBER + bad(2.0, -0.1, error=ValueError)),
    **dict.fromkeys(
        ("continuation", "debias", "deterministic", "every_step", "figures", "is_sample", "natural_gradient"), FLAG
    ),
    **dict.fromkeys(("progress_bar", "projector", "relative", "reset_num_timesteps", "standardize"), FLAG),
    **dict.fromkeys(("actor", "after_termination", "credit", "dtype", "executor", "method", "neighbours", "prox"), NAME),
    **dict.fromkeys(("on_drift", "reference", "render_mode", "repulsion", "reward", "squash_velocity"), NAME),
    **dict.fromkeys(("checkpoint", "folder", "path", "tensorboard_log"), PATH),
    **dict.fromkeys(("action_high", "action_low", "high", "initial", "low", "noise"), VECTOR),
    **dict.fromkeys(("dynamics", "function", "get_state", "observation_to_state", "set_state"), CALLABLE),
    **dict.fromkeys(("cloud", "x", "y"), CLOUD),
    **dict.fromkeys(("weights", "x_weights", "y_weights"), WEIGHTS),
    **dict.fromkeys(("grid", "model", "options", "resampling", "tracker_options"), OBJECT),
    "names": bad(None, 3, "x", ("a",), (1, 2), [], EMPTY, HUGE, error=TypeError),
    "terminated": FLAG,
    **dict.fromkeys(("action_space", "module", "tb_log_name", "verbose"), UNCHECKED),
    "cost": COST,
    "normalize_bonus": bad(None, "no", 2, NAN, Anything(), error=TypeError),
    "scaling": bad(3, "x", Anything(), error=TypeError),
    "dual": DUAL,
    "dual_kwargs": DUAL_KWARGS,
    "embedding": EMBEDDING,
    "env": ENVIRONMENT,
    "env_kwargs": DICT,
    "features": FEATURES,
    "observation_space": bad(3, *JUNK),
    "other": FLOW_LIKE,
    "seed": SEED,
    "target": TARGET,
    "wasserstein_coef": COEFFICIENT,
    "target_distance": but(POSITIVE, None),
    "target_return": but(NUMBER, None),
    "repel": FLAG,
    "multiplier_options": OBJECT,
}

SCALES = ("center", "deviation", "low", "high")
#: what is a cloud, a model, a file or recorded episodes
CLOUD_OF_A_BEHAVIOUR = bad(None, 3, HUGE, Anything()) + bad("nowhere.npz", match="nowhere", error=FileNotFoundError)
CLOUD_OF_A_BEHAVIOUR += bad([], EMPTY, POINTS * NAN, POINTS[:, :0], [["x"]])
#: recipes that do not fit the environment
MISFITS = bad(VisitHistogram(shape=(3, 3)), match="shape", error=ValueError)
MISFITS += bad(VisitHistogram(), VisitHistogram([0.0], [1.0]), match="low", error=ValueError)
MISFITS += bad(VisitHistogram([0.0] * 4, [1.0] * 4, bins=300), match="bins|entries", error=ValueError)
MISFITS += bad(FinalState([7]), FinalState(slice(9, 12)), FinalState("position"), match="features", error=ValueError)
MISFITS += bad(FinalState(lambda o: np.zeros((2, 2))), FinalState(lambda o: "far"), match="features", error=ValueError)
MISFITS += bad(FinalState(lambda o: o["x"]), match="features", error=ValueError)

ALGORITHM: dict[str, Kind] = {
    "embedding": EMBEDDING
    + MISFITS
    + bad(FunctionEmbedding(len, 1), match="credit|prefixes", credit="telescoping", target=[[0.0]]),
    "target": TARGET
    + bad([Trajectory(POINTS)], np.zeros((1, 7)), match="target has dimension [27]", error=ValueError)
    + bad(None, match="target", error=ValueError)
    + bad(None, match="target", error=ValueError, wasserstein_coef=lambda p: p),
    "wasserstein_coef": COEFFICIENT
    + bad(lambda p: "1", lambda p: None, match="wasserstein_coef", error=TypeError)
    + bad(lambda p: NAN, failing, lambda: 1.0, match="wasserstein_coef", error=ValueError),
    "wasserstein_coeff": bad(1.0, match=r"wasserstein_coeff\b.*wasserstein_coef\b", error=TypeError),
    "episode_windows": bad(64, match=r"episode_windows\b.*episode_window\b", error=TypeError),
}
ON_POLICY: Entry = ({"policy": "MlpPolicy", "env": "CartPole-v1", "target": STATE, "wasserstein_coef": -1.0}, ALGORITHM)
OFF_POLICY: Entry = ({**ON_POLICY[0], "env": "Pendulum-v1", "target": [[0.0] * 3], "buffer_size": 100}, ALGORITHM)
COLLECT: Entry = (
    {"model": Still(), "env": "CartPole-v1", "embedding": "path", "n_episodes": 1},
    {"env": ENVIRONMENT + bad("Nowhere-v0", match="Nowhere", error=(ValueError, gym.error.Error))},
)
ON_A_DUAL: dict[str, Entry] = {
    "update": ({"x": POINTS, "y": POINTS}, {}),
    **dict.fromkeys(("potential", "shaping"), ({"x": POINTS}, {"x": CLOUD + bad(POINTS[:, :1])})),
    "potential_y": ({"y": POINTS}, {"y": CLOUD + bad(POINTS[:, :1])}),
}
#: of another dual, or of none
STATES = bad(None, {}, 3, "x", EMPTY, {"config": {}, "dim": 2}, match="state", error=ValueError)
STATES += bad(Made(lambda: SinkhornDual(0.9).state_dict(), "of another epsilon"), match="epsilon|dual", error=ValueError)

TABLE: dict[str, Entry] = {
    **dict.fromkeys(("WassersteinPPO", "WassersteinA2C"), ON_POLICY),
    **dict.fromkeys(("WassersteinSAC", "WassersteinTD3"), OFF_POLICY),
    "WassersteinA2C.load": (
        {"path": on_disk("model.zip"), "env": Made(lambda: DummyVecEnv([ScriptedEnv]), "env")},
        {
            "path": bad("nothing", match="nothing", error=FileNotFoundError)
            + bad(file(b""), file(), match="a_file|zip|data", error=ValueError),
            "env": bad(Made(lambda: gym.make("Pendulum-v1"), "Pendulum"), match="[Oo]bservation", error=ValueError),
            "wasserstein_coef": bad("x", error=TypeError),
            "embedding": bad("nothing", "path", match="embedding", error=ValueError),
            "target": bad([[0.0]], match="target has dimension 1", error=ValueError),
            "dual": bad("rkhs", match="dual", error=ValueError),
            "dual_kwargs": bad({"epsilon": 0.9}, match="epsilon", error=ValueError),
            "credit": bad("nothing", error=ValueError),
        },
    ),
    "DualCallback": ({"embedding": "path"}, {}),
    "ImitationPPO": (
        {"policy": "MlpPolicy", "env": "CartPole-v1", "demonstrations": [np.zeros((5, 4))]},
        {
            "demonstrations": bad(3, Anything(), error=TypeError)
            + bad(None, [], [np.zeros((5, 3))], error=ValueError)
            + bad("nowhere.npz", match="nowhere", error=FileNotFoundError),
            "horizon": POSITIVE,
            "target": bad([[0.0] * 4], match="target does not go with", error=ValueError),
            "log_std_end": but(NUMBER, None),
            "reward_weight": NUMBER,
            "inverse_dynamics": FLAG,
            "cloning": but(OBJECT, None),
            "inverse_model": but(OBJECT, None),
            "embedding": but(EMBEDDING, None, "state_occupancy"),
        },
    ),
    "TensorboardCallback": ({}, {"behaviour": OBJECT, "max_points": COUNT}),
    "TrajectoryEmbeddingWrapper": (
        {"env": Made(lambda: gym.make("CartPole-v1"), "CartPole"), "embedding": "path"},
        {
            "env": bad("CartPole-v1", error=TypeError) + ENVIRONMENT,
            "embedding": EMBEDDING
            + bad(FinalState([99]), match="features.*'mode': 3.*features=key", env=Made(lambda: ScriptedEnv("dict"), "Dict")),
            "every_step": FLAG + bad(False, error=ValueError, embedding="state_occupancy"),
        },
    ),
    "WPO": (
        {"policy": "MlpPolicy", "env": "Pendulum-v1", "buffer_size": 100},
        {
            "env": bad("CartPole-v1", match="Discrete", error=AssertionError),
            "ent_coef": bad("warm", -0.1, None, [], EMPTY, NAN, INF, Anything(), match="ent_coef"),
            "target_entropy": NUMBER,
            "use_sde": bad(True, match="use_sde", error=ValueError, actor="particles"),
            "policy_kwargs": bad({"n_components": 0}, match="n_components", error=ValueError, actor="mixture")
            + bad({"bandwidth": 0.0}, match="bandwidth", error=ValueError, actor="particles"),
        },
    ),
    # Targets and what is collected
    "Target": ({"points": POINTS}, {"points": CLOUD}),
    "Target.from_policy": COLLECT,
    "Target.barycenter": (
        {"targets": [POINTS]},
        {
            "targets": bad(None, 3, [], EMPTY, "x", error=ValueError) + bad([POINTS, POINTS[:, :1]], match="dimensions"),
            "weights": bad([1.0, 1.0], [-1.0], ["a"], [NAN], match="weights", error=ValueError),
            "n_points": COUNT,
        },
    ),
    "collect_embeddings": COLLECT,
    "Target.from_sampler": (
        {"function": lambda n: np.zeros((n, 2)), "dim": 2},
        {"function": CALLABLE + bad(failing, lambda n: None, lambda n: POINTS[:n] * NAN, len, match="sampler")},
    ),
    "Target.from_trajectories": (
        {"trajectories": [POINTS], "embedding": "mean_state"},
        {
            "trajectories": bad(None, 3, Trajectory(POINTS), Anything(), match="trajectories", error=TypeError)
            + bad("x", match="trajectories", error=FileNotFoundError)
            + bad({}, [], [POINTS, np.zeros((3, 4))], [POINTS * NAN], [None], [EMPTY], match="trajectories", error=ValueError),
            "observation_space": bad(BOX, 3, "x", EMPTY, Anything(), match="observation|trajectories"),
        },
    ),
    "Target.load": (
        {"path": on_disk("target")},
        {
            "path": PATH
            + bad("nothing.npz", match="nothing", error=FileNotFoundError)
            + bad(".", match="target", error=OSError)
            + bad(file(b""), file(), match="a_file", error=ValueError)
        },
    ),
    "Target.save": (
        {"path": "target"},
        {"path": PATH + bad("no/such/folder/target", taken(), match="folder|taken", error=OSError)},
    ),
    "compare": (
        {"a": POINTS, "b": POINTS + 1.0, "n_permutations": 20, "seed": 0},
        {**dict.fromkeys(("a", "b"), COMPARED), "env": bad(3, EMPTY, error=TypeError, a=Still())},
    ),
    "DriftCallback": ({"reference": POINTS, "eval_env": "CartPole-v1"}, dict.fromkeys(("reference", "eval_env"), UNCHECKED)),
    # Duals
    "behaviour_distance": (
        {"x": POINTS, "y": POINTS},
        {
            "x": CLOUD_OF_A_BEHAVIOUR,
            "y": CLOUD_OF_A_BEHAVIOUR,
            "env": bad(3, EMPTY, error=TypeError, x=Still()),
            "n_projections": COUNT,
            "mass_price": POSITIVE,
        },
    ),
    "sinkhorn_divergence": ({"x": POINTS, "y": POINTS}, {}),
    "AlternatingDual": ({}, {}),
    "RKHSDual": ({}, {"budget": but(COUNT, None), "bandwidth": but(POSITIVE, "x") + bad("mean", error=ValueError)}),
    "SemiDiscreteDual": ({}, {}),
    "SinkhornDual": ({}, {"device": bad(None, "nowhere", "", 3.5, [], EMPTY, HUGE, Anything(), error=ValueError)}),
    **{f"{name}.{method}": entry for name in DUALS for method, entry in ON_A_DUAL.items()},
    **{
        f"{name}.load_state_dict": (
            {"state": Made(lambda name=name: receiver(name).state_dict(), "its own")},
            {"state": STATES, "strict": UNCHECKED},
        )
        for name in DUALS
    },
    "GroundCost": ({}, {}),
    "SaturatingCost": (
        {},
        {"base": bad("nope", "", error=ValueError) + bad(None, 3, EMPTY, HUGE, SaturatingCost(), error=TypeError)},
    ),
    "batched_sinkhorn": (
        {"xs": [POINTS], "ys": [POINTS]},
        {
            "xs": bad(None, 3, HUGE, Anything(), error=TypeError)
            + bad([POINTS, POINTS * NAN], match=r"xs\[1\]", error=ValueError, ys=[POINTS, POINTS])
            + bad([POINTS[:, :1]], match="dimension", error=ValueError),
            "ys": bad(None, 3, HUGE, Anything(), error=TypeError)
            + bad([], EMPTY, match="xs.*ys", error=ValueError)
            + bad([POINTS[:0]], match=r"ys\[0\]", error=ValueError),
            "x_weights": bad([], [None, None], [np.zeros(5)], 3, [-np.ones(5)], match="x_weights"),
            "y_weights": bad([], 3, [[-1, 1, 1, 1, 1]], [[NAN] * 5], match="y_weights"),
        },
    ),
    "make_dual": ({"dual": "sinkhorn"}, {}),
    "dual_from_config": (
        {"config": SinkhornDual().config()},
        {
            "config": bad(None, 3, [], EMPTY, "x", error=ValueError)
            + bad({}, {"class": "SinkhornDual", "eps": 1.0}, {"class": "Nothing"}, match="dual|eps|config", error=ValueError)
        },
    ),
    # Embeddings
    **dict.fromkeys(("FinalState", "MeanState", "Path", "StateOccupancy", "TransitionOccupancy"), ({}, {})),
    "Scaling": ({"center": (0.0,), "deviation": (1.0,), "low": (0.0,), "high": (1.0,)}, dict.fromkeys(SCALES, UNCHECKED)),
    "make_embedding": ({"embedding": "path"}, {}),
    "FunctionEmbedding": ({"function": len, "dim": 1}, {}),
    "VisitHistogram": (
        {},
        {
            "low": bad(["a"], [0.0, 0.0], EMPTY, 3, Anything(), [NAN], match="low", error=ValueError, high=[1.0])
            + bad([0.0], match="low", error=ValueError)
            + bad([0.0], match="low", error=ValueError, high=[0.0]),
            "high": bad(["a"], [NAN], [INF], [], EMPTY, Anything(), match="high", error=ValueError, low=[0.0]),
            "bins": COUNT + bad([0], [2.5], error=ValueError),
            "shape": bad("7x10", 7, [], EMPTY, [0], [2.5], Anything(), HUGE, [HUGE], error=ValueError)
            + bad((2, 2), match="shape", error=ValueError, bins=3),
        },
    ),
    "FinalState.bind": (
        {"observation_space": BOX, "action_space": None},
        {
            "observation_space": bad(spaces.Text(5), match="cannot be flattened.*features=", error=ValueError)
            + bad(ScriptedEnv("image").observation_space, match="features=", error=ValueError)
            + bad(None, 3, *JUNK, match="space"),
            "n_envs": UNCHECKED,
        },
    ),
    "Trajectory": (
        {"observations": np.zeros((3, 1))},
        {
            "observations": bad(EMPTY, 3.0, None, [], Anything(), {"a": np.zeros(3), "b": np.zeros(4)}, {}, error=ValueError),
            "actions": bad(np.zeros(3), EMPTY, [], 3, Anything(), error=ValueError),
            "rewards": bad(np.zeros(1), 1.0, EMPTY, [], Anything(), error=ValueError),
        },
    ),
    # Environments
    "CoupledOscillators": ({}, {}),
    "Goals": (
        {},
        {
            "goals": bad((1.0, 1.0), [], [[NAN, 0.0]], [["a", "b"]], None, 3, EMPTY, HUGE, "x", Anything(), error=ValueError),
            "walls": bad([(0.0, 0.0)], "here", None, 3, HUGE, Anything(), [[NAN] * 4], error=ValueError),
        },
    ),
    "HillyGrid": (
        {},
        {
            "heights": bad("flat", [[-1, 0]], [[0.5, 0]], [0, 1], [[0], [0, 1]], [["a", "b"]], [[NAN, 0.0]], error=ValueError)
            + bad(None, [], EMPTY, 3, HUGE, Anything(), error=ValueError),
            "start": bad((9, 9), 3, (0.5, 0), "end", [], EMPTY, (0, HUGE), (-1, 0), error=ValueError)
            + bad((0, 0), match="start and goal", error=ValueError, goal=(0, 0)),
            "goal": bad((9, 9), 3, (0.5, 0), "end", [], EMPTY, (0, HUGE), (-1, 0), error=ValueError),
            "render_mode": NAME + bad("human"),
        },
    ),
    "NonlinearRegulator": ({}, {"noise": NOT_NEGATIVE, "dt": POSITIVE + bad(1.0, error=ValueError)}),
    "HillyGrid.step": ({"action": 0}, {"action": bad(4, -1, None, "x", 0.5, NAN, [], EMPTY, HUGE, error=ValueError)}),
    "Goals.step": (
        {"action": np.zeros(2)},
        {"action": bad(np.array([NAN, 0.0]), np.zeros(3), None, "x", [], EMPTY, HUGE, error=ValueError)},
    ),
    "NonlinearRegulator.step": (
        {"action": np.zeros(1)},
        {"action": bad(np.array([NAN]), np.zeros(2), None, "x", [], EMPTY, error=ValueError)},
    ),
    # Flow
    "Grid": (
        {"low": 0.0, "high": 1.0, "cells": 8},
        {
            "low": VECTOR + bad(2.0) + bad([0.0] * 3, match="low|high", high=[1.0, 1.0]),
            "high": VECTOR + bad(INF, -INF, error=ValueError),
            "cells": COUNT + bad(3, 4.5, "many", error=ValueError),
            "periodic": bad([True] * 3, "yes", 2, EMPTY, Anything(), error=ValueError),
        },
    ),
    "ParticleFlow": (
        {**FLOW, "n_particles": 2},
        {
            "dynamics": CALLABLE
            + bad(failing, match="dynamics|out of order", error=(ValueError, RuntimeError))
            + bad(lambda s, a: s[:, 0], match=r"dynamics must return shape \(\d+, 1\)", error=ValueError)
            + bad(lambda s, a: s.numpy(), match="dynamics must return a torch tensor", error=TypeError)
            + bad(lambda s, a: (s + a).float(), match="dynamics must compute in float64", error=ValueError)
            + bad(lambda s, a: 0.5 * s + a.detach(), match="dynamics changes with the action, but torch", error=TypeError)
            + bad(lambda s, a: th.log(s) + a, match=r"dynamics returned NaN.*\[-3.0\] and action \[", error=ValueError),
            "cost": CALLABLE
            + bad(lambda s, a: s**2, match="cost must return shape", error=ValueError)
            + bad(lambda s, a: th.round(4 * a[:, 0]), match="cost changes with the action, but torch", error=TypeError)
            + bad(lambda s, a: (a / (s - 3.0))[:, 0], match=r"cost returned NaN.*\[3.0\] and action \[", error=ValueError),
            "grid": OBJECT
            + bad((-3, 3, 21), error=TypeError)
            + bad(Grid([-1] * 3, [1] * 3, 2000), match="grid with 8,000,000,000 nodes.*GiB.*fewer cells", error=ValueError)
            + bad(Grid(-1, 1, 1_000_000), match="1,000,000 nodes", error=ValueError),
            "action_low": VECTOR + bad(2.0, match="action_low must lie below action_high", error=ValueError),
            "action_high": VECTOR + bad(INF, error=ValueError),
            "n_particles": COUNT + bad(10**9, match="n_particles=1000000000 needs about .*fewer particles", error=ValueError),
            "noise": VECTOR + bad(-0.1, [0.1, 0.2], error=ValueError),
            "initial": bad("uniform", Anything(), match="initial", error=TypeError, discount=0.9)
            + bad(th.full((21,), NAN), th.zeros(21), -th.ones(21), th.ones(5), match="initial", error=ValueError, discount=0.9)
            + bad(EMPTY, [], match="initial", discount=0.9),
        },
    ),
    "ParticleFlow.solve": ({"method": "newton"}, {}),
    "ParticleFlow.step": ({"method": "newton"}, {}),
    "ParticleFlow.langevin": ({"temperature": 0.1, "sweeps": 1, "steps": 1, "seed": 0}, {}),
    "ParticleFlow.geodesic": ({"other": Made(flow, "flow"), "t": 0.5}, {}),
    "ParticleFlow.distance": (
        {"other": Made(flow, "flow")},
        {"other": FLOW_LIKE + bad(Made(lambda: flow(grid=Grid(-3, 3, 33)), "another grid"), match="grid", error=ValueError)},
    ),
    "ParticleFlow.coupling": ({"other": Made(flow, "flow")}, {}),
    "ParticleFlow.convexity": ({"other": Made(flow, "flow"), "points": 3}, {}),
    "ParticleFlow.inner": ({"v": th.zeros(21, 2, 1), "w": th.zeros(21, 2, 1)}, {"v": SHAPED, "w": SHAPED}),
    "ParticleFlow.hessian_vector": ({"v": th.zeros(21, 2, 1)}, {"v": SHAPED}),
    "ParticleFlow.action_value": ({"actions": th.zeros(21, 2, 1)}, {"actions": SHAPED}),
    "ParticleFlow.as_policy": ({}, {}),
    "GridPolicy.predict": (
        {"observation": np.zeros(1)},
        {"observation": bad(np.zeros(3), np.array([NAN]), None, "x", EMPTY, match="observation", error=ValueError)}
        | dict.fromkeys(("state", "episode_start", "deterministic"), UNCHECKED),
    ),
    "NeuralPolicy": ({"module": th.nn.Linear(1, 1)}, {"module": OBJECT}),
    "NeuralPolicy.predict": (
        {"observation": np.zeros(1)},
        {"observation": bad(np.zeros(3), np.array([NAN]), None, "x", EMPTY, match="observation", error=ValueError)}
        | dict.fromkeys(("state", "episode_start", "deterministic"), UNCHECKED),
    ),
    "NeuralPolicy.load": (
        {"path": on_disk("policy")},
        {"path": PATH + bad("nothing", error=FileNotFoundError) + bad(file(), match="a_file", error=ValueError)},
    ),
    "NeuralPolicy.save": ({"path": "policy"}, {}),
    "NaturalGradient": (
        NATURAL,
        {
            "policy": bad("big", None, 3, Anything(), error=TypeError) + bad([0], EMPTY, match="policy"),
            "cost": CALLABLE,
            "noise": VECTOR + bad(["x"], 0.4, np.zeros((1, 1, 1)), error=ValueError),
            "action_low": VECTOR + bad(1.0, match="action_low", error=ValueError, action_high=-1.0),
            "windows": bad(8, (8, 4), ("a", "b"), None, [], EMPTY, (2,), (2, HUGE), Anything(), error=ValueError),
            "action_dim": bad(None, match="action_dim", error=ValueError) + but(COUNT, None),
        },
    ),
    "NaturalGradient.learn": ({"total_timesteps": 8}, {"callback": CALLABLE}),
    "NaturalGradient.evaluate": ({"n_chains": 2, "burn_in": 1, "steps": 2}, {"burn_in": INDEX, "seed": INDEX}),
    "NaturalGradient.as_policy": ({}, {}),
    "NaturalGradient.load_checkpoint": (
        {"path": on_disk("checkpoint")},
        {"path": PATH + bad("nothing", error=FileNotFoundError) + bad(file(), match="a_file", error=ValueError)},
    ),
    "NaturalGradient.save_checkpoint": ({"path": "checkpoint"}, {}),
    "Problem": (FLOW, {"cost": CALLABLE, "action_low": UNCHECKED, "action_high": UNCHECKED}),
    "Problem.flow": ({"n_particles": 2}, {"initial": bad("x", th.ones(5), match="initial")}),
    "from_env": (
        {"env": "Pendulum-v1", "grid": Grid([-3.2, -8], [3.2, 8], cells=5)},
        {"env": bad(None, 3, [], EMPTY, HUGE, Anything(), error=ValueError) + bad("CartPole-v1", match="env")},
    ),
    "SolverOptions": ({}, {}),
    "mountain_car": ({"cells": 5}, {"cells": COUNT + bad(3), "discount": POSITIVE + bad(1.0)}),
    "pendulum": ({"cells": 5}, {"cells": COUNT + bad(3), "noise": NOT_NEGATIVE}),
    # Populations
    "Population": (
        {"algorithm": PPO, "policy": "MlpPolicy", "env": Goals, "n_policies": 2, "seed": 3, "n_envs": 4, **PPO_KWARGS},
        {
            "algorithm": bad("PPO", DQN, None, 3, list, EMPTY, Anything(), error=TypeError),
            "policy": bad("NoPolicy", match="Policy", error=ValueError),
            "env": ENVIRONMENT
            + bad(Made(Goals, "Goals"), match="env", error=TypeError)
            + bad("Nowhere-v0", match="Nowhere", error=(ValueError, gym.error.Error)),
            "wasserstein_coef": NUMBER + bad("1", lambda p: p, match="wasserstein_coef", error=TypeError),
            "schedule": bad("late", "", error=ValueError) + bad(3, EMPTY, HUGE, Anything(), error=TypeError),
            "burst": OBJECT,
            "fresh_starts": but(OBJECT, None),
            "env_kwargs": DICT + bad({"colour": 1}, match="colour", error=TypeError),
            "target": bad([[0.0] * 10], match="target", error=ValueError),
            "dual": bad("rkhs", "nothing", 3, match="dual"),
            "dual_kwargs": bad({"eps": 1.0}, match="dual_kwargs.*eps", error=ValueError),
            "credit": bad("nothing", 3, error=ValueError),
            "episode_window": FROM_TWO,
            "colour": bad(3, match="colour", error=TypeError),
        },
    ),
    "Burst": ({}, {"full": FRACTION, "end": NUMBER + bad(0.1), "release": POSITIVE, "gain": NOT_NEGATIVE}),
    "FreshStarts": (
        {},
        {
            **dict.fromkeys(("begin", "end", "floor", "lost"), FRACTION),
            **dict.fromkeys(("collapsed", "collapsed_among", "patience", "attempt", "temperature"), POSITIVE),
            "together": INDEX,
            "burst": OBJECT,
        },
    ),
    "Population.evaluate": ({"n_episodes": 4}, {"n_episodes": COUNT + bad(3), "deterministic": FLAG, "seed": SEED}),
    "Population.predict": (
        {"observation": np.zeros(2, dtype=np.float32), "member": 0},
        {
            **dict.fromkeys(("observation", "state", "episode_start", "deterministic"), UNCHECKED),
            "member": INDEX + bad(2, match="member must be below 2", error=ValueError),
        },
    ),
    "Population.learn": (
        {"total_timesteps": 192},
        {
            "callback": bad(3, "x", EMPTY, HUGE, Anything(), error=TypeError)
            + bad(Made(lambda: EvalCallback(SubprocVecEnv([Goals])), "EvalCallback"), match="callback.*SubprocVecEnv"),
            "checkpoint": PATH
            + bad(file(), match="a_file", error=OSError)
            + bad(on_disk("other"), match="another population", error=ValueError),
        },
    ),
    "Population.save": (
        {"folder": "population"},
        {
            "folder": PATH
            + bad(file(), match="a_file", error=OSError)
            + bad(on_disk("other"), match="another population", error=ValueError)
        },
    ),
    "Population.load": (
        {"folder": on_disk("population"), "env": Goals},
        {
            "folder": PATH + bad("nothing", error=FileNotFoundError),
            "env": ENVIRONMENT + bad("CartPole-v1", match="[Oo]bservation|embedding", error=ValueError),
            "algorithm": bad("PPO", 3, EMPTY, Anything(), error=TypeError),
            "schedule": bad("late", error=ValueError) + bad(3, EMPTY, HUGE, Anything(), error=TypeError),
            "embedding": bad("nothing", error=ValueError) + bad(3, EMPTY, HUGE, Anything(), error=TypeError),
        },
    ),
    # Figures and the zoo
    "plot_behaviour": (
        {"cloud": POINTS, "target": POINTS},
        {"cloud": CLOUD[:-1], "target": CLOUD[:-1] + bad(POINTS[:, :1]), "potential": CALLABLE},
    ),
    "plot_grid_paths": (
        {"heights": np.zeros((2, 3), dtype=int), "paths": {"us": [[0, 1, 2]]}},
        {
            "heights": bad([0, 1, 2], None, "x", EMPTY, 3, [[NAN]], error=ValueError),
            "paths": bad({}, {"us": [[0, 99]]}, {"us": [[]]}, {"us": [["x"]]}, match="paths", error=ValueError)
            + bad([[0, 1]], None, 3, EMPTY, {"us": 3}, match="paths", error=TypeError),
            "reference": bad([-1], [], EMPTY, "x", [HUGE], match="reference", error=ValueError),
        },
    ),
    "plot_parting": (
        {"rounds": {"one": (np.zeros((1, 2, 2)), np.ones((1, 2, 2)))}, "goals": [[1.0, 1.0]]},
        {"rounds": bad({}, None, 3, EMPTY, {"one": 3}, match="rounds"), "goals": bad(None, "x", [], EMPTY, [[NAN, 0.0]], 3)},
    ),
    "plot_plane": (
        {"panels": {"one": np.zeros(4)}, "cells": (2, 2), "low": (0, 0), "high": (1, 1)},
        {
            "panels": bad({}, None, 3, EMPTY, {"one": np.zeros(3)}, match="panels"),
            "cells": bad(None, "x", 3, [], EMPTY, (2, 0), match="cells"),
            "low": bad(None, "x", EMPTY, (NAN, 0)),
            "high": bad(None, "x", EMPTY, (NAN, 0)),
            "axes": bad(None, 3, ("x",), match="axes"),
        },
    ),
    "ours": (
        {"log_strength": 0.0, "attract": True, "credit": "default", "log_window": 5, "epsilon": 0.1},
        dict.fromkeys(("log_strength", "attract", "credit", "log_window", "epsilon"), UNCHECKED),
    ),
    "config_file": ({"algo": "wppo"}, {"algo": UNCHECKED}),
}

#: what a model cannot change: the message says how to go on
FIXED = bad(None, "path", {"epsilon": 9.0}, 5, EMPTY, match="cannot be set.*set_parameters", error=ValueError)
#: attributes that may be set later: refused where they are set, or by the next ``learn``
ATTRIBUTES: dict[str, dict[str, Kind]] = {
    "ParticleFlow": {
        "particles": bad(th.zeros(21, 3, 1), th.full((21, 2, 1), NAN), "left", None, EMPTY, HUGE),
        "weights": bad(th.ones(21, 3), th.zeros(21, 2), -th.ones(21, 2), "left", None, EMPTY, HUGE, match="weights"),
    },
    "WassersteinA2C": {
        "credit": bad("nothing", 3, EMPTY, error=ValueError),
        **dict.fromkeys(("dual", "dual_kwargs", "embedding", "segment_length", "tracker_options"), FIXED),
        "episode_window": FROM_TWO,
        "normalize_bonus": FLAG,
        "target": bad(None, np.zeros((1, 7)), "nowhere", 3, match="target"),
        "wasserstein_coef": bad(NAN, "big", None, EMPTY, match="wasserstein_coef"),
    },
}

# --- What the table covers --------------------------------------------------------------------------------------------

MODULES = ("", ".duals", ".embeddings", ".envs", ".flow", ".population", ".figures", ".tensorboard", ".zoo")
#: bases, results and errors, which no user makes
MADE_BY_US = {"BoundEmbedding", "ControlTask", "ConvexityReport", "Dual", "Embedding", "EmbeddingError", "GridPolicy"}
MADE_BY_US |= {"Comparison", "Evaluation", "MemberError", "Result", "matplotlib_figure", "register"}
#: methods of these that take what the package has made
CALLED_BY_US = {"actions", "draw", "epsilon_if", "from_cloud", "is_same_as", "shaping_of", "states", "thinned", "update_laws"}


@cache
def public() -> dict[str, Any]:
    """The public callables of the package, by name."""
    found: dict[str, Any] = {}
    for suffix in MODULES:
        module = importlib.import_module(f"sb3_wasserstein{suffix}")
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        found |= {name: getattr(module, name) for name in getattr(module, "__all__", own) if not name.startswith("_")}
    return {name: value for name, value in found.items() if callable(value)}


def is_ours(cls: type) -> bool:
    return cls.__module__.startswith("sb3_wasserstein")


def signature(name: str) -> dict[str, inspect.Parameter]:
    """The arguments of a line of the table, without those that the class of SB3 or Gymnasium below it has."""
    head, _, method = name.partition(".")
    value = public()[head]
    given = inspect.signature(getattr(value, method) if method else value).parameters
    theirs = {"self"}
    if inspect.isclass(value):
        below = next((base for base in value.__mro__ if not is_ours(base) and base is not object), object)
        theirs |= inspect.signature(getattr(below, method or "__init__", lambda: None)).parameters.keys()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {key: one for key, one in given.items() if one.kind not in variadic and key not in theirs and key[0] != "_"}


def kind_of(name: str, argument: str) -> Kind | None:
    """What is wrong for an argument: the line's own values, else the name's, else those of an option's type."""
    named = {**KINDS, **TABLE[name][1]}
    if argument in named or not name.endswith("Options"):
        return named.get(argument)
    types = {"int": INDEX, "float": NOT_NEGATIVE, "bool": FLAG, "tuple": TUPLE}
    return types.get(str(signature(name)[argument].annotation).partition("[")[0])


def cases() -> Iterator[Any]:
    for name, (_, own) in TABLE.items():
        arguments = signature(name)
        for argument in {**arguments, **own}:
            kind = kind_of(name, argument) or UNCHECKED
            takes_none = argument in arguments and arguments[argument].default is None
            for k, item in enumerate(item for item in kind if item.value is not None or item.match or not takes_none):
                yield pytest.param(name, argument, item, id=f"{name}-{argument}-{k}-{item}")


def state_of(made: Any) -> Any:
    """All of an object that can be pickled; of the others, what has been learnt."""
    if isinstance(made, ParticleFlow):
        return made.particles.numpy(), made.weights.numpy()
    if isinstance(made, NaturalGradient):
        return made.num_timesteps, [p.detach().numpy() for p in made.policy.parameters()]
    if isinstance(made, Population):
        return [model.num_timesteps for model in made.models], parameters(made), made.distances
    if isinstance(made, WassersteinA2C):
        states = made.dual.state_dict(), made.tracker.state_dict()
        return made.num_timesteps, [p.detach().numpy() for p in made.policy.parameters()], repr(states)
    return None if isinstance(made, (gym.Env, Problem)) else made


def resolved(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.make() if isinstance(value, Made) else value for name, value in arguments.items()}


def called(name: str) -> tuple[Callable[..., Any], Any]:
    """What a line of the table calls, and the object that the call must leave as it was."""
    head, _, method = name.partition(".")
    cls = public()[head]
    if not method:
        return cls, None
    on_class = not inspect.isfunction(inspect.getattr_static(cls, method))
    return getattr(cls if on_class else receiver(head), method), None if on_class else receiver(head)


@pytest.mark.parametrize(("name", "argument", "item"), list(cases()))
def test_what_is_refused(name, argument, item, monkeypatch):
    function, made = called(name)
    arguments = resolved({**TABLE[name][0], **item.others, argument: item.value})
    # A call that is refused does not train first.
    monkeypatch.setattr(WassersteinA2C, "train", lambda *_: pytest.fail("it trained before it refused"))
    check_refusal(lambda: function(**arguments), argument, item, lambda: state_of(made))


@pytest.mark.parametrize("name", TABLE)
def test_the_call_beside_it_works(name):
    arguments = resolved(TABLE[name][0])
    head, _, method = name.partition(".")
    is_method = bool(method) and inspect.isfunction(inspect.getattr_static(public()[head], method))
    on = (RECEIVERS.get(head) or (lambda: receiver(head)))() if is_method else public()[head]
    function = getattr(on, method) if method else on
    assert callable(function)
    function(**arguments)


@pytest.mark.parametrize(
    ("name", "attribute", "item"),
    [
        pytest.param(name, attribute, item, id=f"{name}-{attribute}-{k}-{item}")
        for name, attributes in ATTRIBUTES.items()
        for attribute, kind in attributes.items()
        for k, item in enumerate(kind)
    ],
)
def test_what_is_set_later(name, attribute, item):
    made = receiver(name)
    before, was_set = getattr(made, attribute), False

    def set_and_learn():
        nonlocal was_set
        setattr(made, attribute, item.value)
        was_set = True
        if isinstance(made, WassersteinA2C):
            made.learn(64, reset_num_timesteps=False)

    try:
        check_refusal(set_and_learn, attribute, item)
    finally:
        if was_set:
            setattr(made, attribute, before)


def test_a_missing_logger_names_the_extra(monkeypatch):
    monkeypatch.setattr("stable_baselines3.common.utils.SummaryWriter", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[logging\]"):
        WassersteinA2C("MlpPolicy", "CartPole-v1", tensorboard_log="log", device="cpu").learn(8)


def test_every_argument_of_every_public_callable_is_in_the_table():
    asked = public().keys() - MADE_BY_US
    for head in (*DUALS, *(RECEIVERS.keys() - {"FinalState"})):
        ours = {name for cls in public()[head].__mro__ if is_ours(cls) for name in vars(cls)} - CALLED_BY_US
        methods = {name for name in ours if not name.startswith("_") and callable(getattr(public()[head], name))}
        asked |= {f"{head}.{name}" for name in methods if signature(f"{head}.{name}")}
    assert sorted(asked - TABLE.keys()) == []
    assert [(name, argument) for name in TABLE for argument in signature(name) if kind_of(name, argument) is None] == []
