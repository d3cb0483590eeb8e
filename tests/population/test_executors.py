"""Where members live changes nothing; what goes wrong there is told, and harms nobody else."""

import os
import sys
import threading

import numpy as np
import pytest
from small_population import ROUND, Faulty, FromOrigin, make, parameters

from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import MemberError

LOCK = threading.Lock()


def test_processes_are_as_serial():
    serial = make(3, schedule="constant").learn(3 * ROUND)
    with make(3, schedule="constant", executor="process") as processes:
        processes.learn(3 * ROUND)
        np.testing.assert_array_equal(parameters(processes), parameters(serial))
        np.testing.assert_array_equal(processes.distances, serial.distances)
        assert [model.num_timesteps for model in processes.models] == [3 * ROUND] * 3


def calls_of(population, monkeypatch, **kwargs):
    """The methods that members are called with in three rounds, with those that follow at once."""
    called, call = [], population._members.call

    def noted(method, arguments, then=None):
        called.append(f"{method}, {then}" if then else method)
        return call(method, arguments, then)

    monkeypatch.setattr(population._members, "call", noted)
    population.learn(3 * ROUND, **kwargs)
    return called


def test_members_wait_for_each_other_once_a_round(monkeypatch, tmp_path):
    """Unless a checkpoint lies between training and the next rollout; the result is the same."""
    through, stopping = make(2, schedule="constant"), make(2, schedule="constant")
    assert calls_of(through, monkeypatch) == ["begin", "collect", "train, collect", "train, collect", "train", "end"]
    assert calls_of(stopping, monkeypatch, checkpoint=tmp_path / "p", checkpoint_every=2) == [
        "begin", "collect", "train, collect", "train", "snapshot", "collect", "train", "end", "snapshot",
    ]  # fmt: skip
    np.testing.assert_array_equal(parameters(through), parameters(stopping))


def test_an_environment_that_only_this_process_knows():
    import gymnasium as gym

    gym.register("OnlyHere-v0", entry_point=Goals)
    try:
        with make(2, "OnlyHere-v0", executor="process") as population:
            population.learn(ROUND)
            assert [model.num_timesteps for model in population.models] == [ROUND] * 2
    finally:
        del gym.registry["OnlyHere-v0"]


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_member_that_fails(executor, tmp_path):
    seed = next(s for s in range(100) if [int(v >> 1) % 2 for v in np.random.SeedSequence(s).generate_state(2)] == [0, 1])
    kwargs = {"n_envs": 1, "batch_size": 48, "embedding": "final_state", "wasserstein_coef": 0.0}
    with make(2, Faulty, executor=executor, seed=seed, **kwargs) as population:
        with pytest.raises(MemberError, match=r"member 1 failed in collect(?s:.*)the motor is on fire") as caught:
            population.learn(1000, checkpoint=tmp_path / "on_failure", checkpoint_every=1000)
        assert (tmp_path / "on_failure" / "checkpoint.json").exists()
        assert caught.value.member == 1
        first, _ = population.models
        assert first.num_timesteps >= 48
        population.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [({"env": lambda lock=LOCK: Goals()}, "env"), ({"env_kwargs": {"goals": LOCK}}, "env_kwargs")],
)
def test_what_cannot_be_sent(kwargs, name):
    with pytest.raises(ValueError, match=f"^{name} cannot be sent"):
        make(2, executor="process", **kwargs)


@pytest.mark.slow
def test_ray_is_as_serial():
    ray = pytest.importorskip("ray")
    serial = make(2, schedule="constant").learn(2 * ROUND)
    try:
        with make(2, schedule="constant", executor="ray") as population:
            population.learn(2 * ROUND)
            np.testing.assert_array_equal(parameters(population), parameters(serial))
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_node_that_is_killed_mid_round(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with make(2, FromOrigin, schedule="constant", executor="ray", env_kwargs={"slow": 0.002}) as population:
            killer = threading.Timer(4.0, lambda: cluster.remove_node(doomed, allow_graceful=False))
            population.learn(ROUND)
            cluster.add_node(num_cpus=1)
            killer.start()
            population.learn(11 * ROUND, reset_num_timesteps=False)
            assert population._members.n_restarts >= 1
            assert [model.num_timesteps for model in population.models] == [12 * ROUND] * 2
            assert np.isfinite(population.distances).all()
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_without_ray(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[ray\]"):
        make(2, executor="ray")
