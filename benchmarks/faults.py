"""
Kills in the middle of training: SIGKILL, SIGTERM and SIGINT at random moments of `learn` with checkpoints, of a single model
and of a population. After each the last checkpoint has to load, and training has to go on from it.

    python benchmarks/faults.py [--quick] [--out benchmarks/results/faults.csv]

Each trial trains in a forked process that writes a checkpoint every few milliseconds, so that many of the signals meet one
being written. What is in the CSV is not run again. Linux and macOS.
"""

# ruff: noqa: E402 - one thread has to be asked for before numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch as th
from rows import RESULTS, Rows
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_wasserstein import Population, WassersteinA2C
from sb3_wasserstein.envs import Goals

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
KINDS = ("single", "population")
#: seconds after the first checkpoint within which the signal comes
WITHIN = 0.5
#: seconds after which a training that goes on is sent the signal again
AGAIN = 20.0


class Told(BaseCallback):
    """Says on the output when a checkpoint has been written."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def _on_step(self) -> bool:
        if self.n_calls % self.every == 0:
            print("checkpoint", flush=True)
        return True


def train(kind: str, folder: Path) -> None:
    """Train and write checkpoints until somebody stops it."""
    if kind == "single":
        env = make_vec_env(Goals, 2, seed=0)
        model = WassersteinA2C("MlpPolicy", env, target=[[0.0, 0.0]], wasserstein_coef=1.0, seed=0, device="cpu")
        model.learn(10**7, callback=[CheckpointCallback(20, str(folder)), Told(20)])
        return
    kwargs = {"n_steps": 48, "batch_size": 96, "n_epochs": 1, "gamma": 1.0, "device": "cpu"}
    members = Population(PPO, "MlpPolicy", Goals, 2, n_envs=4, seed=0, **kwargs)
    save = members.save

    def told(place) -> None:
        save(place)
        print("checkpoint", flush=True)

    members.save = told
    members.learn(10**7, checkpoint=folder / "p", checkpoint_every=1)


def resume(kind: str, folder: Path) -> int:
    """
    Load the last checkpoint and train on.

    :return: the number of steps that it had
    """
    if kind == "population":
        with Population.load(folder / "p", Goals) as loaded:
            steps = min(model.num_timesteps for model in loaded.models)
            loaded.learn(192, reset_num_timesteps=False)
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


def trial(kind: str, sent: str, rng: np.random.Generator) -> dict[str, float]:
    """One signal. :return: whether the last checkpoint loaded and training went on, and what was left behind"""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    reading, writing = os.pipe()
    child = forked(lambda: train(kind, folder) or 0, writing)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as output:
        assert output.read(1), "the training ended before its first checkpoint"
        time.sleep(rng.uniform(0.0, WITHIN))
        signals = 0
        ended = False
        while not ended:
            # An interrupt that meets a destructor or a callback of C is lost, as Python has it: one presses Ctrl-C again.
            signals += 1
            os.kill(child, getattr(signal, sent))
            patience = time.monotonic() + AGAIN
            while not ended and time.monotonic() < patience:
                if select.select([output], [], [], 0.5)[0]:
                    ended = not output.read(4096)
    os.waitpid(child, 0)
    left = sum(1 for _ in folder.rglob("*.tmp"))
    saved = len(list(folder.glob("rl_model*"))) if kind == "single" else len(list((folder / "p").glob("data-*")))
    _, status = os.waitpid(forked(lambda: 0 if resume(kind, folder) > 0 else 1), 0)
    shutil.rmtree(folder)
    return {"resumed": float(status == 0), "signals": signals, "half_written": left, "saved": saved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: two moments of each")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults.csv")
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "FOLDER"), help="train until somebody stops it")
    args = parser.parse_args()
    th.set_num_threads(1)
    # A shell starts what runs in the background with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.worker:
        train(args.worker[0], Path(args.worker[1]))
        return
    rows = Rows(
        None if args.quick else args.out, ["kind", "signal", "moment"], ["resumed", "signals", "half_written", "saved"]
    )
    for kind in KINDS:
        for sent in SIGNALS:
            for moment in range(2 if args.quick else 50):
                rng = np.random.default_rng([KINDS.index(kind), SIGNALS.index(sent), moment])
                rows.add({"kind": kind, "signal": sent, "moment": moment}, lambda: trial(kind, sent, rng))  # noqa: B023
    for kind in KINDS:
        for sent in SIGNALS:
            found = rows.where(kind=kind, signal=sent)
            resumed = sum(float(row["resumed"]) for row in found)
            half = sum(float(row["half_written"]) > 0 for row in found)
            again = sum(float(row["signals"]) > 1 for row in found)
            line = f"{resumed:.0f} of {len(found)} resumed; {half} met a file being written; {again} were sent again"
            print(f"{kind:10s} {sent:8s} {line}")
    if any(float(row["resumed"]) != 1 for row in rows.rows):
        sys.exit("not every checkpoint could be resumed from")


if __name__ == "__main__":
    main()
