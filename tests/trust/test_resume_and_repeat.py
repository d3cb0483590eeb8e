"""A training that was cut in two is the unbroken one, and the same seed gives the same bits."""

import importlib
import random

import numpy as np
import pytest
import torch as th
from faulty import Restorable
from small_population import ROUND, make, parameters
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from test_hostile_files import learner

from sb3_wasserstein import WPO, Target, WassersteinA2C, WassersteinPPO, collect_embeddings
from sb3_wasserstein.embeddings import FunctionEmbedding, Path, StateOccupancy, VisitHistogram
from sb3_wasserstein.flow import Grid, ParticleFlow

TARGET = np.random.default_rng(0).normal(size=(6, 2))
DUALS = ["sinkhorn", "rkhs", "alternating", "semidiscrete"]
EMBEDDINGS = {
    "mean_state": ("mean_state", TARGET),
    "path": (Path(3), np.tile(TARGET, 3)),
    # Fewer states than an episode has: which ones are kept depends on the episode's number.
    "occupancy": (StateOccupancy(horizon=9, states_per_episode=3), TARGET),
    "histogram": (VisitHistogram([-2, -2], [2, 2], 3), np.full((1, 9), 1 / 9)),
    "function": (FunctionEmbedding(lambda t: [t.rewards.sum()], 1), TARGET[:, :1]),
}


def contrib(name):
    pytest.importorskip("sb3_contrib", reason="needs the extra contrib")
    return getattr(importlib.import_module("sb3_wasserstein.regularised.contrib"), name)


CLASSES = {
    "ppo": (lambda: WassersteinPPO, {"n_steps": 14, "batch_size": 28, "n_epochs": 2}),
    "a2c": (lambda: WassersteinA2C, {"n_steps": 7}),
    "trpo": (lambda: contrib("WassersteinTRPO"), {"n_steps": 14, "batch_size": 28}),
    "recurrent": (lambda: contrib("WassersteinRecurrentPPO"), {"n_steps": 14, "batch_size": 28, "n_epochs": 1}),
    "maskable": (lambda: contrib("WassersteinMaskablePPO"), {"n_steps": 14, "batch_size": 28, "n_epochs": 1}),
}
ROLLOUTS = 6 * 28


class Masked(Restorable):
    def action_masks(self):
        return [True, True, self.time % 2 == 0, True]


def envs():
    return DummyVecEnv([Masked, Masked])


def made(name="ppo", embedding="mean_state", **kwargs):
    cls, own = CLASSES[name]
    embedding, target = EMBEDDINGS[embedding]
    policy = "MlpLstmPolicy" if name == "recurrent" else "MlpPolicy"
    given = {
        "embedding": embedding,
        "target": target,
        "wasserstein_coef": 1.0,
        "episode_window": 8,
        "seed": 0,
        **own,
        **kwargs,
    }
    return cls()(policy, envs(), device="cpu", **given)


def bits(model):
    """All that learning has made: parameters, optimizer, window, scales, dual."""
    found = {name: value.numpy().copy() for name, value in model.policy.state_dict().items()}
    for k, state in model.policy.optimizer.state_dict()["state"].items():
        found |= {f"optimizer {k} {name}": np.asarray(value) for name, value in state.items()}
    behaviour = model.tracker
    window = behaviour.window.state_dict()
    found |= {f"window {name}": np.asarray(value) for name, value in window.items()}
    found |= {f"scales {name}": np.asarray(value) for name, value in behaviour.scales.state_dict().items()}
    found["h"] = behaviour.shaping(behaviour.window.embeddings)
    found["distance"] = np.asarray(model.dual.distance)
    found["bonus to go"] = np.asarray(model.bonus_to_go)
    return found


def same(one, other) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def generators():
    return random.getstate(), np.random.get_state(), th.get_rng_state()  # noqa: NPY002


def put_back(states) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    th.set_rng_state(states[2])


def cut_in_two(model, path, load=None):
    """Learn, save, forget everything, load into an environment in the same state, and learn on."""
    model.learn(ROLLOUTS)
    model.save(path)
    states, places = generators(), model.env.env_method("state")
    given = {} if load is None else load
    env = envs()
    env.reset()
    loaded = type(model).load(path, env=env, force_reset=False, device="cpu", **given)
    for inner, place in zip(env.envs, places, strict=True):
        inner.unwrapped.restore(place)
    put_back(states)
    return loaded.learn(ROLLOUTS, reset_num_timesteps=False)


CUTS = [(name, "mean_state", "sinkhorn") for name in CLASSES]
CUTS += [("a2c", "mean_state", dual) for dual in DUALS[1:]]
CUTS += [("ppo", embedding, "sinkhorn") for embedding in list(EMBEDDINGS)[1:]]
CUTS += [("a2c", "occupancy", "rkhs")]


@pytest.mark.parametrize(("name", "embedding", "dual"), CUTS)
def test_a_training_cut_in_two_is_the_unbroken_one(name, embedding, dual, tmp_path) -> None:
    unbroken = made(name, embedding, dual=dual).learn(ROLLOUTS)
    middle = bits(unbroken)
    unbroken.learn(ROLLOUTS, reset_num_timesteps=False)
    given = {"embedding": EMBEDDINGS[embedding][0]} if embedding == "function" else {}
    resumed = cut_in_two(made(name, embedding, dual=dual), tmp_path / "model", given)
    same(bits(resumed), bits(unbroken))
    # It has learnt in between: the comparison is not of two models that stand still.
    assert any(not np.array_equal(value, bits(unbroken)[key]) for key, value in middle.items() if "weight" in key)


def test_one_call_is_two(tmp_path) -> None:
    """learn(2N) against learn(N) twice: only the share of progress differs, which a constant coefficient does not see."""
    once, twice = made().learn(2 * ROLLOUTS), made().learn(ROLLOUTS).learn(ROLLOUTS, reset_num_timesteps=False)
    same(bits(once), bits(twice))


def test_what_is_loaded_is_to_the_bit_what_was_saved_in_the_middle_of_an_episode(tmp_path) -> None:
    model = made("a2c", n_steps=5).learn(95)
    model.save(tmp_path / "model")
    loaded = WassersteinA2C.load(tmp_path / "model", env=envs(), device="cpu")
    same(bits(loaded), bits(model))
    # The episode that ran is begun anew, as SB3 does it: the window goes on with whole ones.
    loaded.learn(100, reset_num_timesteps=False)
    assert set(loaded.tracker.window.lengths) == {7}


def test_wpo_cut_in_two(tmp_path) -> None:
    def new():
        kwargs = {"learning_starts": 20, "batch_size": 16, "buffer_size": 500, "seed": 0, "device": "cpu"}
        return WPO("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [16]}, **kwargs)

    def weights(model):
        return {name: value.numpy().copy() for name, value in model.policy.state_dict().items()}

    unbroken = new().learn(60).learn(40, reset_num_timesteps=False)
    model = new().learn(60)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    states, env = generators(), model.env
    loaded = WPO.load(tmp_path / "model", device="cpu")
    loaded.load_replay_buffer(tmp_path / "buffer")
    loaded.set_env(env, force_reset=False)
    put_back(states)
    same(weights(loaded.learn(40, reset_num_timesteps=False)), weights(unbroken))


REPEATS = [(name, "mean_state", "sinkhorn") for name in CLASSES] + [("a2c", "path", dual) for dual in DUALS[1:]]


@pytest.mark.parametrize(("name", "embedding", "dual"), REPEATS)
def test_the_same_seed_gives_the_same_bits(name, embedding, dual) -> None:
    first, second = (bits(made(name, embedding, dual=dual).learn(ROLLOUTS)) for _ in range(2))
    same(first, second)
    other = bits(made(name, embedding, dual=dual, seed=1).learn(ROLLOUTS))
    assert any(not np.array_equal(value, other[key]) for key, value in first.items())


def test_the_same_seed_in_processes() -> None:
    def learnt(env_class):
        env = env_class([Restorable, Restorable])
        model = WassersteinA2C("MlpPolicy", env, target=TARGET, wasserstein_coef=1.0, n_steps=7, seed=0, device="cpu")
        found = bits(model.learn(ROLLOUTS))
        env.close()
        return found

    first, here = learnt(SubprocVecEnv), learnt(DummyVecEnv)
    same(first, learnt(SubprocVecEnv))
    # DummyVecEnv rounds rewards to float32 before SB3 adds to them, SubprocVecEnv does not.
    for name, value in first.items():
        np.testing.assert_allclose(value, here[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "kwargs", [{}, {"actor": "mixture", "prox": "kl"}, {"actor": "particles"}, {"natural_gradient": True}]
)
def test_wpo_repeats(kwargs) -> None:
    def learnt(seed):
        given = {"learning_starts": 16, "batch_size": 16, "buffer_size": 200, "policy_kwargs": {"net_arch": [8]}, **kwargs}
        model = WPO("MlpPolicy", "Pendulum-v1", seed=seed, device="cpu", **given).learn(40)
        return np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])

    np.testing.assert_array_equal(learnt(0), learnt(0))
    assert not np.array_equal(learnt(0), learnt(1))


@pytest.mark.parametrize("executor", ["serial", "process", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_population_repeats_wherever_it_lives(executor) -> None:
    def learnt(where, **kwargs):
        with make(2, executor=where, **kwargs) as population:
            population.learn(2 * ROUND)
            return np.array(parameters(population)), population.distances

    if executor == "ray":
        pytest.importorskip("ray")
    first, second = learnt("serial"), learnt(executor)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], learnt("serial", seed=4)[0])


def test_flows_and_targets_repeat() -> None:
    def langevin(seed):
        flow = ParticleFlow(
            lambda s, a: 0.5 * s + a, lambda s, a: s[:, 0] ** 2 + a[:, 0] ** 2, Grid(-3, 3, 15), -1.0, 1.0, 4, 0.4
        )
        flow.langevin(0.1, sweeps=2, steps=5, seed=seed)
        return flow.particles.numpy()

    def natural(steps):
        return np.concatenate([p.detach().numpy().ravel() for p in learner().learn(steps).policy.parameters()])

    def points(seed):
        return collect_embeddings(learnt, "CartPole-v1", "path", 4, seed=seed)

    learnt = WassersteinA2C("MlpPolicy", "CartPole-v1", seed=0, device="cpu")
    for repeat, *arguments in ((langevin, 0, 1), (natural, 64, 96), (points, 0, 1)):
        np.testing.assert_array_equal(repeat(arguments[0]), repeat(arguments[0]))
        assert not np.array_equal(repeat(arguments[0]), repeat(arguments[1]))
    assert Target.from_policy(learnt, "CartPole-v1", "path", 4, seed=0).points.tolist() == points(0).tolist()
