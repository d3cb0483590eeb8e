"""A folder that is whole at every moment, and that a population goes on from."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_population import ROUND, FromOrigin, make, parameters
from stable_baselines3.common.monitor import Monitor

from sb3_wasserstein import Population
from sb3_wasserstein.embeddings import FunctionEmbedding
from sb3_wasserstein.envs import Goals

TESTS = Path(__file__).parents[1]


def test_what_is_loaded_is_what_was_saved(tmp_path):
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


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    """Rounds of whole episodes in an environment without randomness: no state is lost with it."""
    unbroken = make(env=FromOrigin, schedule="constant").learn(4 * ROUND)
    broken = make(env=FromOrigin, schedule="constant").learn(2 * ROUND)
    broken.save(tmp_path / "p")
    resumed = Population.load(tmp_path / "p", FromOrigin).learn(2 * ROUND, reset_num_timesteps=False)
    np.testing.assert_array_equal(parameters(resumed), parameters(unbroken))
    np.testing.assert_array_equal(resumed.distances, unbroken.distances)
    for one, other in zip(resumed.models, unbroken.models, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)


def test_checkpoints_on_the_way_leave_one(tmp_path):
    make().learn(5 * ROUND, checkpoint=tmp_path / "p", checkpoint_every=2)
    assert len(list((tmp_path / "p").iterdir())) == 2
    assert [m.num_timesteps for m in Population.load(tmp_path / "p", Goals).models] == [5 * ROUND] * 2


def test_another_populations_folder_is_not_overwritten(tmp_path):
    first = make().learn(ROUND)
    first.save(tmp_path / "p")
    first.save(tmp_path / "p")
    with pytest.raises(ValueError, match="another population"):
        make().learn(ROUND).save(tmp_path / "p")
    np.testing.assert_array_equal(parameters(Population.load(tmp_path / "p", Goals)), parameters(first))


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    population = make().learn(ROUND)
    population.save(tmp_path / "p")
    saved = parameters(population)
    population.learn(ROUND, reset_num_timesteps=False)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        population.save(tmp_path / "p")
    assert len(list((tmp_path / "p").iterdir())) == 2
    np.testing.assert_array_equal(parameters(Population.load(tmp_path / "p", Goals)), saved)


def test_functions_are_not_saved_and_have_to_be_given(tmp_path):
    embedding = FunctionEmbedding(lambda trajectory: trajectory.observations[-1], 2)
    make(embedding=embedding, schedule=lambda left: left).learn(ROUND).save(tmp_path / "p")
    with pytest.raises(ValueError, match="schedule="):
        Population.load(tmp_path / "p", Goals)
    with pytest.raises(ValueError, match="embedding="):
        Population.load(tmp_path / "p", Goals, schedule="constant")
    loaded = Population.load(tmp_path / "p", Goals, schedule="constant", embedding=embedding)
    loaded.learn(ROUND, reset_num_timesteps=False)


def test_folders_that_are_none(tmp_path):
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


def test_a_kill_while_saving_leaves_the_last_checkpoint(tmp_path):
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
