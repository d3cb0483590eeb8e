"""Algorithms, callbacks, populations: bad input is refused, by name, and leaves everything as it was."""

from typing import NoReturn

import gymnasium as gym
import numpy as np
import pytest
from refusals import check_refusal
from scripted import ScriptedEnv
from small_population import PPO_KWARGS, make
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_wasserstein import WPO, DualCallback, Population, Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.tensorboard import TensorboardCallback

POINT = [[0.0, 0.0, 0.0, 0.0]]


def model(cls=WassersteinA2C, **kwargs):
    return cls("MlpPolicy", "CartPole-v1", **{"target": POINT, "wasserstein_coef": -1.0, "device": "cpu", **kwargs})


def garbage(name, content=b"not a zip"):
    with open(name, "wb") as file:
        file.write(content)
    return name


def raising(progress) -> NoReturn:
    raise RuntimeError("no such progress")


ALGORITHMS = {
    "an embedding of None": (lambda: model(embedding=None), "embedding", TypeError),
    "an embedding's class": (lambda: model(embedding=Target), "embedding", TypeError),
    "a target of text": (lambda: model(target="nowhere"), "nowhere", FileNotFoundError),
    "an empty name": (lambda: model(target=""), "target", OSError),
    "a dict for a target": (lambda: model(target={"points": POINT}), "target"),
    "a target of True": (lambda: model(target=True), "target"),
    "points whose squares overflow": (lambda: model(target=[[1e200] * 4]), "target"),
    "a coefficient of None": (lambda: model(wasserstein_coef=None), "wasserstein_coef", TypeError),
    "a coefficient of True": (lambda: model(wasserstein_coef=True), "wasserstein_coef", TypeError),
    "a list of coefficients": (lambda: model(wasserstein_coef=[1.0]), "wasserstein_coef", TypeError),
    "a complex coefficient": (lambda: model(wasserstein_coef=1j), "wasserstein_coef", TypeError),
    "a schedule of text": (lambda: model(wasserstein_coef=lambda p: "1"), "wasserstein_coef", TypeError),
    "a schedule of None": (lambda: model(wasserstein_coef=lambda p: None), "wasserstein_coef", TypeError),
    "a schedule that raises": (lambda: model(wasserstein_coef=raising), "wasserstein_coef"),
    "a schedule without arguments": (lambda: model(wasserstein_coef=lambda: 1.0), "wasserstein_coef"),
    "a dual of None": (lambda: model(dual=None), "dual", TypeError),
    "a dual's class": (lambda: model(dual=SinkhornDual), "dual", TypeError),
    "a dual and its arguments": (lambda: model(dual=SinkhornDual(), dual_kwargs={"epsilon": 1.0}), "dual_kwargs", TypeError),
    "a list of dual_kwargs": (lambda: model(dual_kwargs=["epsilon"]), "dual_kwargs", TypeError),
    "dual_kwargs of another dual": (lambda: model(dual="sinkhorn", dual_kwargs={"budget": 3}), "dual_kwargs.*budget"),
    "an epsilon of None": (lambda: model(dual_kwargs={"epsilon": None}), "epsilon", TypeError),
    "a seed of text in dual_kwargs": (lambda: model(dual="rkhs", dual_kwargs={"seed": "x"}), "seed"),
    "credit by number": (lambda: model(credit=1), "credit"),
    "credit in a list": (lambda: model(credit=["terminal"]), "credit"),
    "a window of None": (lambda: model(episode_window=None), "episode_window"),
    "a window of text": (lambda: model(episode_window="256"), "episode_window"),
    "a window of True": (lambda: model(episode_window=True), "episode_window"),
    "a window of NaN": (lambda: model(episode_window=float("nan")), "episode_window"),
    "text for normalize_bonus": (lambda: model(normalize_bonus="no"), "normalize_bonus", TypeError),
    "a segment of text": (lambda: model(segment_length="a"), "segment_length"),
    "a segment of True": (lambda: model(segment_length=True), "segment_length"),
    "a slip of the pen": (lambda: model(wasserstein_coeff=1.0), "wasserstein_coeff", TypeError),
    "a model that is not there": (lambda: WassersteinPPO.load("nothing"), "nothing", FileNotFoundError),
}

ON_A_SAVED_MODEL = {
    "a coefficient of text": ({"wasserstein_coef": "x"}, "wasserstein_coef", TypeError),
    "an unknown embedding": ({"embedding": "nothing"}, "embedding"),
    "another embedding": ({"embedding": "path"}, "embedding"),
    "another target": ({"target": [[0.0]]}, "target has dimension 1"),
    "another dual": ({"dual": "rkhs"}, "dual"),
    "other arguments of the dual": ({"dual_kwargs": {"epsilon": 0.9}}, "epsilon"),
    "an unknown credit": ({"credit": "nothing"}, "credit"),
    "another environment": ({"env": "Pendulum-v1"}, "[Oo]bservation"),
}

CALLBACKS = {
    "no embedding": (lambda: DualCallback(None), "embedding", TypeError),
    "an empty config": (lambda: DualCallback({}), "embedding"),
    "a flat target": (lambda: DualCallback("path", [0.0]), "target"),
    "an unknown dual": (lambda: DualCallback("path", POINT, "simplex"), "dual"),
    "a window of 1": (lambda: DualCallback("path", episode_window=1), "episode_window"),
    "half a segment": (lambda: DualCallback("path", segment_length=0.5), "segment_length"),
    "every 0 rollouts": (lambda: TensorboardCallback(every=0), "every"),
    "every None rollouts": (lambda: TensorboardCallback(every=None), "every"),
    "every text rollouts": (lambda: TensorboardCallback(every="day"), "every"),
    "a callback of text": (lambda: TensorboardCallback("me"), "behaviour", TypeError),
    "figures of text": (lambda: TensorboardCallback(figures="no"), "figures", TypeError),
    "projector of text": (lambda: TensorboardCallback(projector="no"), "projector", TypeError),
    "a target that does not fit": (
        lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8).learn(8, DualCallback("path", POINT)),
        "target has dimension 4",
    ),
}


def population(*args, **kwargs):
    return make(*args, **kwargs)


POPULATIONS = {
    "an algorithm by name": (lambda: Population("PPO", "MlpPolicy", Goals, 2), "algorithm", TypeError),
    "an algorithm that is off policy": (lambda: Population(DQN, "MlpPolicy", Goals, 2), "algorithm", TypeError),
    "no algorithm": (lambda: Population(None, "MlpPolicy", Goals, 2), "algorithm", TypeError),
    "one policy": (lambda: population(1), "n_policies"),
    "2.5 policies": (lambda: population(2.5), "n_policies"),
    "policies of text": (lambda: population("two"), "n_policies"),
    "no environments": (lambda: population(n_envs=0), "n_envs"),
    "no environment": (lambda: population(env=None), "env", TypeError),
    "an environment by number": (lambda: population(env=3), "env", TypeError),
    "an unknown environment": (lambda: population(env="Nowhere-v0"), "Nowhere", (ValueError, gym.error.Error)),
    "an environment, made": (lambda: population(env=Goals()), "env", TypeError),
    "env_kwargs in a list": (lambda: population(env_kwargs=[1]), "env_kwargs", TypeError),
    "env_kwargs that the env does not know": (lambda: population(env_kwargs={"colour": 1}), "colour", TypeError),
    "an unknown policy": (lambda: Population(PPO, "NoPolicy", Goals, 2, **PPO_KWARGS), "NoPolicy"),
    "a coefficient of NaN": (lambda: population(wasserstein_coef=float("nan")), "wasserstein_coef"),
    "a coefficient of text": (lambda: population(wasserstein_coef="1"), "wasserstein_coef", TypeError),
    "a schedule for a coefficient": (lambda: population(wasserstein_coef=lambda p: p), "wasserstein_coef", TypeError),
    "an unknown schedule": (lambda: population(schedule="late"), "schedule"),
    "a schedule by number": (lambda: population(schedule=3), "schedule", TypeError),
    "an unknown repulsion": (lambda: population(repulsion="none"), "repulsion"),
    "unknown neighbours": (lambda: population(neighbours="farthest"), "neighbours"),
    "a distance_target of 0": (lambda: population(distance_target=0), "distance_target"),
    "a distance_target of NaN": (lambda: population(distance_target=float("nan")), "distance_target"),
    "a distance_target of text": (lambda: population(distance_target="far"), "distance_target"),
    "a distance_target of True": (lambda: population(distance_target=True), "distance_target"),
    "a return_floor of 2": (lambda: population(return_floor=2), "return_floor"),
    "a return_floor of NaN": (lambda: population(return_floor=float("nan")), "return_floor"),
    "a return_floor of text": (lambda: population(return_floor="high"), "return_floor", TypeError),
    "an unknown executor": (lambda: population(executor="thread"), "executor"),
    "an unknown embedding": (lambda: population(embedding="nothing"), "embedding"),
    "a target": (lambda: population(target=[[0.0] * 10]), "target"),
    "another dual": (lambda: population(dual="rkhs"), "dual"),
    "an unknown argument of the dual": (lambda: population(dual_kwargs={"eps": 1.0}), "dual_kwargs"),
    "a negative seed": (lambda: population(seed=-1), "seed"),
    "a seed of text": (lambda: population(seed="x"), "seed"),
    "half a seed": (lambda: population(seed=2.5), "seed"),
    "a number for a log": (lambda: population(tensorboard_log=3), "tensorboard_log", TypeError),
    "an unknown argument": (lambda: population(colour=3), "colour", TypeError),
    "an unknown credit": (lambda: population(credit="nothing"), "credit"),
    "a window of 1": (lambda: population(episode_window=1), "episode_window"),
    "a folder that is not there": (lambda: Population.load("nothing", Goals), "nothing", FileNotFoundError),
    "no folder": (lambda: Population.load(None, Goals), "folder", TypeError),
}

ON_A_POPULATION = {
    "no steps": (lambda p: p.learn(0), "total_timesteps"),
    "steps of text": (lambda p: p.learn("all"), "total_timesteps"),
    "steps of None": (lambda p: p.learn(None), "total_timesteps"),
    "half a round": (lambda p: p.learn(192, checkpoint="folder", checkpoint_every=0.5), "checkpoint_every"),
    "a checkpoint by number": (lambda p: p.learn(192, checkpoint=3), "checkpoint", TypeError),
    "a callback by number": (lambda p: p.learn(192, callback=3), "callback", TypeError),
    "a checkpoint in a file's place": (lambda p: p.learn(192, checkpoint="file"), "file", OSError),
    "a folder of None": (lambda p: p.save(None), "folder", TypeError),
    "a file for a folder": (lambda p: p.save("file"), "file", OSError),
    "another population's folder": (lambda p: p.save("other"), "another population"),
}

ON_A_SAVED_POPULATION = {
    "an unknown executor": ({"executor": "thread"}, "executor"),
    "an unknown schedule": ({"schedule": "late"}, "schedule"),
    "another environment": ({"env": "CartPole-v1"}, "[Oo]bservation|embedding"),
    "another embedding": ({"embedding": "nothing"}, "embedding"),
    "an algorithm by name": ({"algorithm": "PPO"}, "algorithm", TypeError),
    "no environment": ({"env": None}, "env", TypeError),
}


def wpo(**kwargs):
    return WPO("MlpPolicy", "Pendulum-v1", **kwargs)


WPOS = {
    "an unknown actor": (lambda: wpo(actor="laplace"), "actor"),
    "an unknown prox": (lambda: wpo(prox="w1"), "prox"),
    "an unknown squash": (lambda: wpo(squash_velocity="tanh"), "squash_velocity"),
    "no samples": (lambda: wpo(n_action_samples=0), "n_action_samples"),
    "samples of None": (lambda: wpo(n_action_samples=None), "n_action_samples"),
    "iterations of text": (lambda: wpo(cg_iterations="all"), "cg_iterations"),
    "a prox_coef of 0": (lambda: wpo(prox_coef=0.0), "prox_coef"),
    "a damping of text": (lambda: wpo(natural_damping="x"), "natural_damping", TypeError),
    "a displacement of NaN": (lambda: wpo(max_displacement=float("nan")), "max_displacement"),
    "natural_gradient of text": (lambda: wpo(natural_gradient="no"), "natural_gradient", TypeError),
    "a temperature of text": (lambda: wpo(ent_coef="warm"), "ent_coef"),
    "a negative temperature": (lambda: wpo(ent_coef=-0.1), "ent_coef"),
    "an entropy of text": (lambda: wpo(target_entropy="low"), "target_entropy", TypeError),
    "no interval": (lambda: wpo(target_update_interval=0), "target_update_interval"),
    "sde with particles": (lambda: wpo(actor="particles", use_sde=True), "use_sde"),
    "no components": (lambda: wpo(actor="mixture", policy_kwargs={"n_components": 0}), "n_components"),
    "a bandwidth of 0": (lambda: wpo(actor="particles", policy_kwargs={"bandwidth": 0.0}), "bandwidth"),
    "discrete actions": (lambda: WPO("MlpPolicy", "CartPole-v1"), "Discrete", AssertionError),
}


def table(cases):
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@table(ALGORITHMS)
def test_algorithms(case) -> None:
    check_refusal(*case)


@table(CALLBACKS)
def test_callbacks(case) -> None:
    check_refusal(*case)


@table(POPULATIONS)
def test_populations(case) -> None:
    check_refusal(*case)


@table(WPOS)
def test_wpo(case) -> None:
    check_refusal(*case)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model(seed=0).learn(400).save(folder / "model")
    with make(seed=3) as population:
        population.learn(192).save(folder / "population")
    return folder


@table(ON_A_SAVED_MODEL)
def test_loading_a_model(case, saved) -> None:
    kwargs, words, *error = case
    env = DummyVecEnv([lambda: gym.make(kwargs.get("env", "CartPole-v1"))])
    check_refusal(lambda: WassersteinA2C.load(saved / "model", **{**kwargs, "env": env}), words, *error)


@pytest.mark.parametrize("content", [b"", b"not a zip"])
def test_loading_what_is_no_model(content) -> None:
    garbage("model.zip", content)
    check_refusal(lambda: WassersteinPPO.load("model.zip"), "model.zip|zip|data")


@table(ON_A_SAVED_POPULATION)
def test_loading_a_population(case, saved) -> None:
    kwargs, words, *error = case
    check_refusal(lambda: Population.load(saved / "population", **{"env": Goals, **kwargs}), words, *error)


@table(ON_A_POPULATION)
def test_a_population_stays_as_it_was(case) -> None:
    act, words, *error = case
    garbage("file", b"in the way")
    with make(seed=4) as other, make(seed=3) as population:
        other.save("other")
        before = [snapshot.blob for snapshot in population._snapshots()]
        with pytest.MonkeyPatch.context() as patch:
            # A call that is refused does not train first.
            patch.setattr(WassersteinPPO, "train", lambda *_: pytest.fail("it trained before it refused"))
            check_refusal(lambda: act(population), words, *error)
        for blob, member in zip(before, population._snapshots(), strict=True):
            assert len(blob) == len(member.blob)


def test_a_model_stays_as_it_was() -> None:
    made = WassersteinA2C("MlpPolicy", DummyVecEnv([ScriptedEnv]), target=[[0.0] * 3], wasserstein_coef=1.0, seed=0).learn(64)
    parts = {**made.get_parameters(), "dual": made.dual.state_dict()}
    check_refusal(lambda m: m.set_parameters(parts), "dual", made=None if made is None else Frozen(made))
    check_refusal(lambda m: m.tracker.load_state_dict({}), "state", made=Frozen(made))
    check_refusal(lambda m: m.dual.load_state_dict({}), "`state`", made=Frozen(made))


class Frozen:
    """A model whose pickle is what counts: parameters, dual, window, scales."""

    def __init__(self, made) -> None:
        self._made = made

    def __getattr__(self, name):
        return getattr(self._made, name)

    def __reduce__(self):
        made = self._made
        parameters = [p.detach().numpy().copy() for p in made.policy.parameters()]
        behaviour = made.tracker.state_dict()
        state = made.dual.state_dict()
        plain = [np.asarray(value) for value in (*behaviour["window"].values(), *state.values()) if value is not None]
        return dict, ({"parameters": [p.tobytes() for p in parameters], "rest": repr(plain), "steps": made.num_timesteps},)
