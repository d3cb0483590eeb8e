"""Where members live changes nothing; what goes wrong there is told, and harms nobody else."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_population import ROUND, Faulty, FromOrigin, Ordered, make, parameters

from sb3_wasserstein import Population
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import MemberError

LOCK = threading.Lock()
TESTS = Path(__file__).parents[1]


def test_processes_are_as_serial() -> None:
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


def test_members_wait_for_each_other_once_a_round(monkeypatch, tmp_path) -> None:
    """Unless a checkpoint lies between training and the next rollout; the result is the same."""
    through, stopping = make(2, schedule="constant"), make(2, schedule="constant")
    assert calls_of(through, monkeypatch) == ["begin", "collect", "train, collect", "train, collect", "train", "end"]
    assert calls_of(stopping, monkeypatch, checkpoint=tmp_path / "p", checkpoint_every=2) == [
        "begin", "collect", "train, collect", "train", "snapshot", "collect", "train", "end", "snapshot",
    ]  # fmt: skip
    np.testing.assert_array_equal(parameters(through), parameters(stopping))


def test_an_environment_that_only_this_process_knows() -> None:
    import gymnasium as gym

    gym.register("OnlyHere-v0", entry_point=Goals)
    try:
        with make(2, "OnlyHere-v0", executor="process") as population:
            population.learn(ROUND)
            assert [model.num_timesteps for model in population.models] == [ROUND] * 2
    finally:
        del gym.registry["OnlyHere-v0"]


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_member_that_fails(executor, tmp_path) -> None:
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
def test_what_cannot_be_sent(kwargs, name) -> None:
    with pytest.raises(ValueError, match=f"^{name} cannot be sent"):
        make(2, executor="process", **kwargs)


CAUSES = {
    "raise": "OddError: speed is too large",
    "interrupt": "KeyboardInterrupt",
    "exit": "SystemExit: 3",
    "die": "ended with code 3",
    "kill": "killed by SIGKILL",
    "hang": "not answered within member_timeout=4 s",
}


def fails_and_goes_on(population, orders, order, cause, folder) -> None:
    """A member fails for the cause; the checkpoint is written, and the population is saved, loaded and learns on."""
    before = [model.num_timesteps for model in population.models]
    orders.write_text(order)
    with pytest.raises(MemberError, match=rf"member \d failed in collect(?s:.*){cause}") as caught:
        population.learn(2 * ROUND, reset_num_timesteps=False, checkpoint=folder, checkpoint_every=1)
    member, other = caught.value.member, 1 - caught.value.member
    after = [model.num_timesteps for model in population.models]
    assert after[member] >= before[member]
    assert after[other] >= before[other] + ROUND
    with pytest.warns(UserWarning, match="env_kwargs"), Population.load(folder, FromOrigin) as loaded:
        assert [model.num_timesteps for model in loaded.models] == after
    population.learn(ROUND, reset_num_timesteps=False)
    assert [model.num_timesteps for model in population.models] == [steps + ROUND for steps in after]


@pytest.mark.parametrize("order", ["raise", "exit"])
def test_a_member_that_fails_in_this_process(order, tmp_path) -> None:
    orders = tmp_path / "orders"
    with make(2, Ordered, env_kwargs={"orders": str(orders)}) as population:
        fails_and_goes_on(population, orders, order, CAUSES[order], tmp_path / "p")


def test_a_member_that_fails_in_a_process(tmp_path) -> None:
    """One after the other, in one population: an environment's process is made again where it has died."""
    orders = tmp_path / "orders"
    with make(2, Ordered, env_kwargs={"orders": str(orders)}, executor="process") as population:
        for order in ("raise", "interrupt", "exit", "die", "kill"):
            fails_and_goes_on(population, orders, order, CAUSES[order], tmp_path / "p")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["process", "ray"])
def test_a_member_that_hangs(executor, tmp_path) -> None:
    if executor == "ray":
        pytest.importorskip("ray")
    orders = tmp_path / "orders"
    kwargs = {"env_kwargs": {"orders": str(orders)}, "executor": executor, "member_timeout": 60}
    with make(2, Ordered, **kwargs) as population:
        population.learn(ROUND)
        population._members.timeout = 4.0
        fails_and_goes_on(population, orders, "hang", CAUSES["hang"], tmp_path / "p")


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_an_exception_that_cannot_be_made_again(executor, tmp_path) -> None:
    with pytest.raises(MemberError, match=r"member 0 failed in __init__(?s:.*)OddError: speed is too large"):
        make(2, Ordered, executor=executor, env_kwargs={"orders": str(tmp_path / "now")})


SCRIPT = """
import multiprocessing, sys
sys.path.insert(0, {tests!r})
from small_population import make
def main():
    population = make(2, executor="process")
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    population.learn(10**9)
"""


def running(pid):
    """Whether there is such a process, and it is not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_a_killed_parent_leaves_no_processes(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(TESTS)) + 'if __name__ == "__main__":\n    main()\n')
    with subprocess.Popen([sys.executable, "-W", "ignore", str(script)], stdout=subprocess.PIPE) as parent:
        children = parent.stdout.readline().split()
        time.sleep(0.5)
        parent.kill()
    assert len(children) == 2
    children = [child.decode() for child in children]
    patience = time.monotonic() + 20
    while any(map(running, children)) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not any(map(running, children))


def test_a_script_without_a_main_guard_is_told_so(tmp_path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(tests=str(TESTS)) + "main()\n")
    done = subprocess.run([sys.executable, "-W", "ignore", str(tmp_path / "script.py")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith("RuntimeError: Its process ended with code 1")
    assert 'if __name__ == "__main__":' in done.stderr.rstrip().splitlines()[-1]


def test_a_timeout_is_of_other_processes() -> None:
    with pytest.raises(ValueError, match="member_timeout needs executor='process' or 'ray'"):
        make(2, member_timeout=10)
    with pytest.raises(ValueError, match="member_timeout must be a number of seconds > 0"):
        make(2, executor="process", member_timeout=0)


@pytest.mark.slow
def test_ray_is_as_serial() -> None:
    ray = pytest.importorskip("ray")
    serial = make(2, schedule="constant").learn(2 * ROUND)
    try:
        with make(2, schedule="constant", executor="ray") as population:
            population.learn(2 * ROUND)
            np.testing.assert_array_equal(parameters(population), parameters(serial))
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_node_that_is_killed_mid_round(monkeypatch) -> None:
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


def test_without_ray(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[ray\]"):
        make(2, executor="ray")
