"""rl-zoo3's scripts with our algorithms."""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version
from stable_baselines3 import PPO

from sb3_wasserstein import WPO, Target, WassersteinPPO, WassersteinSAC, zoo

rl_zoo3 = pytest.importorskip("rl_zoo3", reason="needs the extra zoo")
optuna = pytest.importorskip("optuna")
yaml = pytest.importorskip("yaml")
pytest.importorskip("requests")

from sb3_wasserstein.zoo.__main__ import main  # noqa: E402

# The zoo's and Optuna's own warnings are not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
OURS = {"embedding", "wasserstein_coef", "dual", "episode_window", "normalize_bonus"}


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
    main()


@pytest.fixture
def target(tmp_path):
    Target(np.zeros((2, 4))).save(tmp_path / "target.npz")
    return tmp_path / "target.npz"


@pytest.mark.parametrize(("name", "parent"), zoo.PARENTS.items())
def test_the_files_hold_the_zoos_own_values(name, parent) -> None:
    theirs = yaml.safe_load((Path(rl_zoo3.__file__).parent / "hyperparams" / f"{parent}.yml").read_text())
    ours = yaml.safe_load(zoo.config_file(name).read_text())
    discrete = set() if parent == "sac" else {"CartPole-v1", "Acrobot-v1", "LunarLander-v3"}
    assert {"Pendulum-v1", "BipedalWalker-v3"} | discrete <= ours.keys()
    for env_id, values in ours.items():
        if parent == "sac" and "policy_kwargs" in values and Version(version("rl_zoo3")) < Version("2.9.2"):
            # use_expln came with that version.
            theirs[env_id]["policy_kwargs"] = values["policy_kwargs"]
        assert {key: value for key, value in values.items() if key not in OURS} == theirs[env_id], env_id
        assert values.get("wasserstein_coef") == (None if name == "wpo" else 0.0)


@pytest.mark.parametrize(("algo", "cls"), [("wpo", WPO), ("wsac", WassersteinSAC)])
def test_off_policy_algorithms_are_registered(monkeypatch, tmp_path, algo, cls) -> None:
    arguments = ["--env", "Pendulum-v1", "-n", 210, "--eval-freq", -1, "-f", tmp_path / "logs", "--verbose", 0]
    run(monkeypatch, "train", "--algo", algo, *arguments)
    model = cls.load(tmp_path / f"logs/{algo}/Pendulum-v1_1/Pendulum-v1.zip")
    assert model.lr_schedule(1.0) == 1e-3
    sampler = rl_zoo3.hyperparams_opt.HYPERPARAMS_SAMPLER[algo]
    assert "gamma" in sampler(optuna.create_study().ask(), 1, 1, {"noise_type": None, "using_her_replay_buffer": False})


def test_train_and_load(monkeypatch, tmp_path, target) -> None:
    arguments = ["--env", "CartPole-v1", "-n", 300, "--eval-freq", -1, "-f", tmp_path / "logs", "--verbose", 0]
    run(monkeypatch, "train", "--algo", "wppo", *arguments, "--hyperparams", f"target:'{target}'", "wasserstein_coef:-1.0")
    model = WassersteinPPO.load(tmp_path / "logs/wppo/CartPole-v1_1/CartPole-v1.zip")
    assert (model.wasserstein_coef, model.gamma, model.n_steps) == (-1.0, 0.98, 32)
    assert len(model.embeddings) > 4


def test_without_a_target_the_zoos_ppo_is_run(monkeypatch, tmp_path) -> None:
    for algo, cls in (("wppo", WassersteinPPO), ("ppo", PPO)):
        arguments = ["--algo", algo, "--env", "CartPole-v1", "-n", 300, "--eval-freq", -1, "--seed", 3, "--verbose", 0]
        run(monkeypatch, "train", *arguments, "-f", tmp_path)
        cls.load(tmp_path / algo / "CartPole-v1_1/CartPole-v1.zip")
    ours, theirs = (
        cls.load(tmp_path / algo / "CartPole-v1_1/CartPole-v1.zip").policy.state_dict()
        for algo, cls in (("wppo", WassersteinPPO), ("ppo", PPO))
    )
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value)


def test_our_arguments_are_sampled_and_come_back_from_the_study(monkeypatch) -> None:
    zoo.register()
    hyperparams_opt = rl_zoo3.hyperparams_opt
    monkeypatch.setitem(zoo.sampled, "with_target", True)
    monkeypatch.setitem(zoo.sampled, "attract", False)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        found = hyperparams_opt.HYPERPARAMS_SAMPLER["wppo"](trial, 1, 1, {})
        assert 0.1 <= found["wasserstein_coef"] <= 10.0
        assert found["credit"] in (None, "terminal", "episode")
        assert hyperparams_opt.HYPERPARAMS_CONVERTER["wppo"](trial.params) == found
        arguments = {key: value for key, value in found.items() if key != "policy_kwargs"}
        arguments["batch_size"] = arguments["n_steps"]
        WassersteinPPO("MlpPolicy", "CartPole-v1", target=np.zeros((1, 4)), **arguments)
    monkeypatch.setitem(zoo.sampled, "with_target", False)
    other = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert "wasserstein_coef" not in hyperparams_opt.HYPERPARAMS_SAMPLER["wa2c"](other.ask(), 1, 1, {})


def test_optimisation_runs(monkeypatch, tmp_path, target) -> None:
    arguments = ["--algo", "wa2c", "--env", "CartPole-v1", "-n", 200, "-optimize", "--n-trials", 1, "--n-evaluations", 1]
    given = ["--hyperparams", f"target:'{target}'", "wasserstein_coef:-1.0"]
    run(monkeypatch, "train", *arguments, "--no-optim-plots", "-f", tmp_path / "logs", "--verbose", 0, *given)
    assert list((tmp_path / "logs").rglob("report_*.csv"))


def test_an_unknown_script_is_said(monkeypatch) -> None:
    with pytest.raises(SystemExit, match="train,enjoy"):
        run(monkeypatch, "sing")


def test_the_error_without_it_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[zoo\]"):
        zoo.register()
