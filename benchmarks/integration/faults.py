"""
Kills, hangs and lost nodes in the middle of training, at random moments of `learn` with checkpoints: of a single model, and of
a population with each executor. After each the last checkpoint has to load, training has to go on from it, no member may be
behind its last checkpoint, and no process may be left.

    python -m benchmarks.integration.faults [--quick] [--executor NAME] [--fault NAME] [--moments 50] [--out FILE]

| executor | faults |
| --- | --- |
| single, serial | SIGKILL, SIGTERM, SIGINT of the process |
| process | the same of the parent; SIGKILL of a member's process; a member's process that hangs (SIGSTOP) |
| ray | the same (needs the extra `ray`); a node that is lost |

A training that is signalled runs in a forked process that writes a checkpoint every few milliseconds, so that many of the
signals meet one being written. Members are hit one after the other in one population, which has to go on each time. `left`
counts our processes that are alive 20 s later; `agents` counts Ray's own, two of which any script leaves that is killed after
`ray.init()`. What is in the CSV is not run again. Linux.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import functools
import multiprocessing
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env

from benchmarks._lib.rows import RESULTS, Rows
from sb3_wasserstein import Population, WassersteinA2C
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import MemberError

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
FAULTS = {
    "single": SIGNALS,
    "serial": SIGNALS,
    "process": (*SIGNALS, "worker", "hang"),
    "ray": (*SIGNALS, "worker", "hang", "node"),
}
ROUND = 48 * 4


class Survived(Exception):
    """A population has gone on for some rounds after it was hit."""


class Told(BaseCallback):
    """Says on the output when a checkpoint has been written."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def _on_step(self) -> bool:
        if self.n_calls % self.every == 0:
            print("checkpoint", flush=True)
        return True


def population(executor: str, **kwargs) -> Population:
    """Two members that train in a moment."""
    given = {"n_steps": 48, "batch_size": 96, "n_epochs": 1, "gamma": 1.0, "device": "cpu", "executor": executor, **kwargs}
    return Population(PPO, "MlpPolicy", Goals, 2, n_envs=4, seed=0, **given)


def train(kind: str, folder: Path) -> None:
    """Train and write checkpoints until somebody stops it."""
    if kind == "single":
        env = make_vec_env(Goals, 2, seed=0)
        model = WassersteinA2C("MlpPolicy", env, target=[[0.0, 0.0]], wasserstein_coef=1.0, seed=0, device="cpu")
        model.learn(10**7, callback=[CheckpointCallback(20, str(folder)), Told(20)])
        return
    members = population(kind)
    save = members.save

    def told(place) -> None:
        save(place)
        print("checkpoint", flush=True)

    members.save = told  # type: ignore[method-assign, assignment]
    members.learn(10**7, checkpoint=folder / "p", checkpoint_every=1)


def resume(kind: str, folder: Path) -> int:
    """
    Load the last checkpoint and train on.

    :return: the number of steps that it had
    """
    if kind != "single":
        with Population.load(folder / "p", Goals) as loaded:
            steps = min(model.num_timesteps for model in loaded.models)
            loaded.learn(ROUND, reset_num_timesteps=False)
            assert min(model.num_timesteps for model in loaded.models) > steps
            return steps
    saved = sorted(folder.glob("rl_model_*_steps.zip"), key=lambda path: int(path.stem.split("_")[2]))
    model = WassersteinA2C.load(saved[-1], env=make_vec_env(Goals, 2, seed=0))
    steps = model.num_timesteps
    assert steps == int(saved[-1].stem.split("_")[2])
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps > steps
    return steps


def forked(work: Callable[[], int], output: int | None = None) -> int:
    """Run something in a process of its own. :return: its number"""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if output is not None:
            os.dup2(output, 1)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        warnings.simplefilter("ignore")
        code = work()
    finally:
        os._exit(code)


def processes(marked: Callable[[Path], bool]) -> list[int]:
    """The processes that run and are marked. :return: their numbers"""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at.
        try:
            if marked(place) and (place / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(place.name))
        except OSError:
            continue
    return found


def signalled(kind: str, sent: str, rng: np.random.Generator) -> dict[str, float]:
    """The training process gets a signal. :return: whether training went on, and what was left behind"""
    folder, mark = Path(tempfile.mkdtemp(prefix="faults-")), uuid.uuid4().hex
    reading, writing = os.pipe()

    def work() -> int:
        os.environ["FAULTS_TRIAL"] = mark
        train(kind, folder)
        return 0

    child = forked(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as output:
        assert output.read(1), "the training ended before its first checkpoint"
        time.sleep(rng.uniform(0.0, 0.5))
        signals, ended = 0, False
        while not ended:
            # An interrupt that meets a destructor or a callback of C is lost, as Python has it: one presses Ctrl-C again.
            signals += 1
            os.kill(child, getattr(signal, sent))
            patience = time.monotonic() + 20
            while not ended and time.monotonic() < patience:
                # Read on: a training whose output is full would wait.
                if select.select([output], [], [], 0.1)[0]:
                    output.read(4096)
                ended = os.waitpid(child, os.WNOHANG)[0] == child
    # What the training started has the same mark in its environment, whatever session it has put itself into.
    patience = time.monotonic() + 20
    while (left := alive(mark)) and time.monotonic() < patience:
        time.sleep(0.2)
    agents = alive(mark, agents=True)
    for number in left + agents:
        os.kill(number, signal.SIGKILL)
    half = sum(1 for _ in folder.rglob("*.tmp"))
    _, status = os.waitpid(forked(lambda: 0 if resume(kind, folder) > 0 else 1), 0)
    shutil.rmtree(folder)
    found = {"resumed": float(status == 0), "signals": signals, "half_written": half}
    return {**found, "left": len(left), "agents": len(agents)}


def alive(mark: str, agents: bool = False) -> list[int]:
    """:return: the processes with a mark in their environment; of Ray's own agents, or of all others"""

    def marked(place: Path) -> bool:
        return mark.encode() in (place / "environ").read_bytes() and agents == (b"Agent" in (place / "cmdline").read_bytes())

    return processes(marked)


@functools.cache
def hit_population(executor: str) -> tuple[Population, list[object]]:
    """:return: a population whose members are hit again and again, and where it is of Ray its cluster and a node of it"""
    place: list[object] = []
    if executor == "ray":
        import ray
        from ray.cluster_utils import Cluster

        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        place = [cluster, cluster.add_node(num_cpus=1)]
        ray.init(address=cluster.address, log_to_driver=False)
    return population(executor, member_timeout=300), place


def members_of(executor: str) -> list[int]:
    """:return: the numbers of the members' processes"""
    if executor == "process":
        return [child.pid for child in multiprocessing.active_children() if child.pid]
    return processes(lambda place: b"ray::Host" in (place / "cmdline").read_bytes())


def hit(executor: str, fault: str, rng: np.random.Generator) -> dict[str, float]:
    """A member's process is killed, hangs or goes with its node. :return: whether training went on, and what was left"""
    members, place = hit_population(executor)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    members.learn(ROUND, reset_num_timesteps=False)
    # A member of a process that is killed fails; Ray's is made again within the call.
    fails = executor == "process" or fault == "hang"
    saved: list[int] = []
    began, struck = threading.Event(), threading.Event()
    to_go = 10

    def strike() -> None:
        began.wait()
        time.sleep(rng.uniform(0.0, 0.5))
        if fault == "node":
            place[0].remove_node(place[1], allow_graceful=False)  # type: ignore[attr-defined]
            place[1] = place[0].add_node(num_cpus=1)  # type: ignore[attr-defined]
        else:
            os.kill(rng.choice(members_of(executor)), signal.SIGKILL if fault == "worker" else signal.SIGSTOP)
        struck.set()

    save = type(members).save

    def told(where) -> None:
        save(members, where)
        saved.append(min(model.num_timesteps for model in members.models))
        began.set()
        nonlocal to_go
        to_go -= struck.is_set()
        if to_go == 0:
            raise Survived

    members.save = told  # type: ignore[method-assign, assignment]
    striker = threading.Thread(target=strike)
    striker.start()
    running: Any = members._members
    restarts = getattr(running, "n_restarts", 0)
    if fault == "hang":
        running.timeout = 15.0
    try:
        members.learn(10**7, reset_num_timesteps=False, checkpoint=folder / "p", checkpoint_every=1)
    except MemberError:
        failed = True
    except Survived:
        failed = False
    finally:
        del members.save
        running.timeout = 300.0
    striker.join()
    # Of two members one is on the node that is lost, unless Ray has put both on the other.
    as_expected = failed if fails else not failed and (fault == "node" or running.n_restarts > restarts)
    kept = resume(executor, folder) == saved[-1] == max(saved)
    before = [model.num_timesteps for model in members.models]
    members.learn(ROUND, reset_num_timesteps=False)
    after = [model.num_timesteps for model in members.models]
    on = all(late >= early + ROUND for early, late in zip(before, after, strict=True))
    half = sum(1 for _ in folder.rglob("*.tmp"))
    shutil.rmtree(folder)
    # What is killed takes its time to die.
    patience = time.monotonic() + 20
    while (left := len(members_of(executor)) - members.n_policies) and time.monotonic() < patience:
        time.sleep(0.2)
    return {"resumed": float(as_expected and kept and on), "signals": 1, "half_written": half, "left": left, "agents": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one moment of each, nothing written")
    parser.add_argument("--executor", choices=FAULTS, help="one of them only")
    parser.add_argument("--fault", help="one of them only")
    parser.add_argument("--moments", type=int, default=50, help="how often each")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults.csv")
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "FOLDER"), help="train until somebody stops it")
    args = parser.parse_args()
    th.set_num_threads(1)
    # A shell starts what runs in the background with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.worker:
        train(args.worker[0], Path(args.worker[1]))
        return
    warnings.simplefilter("ignore")
    out = None if args.quick else args.out
    rows = Rows(out, ["executor", "fault", "moment"], ["resumed", "signals", "half_written", "left", "agents"])
    for kind, faults in FAULTS.items():
        for fault in faults:
            if args.executor not in (None, kind) or args.fault not in (None, fault):
                continue
            for moment in range(1 if args.quick else args.moments):
                rng = np.random.default_rng([list(FAULTS).index(kind), faults.index(fault), moment])
                act = functools.partial(signalled if fault in SIGNALS else hit, kind, fault, rng)
                rows.add({"executor": kind, "fault": fault, "moment": moment}, act)
            found = rows.where(executor=kind, fault=fault)
            resumed = sum(float(row["resumed"]) for row in found)
            left = sum(float(row["left"]) for row in found)
            half = sum(float(row["half_written"]) > 0 for row in found)
            print(f"{kind:8s} {fault:8s} {resumed:.0f} of {len(found)} went on; {left:.0f} processes left; {half} met a file")
    if any(float(row["resumed"]) != 1 or float(row["left"]) != 0 for row in rows.rows):
        sys.exit("something was lost, or a process left behind")


if __name__ == "__main__":
    main()
