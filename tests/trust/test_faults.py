"""Environments that raise, die or return NaN; full disks; interrupts: a clear error, nothing lost, and training goes on."""

import errno
import os
import resource
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch as th
from faulty import Faulty
from small_population import ROUND, make
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecCheckNan
from test_hostile_files import learner

from sb3_wasserstein import WPO, Population, Target, WassersteinA2C, WassersteinPPO
from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import MemberError

ROOT = Path(__file__).parents[2]


def model(what, at=20, env_class=DummyVecEnv, cls=WassersteinPPO, **kwargs):
    """Two environments, the second of which goes wrong."""
    env = env_class([lambda: Faulty(), lambda: Faulty(what, at)])
    kwargs = {"n_steps": 16, **({"batch_size": 32, "n_epochs": 2} if cls is WassersteinPPO else {}), **kwargs}
    return cls("MlpPolicy", env, target=[[0.0, 0.0]], wasserstein_coef=1.0, seed=0, device="cpu", **kwargs)


def goes_on(made, folder) -> None:
    """The model is finite, predicts, saves, loads and learns on in a sound environment."""
    assert all(bool(th.isfinite(p).all()) for p in made.policy.parameters())
    made.predict(np.zeros(2, dtype=np.float32))
    made.save(folder / "after")
    env = DummyVecEnv([Faulty, Faulty])
    loaded = type(made).load(folder / "after", env=env)
    steps = loaded.num_timesteps
    loaded.learn(128, reset_num_timesteps=False)
    assert loaded.num_timesteps >= steps + 128
    assert loaded.dual.is_fitted
    made.set_env(env)
    made.learn(128, reset_num_timesteps=False)
    assert made.tracker.window.returns.size > 8
    assert np.isfinite(made.tracker.window.returns).all()


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
@pytest.mark.parametrize(("what", "words"), [("step", "motor"), ("reset", "door")])
def test_an_environment_that_raises(what, words, cls, tmp_path) -> None:
    made = model(what, cls=cls)
    with pytest.raises(RuntimeError, match=words):
        made.learn(400)
    goes_on(made, tmp_path)


@pytest.mark.parametrize("what", ["step", "death"])
def test_an_environment_that_raises_or_dies_in_a_process(what, tmp_path, capfd) -> None:
    """SB3's worker ends, and SB3 says so by EOFError or the broken pipe; nothing hangs."""
    made = model(what, env_class=SubprocVecEnv)
    workers = made.env.processes
    with pytest.raises((EOFError, ConnectionResetError, BrokenPipeError)):
        made.learn(400)
    assert not workers[1].is_alive() or workers[1].join(10) is None
    workers[0].kill()
    made.env.waiting = False
    goes_on(made, tmp_path)
    capfd.readouterr()


@pytest.mark.parametrize("cls", [WassersteinPPO, WassersteinA2C])
@pytest.mark.parametrize(("what", "word"), [("nan_reward", "reward nan"), ("inf_reward", "reward inf")])
def test_a_reward_that_is_not_finite(what, word, cls, tmp_path) -> None:
    """Before anything is learnt from it; SB3 alone would go on and end with a policy of NaN."""
    made = model(what, at=20, cls=cls)
    with pytest.raises(ValueError, match=f"env 1 returned the {word} at step 4 of the rollout"):
        made.learn(400)
    goes_on(made, tmp_path)


@pytest.mark.parametrize("at", [18, 20, 32])
@pytest.mark.parametrize(("what", "word"), [("nan_observation", "nan"), ("inf_observation", "inf")])
def test_an_observation_that_is_not_finite(what, word, at, tmp_path) -> None:
    """In the middle of an episode, at its end, and at the rollout's last step."""
    made = model(what, at)
    # At the end of an episode it is the terminal observation, which only the embedding sees.
    with pytest.raises(ValueError, match=rf"env 1(, episode \d| returned the .*{word}.* at step {at - 16})"):
        made.learn(400)
    goes_on(made, tmp_path)


def test_what_sb3_has_for_it_works_too() -> None:
    env = VecCheckNan(DummyVecEnv([lambda: Faulty("nan_observation", 18)]), raise_exception=True)
    made = WassersteinA2C("MlpPolicy", env, target=[[0.0, 0.0]], wasserstein_coef=1.0, seed=0)
    with pytest.raises(ValueError, match="found nan in observations"):
        made.learn(400)


@pytest.mark.parametrize("at", [3, 16, 17, 40])
def test_an_interrupt_leaves_a_usable_model(at, tmp_path) -> None:
    made = model("interrupt", at)
    with pytest.raises(KeyboardInterrupt):
        made.learn(400)
    goes_on(made, tmp_path)


@pytest.mark.parametrize("where", ["train", "collect"])
def test_an_interrupt_leaves_a_usable_population(where, tmp_path, monkeypatch) -> None:
    population = make(schedule="constant").learn(2 * ROUND)
    calls = []

    def interrupted(self, *args):
        calls.append(self)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *args)

    from sb3_wasserstein.population.member import Member

    original = getattr(Member, where)
    with monkeypatch.context() as patch:
        patch.setattr(Member, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            population.learn(4 * ROUND, reset_num_timesteps=False)
    population.save(tmp_path / "p")
    for goes in (population, Population.load(tmp_path / "p", Goals)):
        before = [made.num_timesteps for made in goes.models]
        goes.learn(ROUND, reset_num_timesteps=False)
        assert all(made.num_timesteps >= steps + ROUND for steps, made in zip(before, goes.models, strict=True))
        assert np.isfinite(goes.distances).all()


def test_members_whose_environment_returns_nan(tmp_path) -> None:
    made = make(env=lambda: Faulty("nan_reward", 100), n_envs=1, embedding="mean_state", batch_size=48)
    with pytest.raises(MemberError, match="env 0 returned the reward nan"):
        made.learn(1000, checkpoint=tmp_path / "p", checkpoint_every=1)
    assert min(loaded.num_timesteps for loaded in Population.load(tmp_path / "p", Faulty).models) >= 48


def test_a_dual_whose_cost_fails_stays_as_it_was() -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    closed: list[Any] = []

    def cost(x, y):
        if closed:
            raise KeyboardInterrupt
        return ((x[:, None] - y[None]) ** 2).sum(-1)

    for fresh in (True, False):
        dual = SinkhornDual(cost=cost, debias=False)
        if not fresh:
            dual.update(points, points + 1)
        before = dual.state_dict()
        closed.append(True)
        with pytest.raises(KeyboardInterrupt):
            dual.update(points * 2, points)
        closed.clear()
        after = dual.state_dict()
        assert str(before) == str(after)
        dual.update(points * 2, points)


SAVES = {
    "target": (lambda: Target(np.ones((4, 2))), "target.npz", Target.load),
    "model": (lambda: model("nothing").learn(64), "model.zip", WassersteinPPO.load),
    "wpo": (lambda: WPO("MlpPolicy", "Pendulum-v1", seed=0, buffer_size=100), "wpo.zip", WPO.load),
    "natural": (learner, "natural", lambda path: learner().load_checkpoint(path)),
    "policy": (lambda: learner().as_policy(), "policy", lambda path: type(learner().as_policy()).load(path)),
}


def write(thing, path) -> None:
    (thing.save_checkpoint if hasattr(thing, "save_checkpoint") else thing.save)(path)


# What SB3 has opened it does not close where writing fails.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("broken", ["replace", "fsync", "write"])
@pytest.mark.parametrize("kind", list(SAVES))
def test_a_full_disk_leaves_what_was_there(kind, broken, tmp_path, monkeypatch) -> None:
    make_it, name, load = SAVES[kind]
    thing = make_it()
    write(thing, tmp_path / name)
    whole = (tmp_path / name).read_bytes()

    def full(*_, **__) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "write":
            # A write that fails in the middle of a file, as the operating system does it.
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
        else:
            patch.setattr(os, broken, full)
        try:
            # torch.save's own writer says it in a RuntimeError.
            with pytest.raises((OSError, RuntimeError)):
                write(thing, tmp_path / name)
        finally:
            if broken == "write":
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == whole
    load(tmp_path / name)


@pytest.mark.parametrize("path", ["plain", "dotted.name", "with.zip", "folder/inside", "there", "link"])
def test_saving_whole_is_saving_as_sb3_does(path, tmp_path) -> None:
    """The same name, the same warnings, the same content, whatever stood there before."""
    from stable_baselines3 import PPO

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    made = model("nothing")
    plain = PPO("MlpPolicy", DummyVecEnv([Faulty]), n_steps=16, batch_size=16)
    said = []
    for folder, saver in ((ours, made), (theirs, plain)):
        folder.mkdir()
        (folder / "there.zip").mkdir()
        (folder / "real.zip").write_bytes(b"old")
        (folder / "link.zip").symlink_to(folder / "real.zip")
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            patch.chdir(folder)
            saver.save(path)
        said.append([str(warning.message) for warning in caught if warning.category is UserWarning])
    names = [sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) for folder in (ours, theirs)]
    assert names[0] == names[1]
    assert said[0] == said[1]
    assert (ours / "link.zip").is_symlink()
    written = ours / {"there": "there.zip_2", "dotted.name": path, "with.zip": path}.get(path, f"{path}.zip")
    WassersteinPPO.load(written)


def test_two_threads_save_to_one_path(tmp_path) -> None:
    made = model("nothing")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: made.save(tmp_path / "model"), range(24)))
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]
    WassersteinPPO.load(tmp_path / "model")


def test_saving_to_an_open_file_and_with_exclusions(tmp_path) -> None:
    made = model("nothing")
    with (tmp_path / "file").open("wb") as file:
        made.save(file, exclude=["verbose"], include=["clip_range"])
    assert not hasattr(WassersteinPPO.load(tmp_path / "file"), "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


MOMENTS = [("single", "SIGKILL"), ("single", "SIGINT"), ("serial", "SIGKILL")]
LATER = [("single", "SIGTERM"), ("serial", "SIGTERM"), ("serial", "SIGINT")]


@pytest.mark.parametrize(("kind", "sent"), MOMENTS + [pytest.param(*case, marks=pytest.mark.slow) for case in LATER])
def test_a_signal_leaves_the_last_checkpoint(kind, sent, tmp_path, monkeypatch) -> None:
    """One moment each here; ``benchmarks.integration.faults`` takes fifty."""
    monkeypatch.syspath_prepend(str(ROOT))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.integration.faults", "--worker", kind, str(tmp_path)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(3):
        assert child.stdout.readline() == b"checkpoint\n"
    child.send_signal(getattr(signal, sent))
    child.communicate(timeout=300)
    from benchmarks.integration.faults import resume

    assert resume(kind, tmp_path) > 0


def test_a_checkpoint_that_was_cut_off_is_said_to_be(tmp_path) -> None:
    made = model("nothing").learn(64, callback=CheckpointCallback(16, str(tmp_path)))
    (tmp_path / "rl_model_32_steps.zip").write_bytes((tmp_path / "rl_model_32_steps.zip").read_bytes()[:999])
    with pytest.raises(ValueError, match="wasn't a zip-file"):
        WassersteinPPO.load(tmp_path / "rl_model_32_steps")
    assert made.num_timesteps == 64
