"""A folder that is whole at every moment, and that a population goes on from."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from small_population import ROUND, FromOrigin, make, parameters
from stable_baselines3.common.monitor import Monitor

from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import FunctionEmbedding
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import checkpoint
from sb3_wasserstein.population.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

TESTS = Path(__file__).parents[1]


def test_what_is_loaded_is_what_was_saved(tmp_path) -> None:
    population = make(3, schedule="constant").learn(3 * ROUND)
    population.save(tmp_path / "p")
    loaded = Population.load(tmp_path / "p", Goals)
    np.testing.assert_array_equal(parameters(loaded), parameters(population))
    np.testing.assert_array_equal(loaded.distances, population.distances)
    for one, other in zip(loaded.models, population.models, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)
        assert one.num_timesteps == other.num_timesteps
    assert loaded.exchange.scales == population.exchange.scales
    loaded.learn(ROUND, reset_num_timesteps=False)
    assert [model.num_timesteps for model in loaded.models] == [4 * ROUND] * 3
    assert np.abs(np.array(parameters(loaded)) - parameters(population)).max() > 0


def test_a_resumed_run_is_the_unbroken_one(tmp_path) -> None:
    """Rounds of whole episodes in an environment without randomness: no state is lost with it."""
    unbroken = make(env=FromOrigin, schedule="constant").learn(4 * ROUND)
    broken = make(env=FromOrigin, schedule="constant").learn(2 * ROUND)
    broken.save(tmp_path / "p")
    resumed = Population.load(tmp_path / "p", FromOrigin).learn(2 * ROUND, reset_num_timesteps=False)
    np.testing.assert_array_equal(parameters(resumed), parameters(unbroken))
    np.testing.assert_array_equal(resumed.distances, unbroken.distances)
    for one, other in zip(resumed.models, unbroken.models, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)


def test_checkpoints_on_the_way_leave_one(tmp_path) -> None:
    make().learn(5 * ROUND, checkpoint=tmp_path / "p", checkpoint_every=2)
    assert len(list((tmp_path / "p").iterdir())) == 2
    assert [m.num_timesteps for m in Population.load(tmp_path / "p", Goals).models] == [5 * ROUND] * 2


def test_another_populations_folder_is_not_overwritten(tmp_path) -> None:
    first = make().learn(ROUND)
    first.save(tmp_path / "p")
    first.save(tmp_path / "p")
    with pytest.raises(ValueError, match="another population"):
        make().learn(ROUND).save(tmp_path / "p")
    np.testing.assert_array_equal(parameters(Population.load(tmp_path / "p", Goals)), parameters(first))


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    population = make().learn(ROUND)
    population.save(tmp_path / "p")
    saved = parameters(population)
    population.learn(ROUND, reset_num_timesteps=False)

    def full(*_) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        population.save(tmp_path / "p")
    assert len(list((tmp_path / "p").iterdir())) == 2
    np.testing.assert_array_equal(parameters(Population.load(tmp_path / "p", Goals)), saved)


def test_functions_are_not_saved_and_have_to_be_given(tmp_path) -> None:
    embedding = FunctionEmbedding(lambda trajectory: trajectory.observations[-1], 2)
    make(embedding=embedding, schedule=lambda left: left).learn(ROUND).save(tmp_path / "p")
    with pytest.raises(ValueError, match="schedule="):
        Population.load(tmp_path / "p", Goals)
    with pytest.raises(ValueError, match="embedding="):
        Population.load(tmp_path / "p", Goals, schedule="constant")
    loaded = Population.load(tmp_path / "p", Goals, schedule="constant", embedding=embedding)
    loaded.learn(ROUND, reset_num_timesteps=False)


def test_folders_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no population"):
        Population.load(tmp_path / "none", Goals)
    population = make().learn(ROUND)
    population.save(tmp_path / "p")
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        Population.load(tmp_path / "p", "CartPole-v1")
    pointer = json.loads((tmp_path / "p" / "checkpoint.json").read_text())
    for damaged in (
        "",
        "{}",
        "[1]",
        json.dumps({**pointer, "data": "../elsewhere"}),
        json.dumps({**pointer, "format": 99}),
        json.dumps({**pointer, "sha256": {"../../x.zip": ""}}),
    ):
        (tmp_path / "p" / "checkpoint.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"checkpoint\.json"):
            Population.load(tmp_path / "p", Goals)
    (tmp_path / "p" / "checkpoint.json").write_text(json.dumps(pointer))
    data = tmp_path / "p" / pointer["data"]
    whole = {path.name: path.read_bytes() for path in data.iterdir()}
    for name in ("population.json", "population.npz", "member_1.zip", "member_0.pt"):
        (data / name).write_bytes(whole[name][: len(whole[name]) // 2])
        with pytest.raises(ValueError, match="damaged"):
            Population.load(tmp_path / "p", Goals)
        (data / name).write_bytes(whole[name])
    np.savez(data / "population.npz", returns=np.array([object()], dtype=object), allow_pickle=True)
    sums = {**pointer["sha256"], "population.npz": hashlib.sha256((data / "population.npz").read_bytes()).hexdigest()}
    (tmp_path / "p" / "checkpoint.json").write_text(json.dumps({**pointer, "sha256": sums}))
    with pytest.raises(ValueError, match=r"damaged.*allow_pickle"):
        Population.load(tmp_path / "p", Goals)


def test_a_kill_while_saving_leaves_the_last_checkpoint(tmp_path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from small_population import make, ROUND\n"
        "population = make().learn(ROUND)\n"
        "while True:\n"
        "    population.save(sys.argv[2])\n"
        "    print('saved', flush=True)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(TESTS), str(tmp_path / "p")]
    rng = np.random.default_rng(0)
    for _ in range(1):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout.readline() == b"saved\n"
        time.sleep(rng.uniform(0.0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        loaded = Population.load(tmp_path / "p", lambda: Monitor(Goals()))
        assert [model.num_timesteps for model in loaded.models] == [ROUND] * 2
        # Another population: the next child's own.
        for path in (tmp_path / "p").iterdir():
            path.rename(tmp_path / f"{path.name}-{rng.integers(2**31)}")


def test_the_users_own_files_stay(tmp_path) -> None:
    """Only what the replaced pointer named goes."""
    (tmp_path / "data-2024.csv").write_text("measured")
    (tmp_path / "data-raw").mkdir()
    (tmp_path / "data-raw" / "x.npy").write_text("x")
    population = make().learn(ROUND)
    population.save(tmp_path)
    first = tmp_path / json.loads((tmp_path / "checkpoint.json").read_text())["data"]
    (first / "notes.txt").write_text("mine")
    population.learn(2 * ROUND, reset_num_timesteps=False, checkpoint=tmp_path, checkpoint_every=1)
    assert (tmp_path / "data-2024.csv").read_text() == "measured"
    assert (tmp_path / "data-raw" / "x.npy").read_text() == "x"
    assert [path.name for path in first.iterdir()] == ["notes.txt"]
    assert len(list(tmp_path.glob("data-*"))) == 4


def test_several_savers_and_readers_of_one_folder(tmp_path) -> None:
    """Whoever writes when: the folder can be loaded at every moment, and nobody sees an error."""
    make().learn(ROUND).save(tmp_path / "p")
    written = read_checkpoint(tmp_path / "p")
    arrays = {name: array for name, array in written.arrays.items() if not name.startswith("generators_")}
    stop = threading.Event()

    def save(_) -> None:
        for _ in range(25):
            write_checkpoint(tmp_path / "p", Checkpoint(written.description, arrays, written.members))

    def read(_):
        n = 0
        while not stop.is_set():
            assert read_checkpoint(tmp_path / "p").members[1].blob == written.members[1].blob
            n += 1
        return n

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read, k) for k in range(2)]
        savers = [pool.submit(save, k) for k in range(3)]
        for saver in savers:
            saver.result()
        stop.set()
        assert all(reader.result() > 0 for reader in readers)
    assert not list((tmp_path / "p").glob(".*"))


def test_what_could_not_be_read_is_not_written(tmp_path, monkeypatch) -> None:
    """One bound of the JSON for both; there is none for what the file's own size justifies."""
    population = make().learn(ROUND)
    monkeypatch.setattr(checkpoint, "MOST_JSON", 500)
    with pytest.raises(ValueError, match=r"population.json of this population would have \d+ bytes, more than the 500"):
        population.save(tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_arguments_of_the_environment_are_asked_for(tmp_path) -> None:
    class Sized(Goals):
        def __init__(self, size) -> None:
            super().__init__(horizon=size)

    make(env=Sized, env_kwargs={"size": 16}).learn(ROUND).save(tmp_path / "p")
    with (
        pytest.warns(UserWarning, match="env_kwargs"),
        pytest.raises(ValueError, match=r"made with \['size'\]. Pass env_kwargs"),
    ):
        Population.load(tmp_path / "p", Sized)
    with pytest.warns(UserWarning, match=r"made with env_kwargs of \['size'\], which are not saved"):
        Population.load(tmp_path / "p", Goals)
    Population.load(tmp_path / "p", Sized, env_kwargs={"size": 16}).learn(ROUND, reset_num_timesteps=False)
