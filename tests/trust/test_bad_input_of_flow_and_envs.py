"""Flows, environments, figures, the zoo: bad input is refused, by name, and leaves everything as it was."""

import sys
from typing import NoReturn

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from refusals import check_refusal

from sb3_wasserstein import zoo
from sb3_wasserstein.envs import CoupledOscillators, Goals, HillyGrid, NonlinearRegulator
from sb3_wasserstein.figures import plot_behaviour, plot_grid_paths
from sb3_wasserstein.flow import Grid, NaturalGradient, NeuralPolicy, ParticleFlow
from sb3_wasserstein.zoo.__main__ import main


def half(s, a):
    return 0.5 * s + a


def square(s, a):
    return s[:, 0] ** 2 + a[:, 0] ** 2


def failing(s, a) -> NoReturn:
    raise RuntimeError("the plant is closed")


def flow(**changes):
    given = {"dynamics": half, "cost": square, "grid": Grid(-3, 3, 21), "action_low": -1.0, "action_high": 1.0}
    return ParticleFlow(**{**given, "n_particles": 2, "noise": 0.4, **changes})


def natural(**changes):
    given = {"policy": [8], "dynamics": half, "cost": square, "noise": [0.4], "initial": 1.0, "action_dim": 1, "n_chains": 4}
    return NaturalGradient(**{**given, "windows": (2, 4), "seed": 0, **changes})


NAN = float("nan")
GRIDS = {
    "low above high": (lambda: Grid(1.0, -1.0, 8), "low"),
    "low of NaN": (lambda: Grid(NAN, 1.0, 8), "low"),
    "low of text": (lambda: Grid("a", 1.0, 8), "low"),
    "high of None": (lambda: Grid(0.0, None, 8), "high"),
    "an infinite high": (lambda: Grid(0.0, float("inf"), 8), "high"),
    "three cells": (lambda: Grid(0.0, 1.0, 3), "cells"),
    "4.5 cells": (lambda: Grid(0.0, 1.0, 4.5), "cells"),
    "cells of text": (lambda: Grid(0.0, 1.0, "many"), "cells"),
    "cells of NaN": (lambda: Grid(0.0, 1.0, NAN), "cells"),
    "corners of two lengths": (lambda: Grid([0.0, 0.0], [1.0, 1.0, 1.0], 8), "low"),
    "three flags for one dimension": (lambda: Grid(0.0, 1.0, 8, periodic=[True, True, True]), "periodic"),
    "a flag of text": (lambda: Grid(0.0, 1.0, 8, periodic="yes"), "periodic"),
}

FLOWS = {
    "dynamics that raise": (lambda: flow(dynamics=failing), "dynamics|plant", (ValueError, RuntimeError)),
    "dynamics of None": (lambda: flow(dynamics=None), "dynamics", TypeError),
    "no grid": (lambda: flow(grid=None), "grid", TypeError),
    "bounds of text": (lambda: flow(action_low="low"), "action_low"),
    "bounds of NaN": (lambda: flow(action_high=NAN), "action_high"),
    "particles of None": (lambda: flow(n_particles=None), "n_particles"),
    "particles of text": (lambda: flow(n_particles="two"), "n_particles"),
    "noise of NaN": (lambda: flow(noise=NAN), "noise"),
    "noise of text": (lambda: flow(noise="loud"), "noise"),
    "a discount of NaN": (lambda: flow(discount=NAN), "discount"),
    "a discount of text": (lambda: flow(discount="high"), "discount", TypeError),
    "a negative discount": (lambda: flow(discount=-0.1), "discount"),
    "an initial law of NaN": (lambda: flow(discount=0.9, initial=th.full((21,), NAN)), "initial"),
    "an initial law of zeros": (lambda: flow(discount=0.9, initial=th.zeros(21)), "initial"),
    "an initial law of text": (lambda: flow(discount=0.9, initial="uniform"), "initial", TypeError),
}

ON_A_FLOW = {
    "an unknown method": (lambda f: f.solve("adam"), "method"),
    "a method of None": (lambda f: f.solve(None), "method"),
    "no iterations": (lambda f: f.solve(max_iterations=0), "max_iterations"),
    "iterations of text": (lambda f: f.solve(max_iterations="all"), "max_iterations"),
    "a step of nothing": (lambda f: f.step("sgd"), "method"),
    "a temperature of 0": (lambda f: f.langevin(0.0), "temperature"),
    "a temperature of NaN": (lambda f: f.langevin(NAN), "temperature"),
    "a temperature of text": (lambda f: f.langevin("warm"), "temperature", TypeError),
    "no sweeps": (lambda f: f.langevin(0.1, sweeps=0), "sweeps"),
    "no moves": (lambda f: f.langevin(0.1, steps=0), "steps"),
    "a seed of text": (lambda f: f.langevin(0.1, seed="x"), "seed"),
    "beyond the geodesic's end": (lambda f: f.geodesic(f, 2.0), "t must"),
    "a geodesic at NaN": (lambda f: f.geodesic(f, NAN), "t must"),
    "a geodesic to another shape": (lambda f: f.geodesic(th.zeros(3, 2, 1), 0.5), "particles"),
    "a flow on another grid": (lambda f: f.distance(flow(grid=Grid(-3, 3, 33))), "grid"),
    "a displacement of another shape": (lambda f: f.inner(th.zeros(21, 2), th.zeros(21, 2, 1)), "v must"),
    "the Hessian along another shape": (lambda f: f.hessian_vector(th.zeros(1)), "v must"),
    "convexity at one place": (lambda f: f.convexity(f, points=1), "points"),
    "actions of another shape": (lambda f: f.action_value(th.zeros(3)), "actions"),
    "actions of NaN": (lambda f: setattr(f, "particles", th.full((21, 2, 1), NAN)), "particles"),
    "particles of text": (lambda f: setattr(f, "particles", "left"), "particles", TypeError),
    "negative weights": (lambda f: setattr(f, "weights", -th.ones(21, 2)), "weights"),
    "a state of another dimension": (lambda f: f.as_policy().predict(np.zeros(3)), "observation"),
    "a state of NaN": (lambda f: f.as_policy().predict(np.array([NAN])), "observation"),
}

NATURALS = {
    "an unknown method": (lambda: natural(method="sgd"), "method"),
    "one window": (lambda: natural(windows=8), "windows"),
    "windows the other way": (lambda: natural(windows=(8, 4)), "windows"),
    "windows of text": (lambda: natural(windows=("a", "b")), "windows"),
    "no chains": (lambda: natural(n_chains=0), "n_chains"),
    "chains of text": (lambda: natural(n_chains="x"), "n_chains"),
    "a restart of 1": (lambda: natural(restart=1.0), "restart"),
    "a restart of text": (lambda: natural(restart="x"), "restart", TypeError),
    "a damping of 0": (lambda: natural(damping=0.0), "damping"),
    "a damping of text": (lambda: natural(damping="x"), "damping", TypeError),
    "a negative rate": (lambda: natural(learning_rate=-1.0), "learning_rate"),
    "a rate of NaN": (lambda: natural(learning_rate=NAN), "learning_rate"),
    "a rate of text": (lambda: natural(learning_rate="fast"), "learning_rate", TypeError),
    "noise of NaN": (lambda: natural(noise=[NAN]), "noise"),
    "noise of text": (lambda: natural(noise=["x"]), "noise"),
    "noise that is one number": (lambda: natural(noise=0.4), "noise"),
    "an initial law of text": (lambda: natural(initial="x"), "initial"),
    "an initial law of NaN": (lambda: natural(initial=NAN), "initial"),
    "no actions": (lambda: natural(action_dim=None), "action_dim"),
    "no action": (lambda: natural(action_dim=0), "action_dim"),
    "a network of text": (lambda: natural(policy="big"), "policy", TypeError),
    "a network of nothing": (lambda: natural(policy=[0]), "policy"),
    "bounds of text": (lambda: natural(action_low="x"), "action_low"),
    "bounds that cross": (lambda: natural(action_low=1.0, action_high=-1.0), "action_low"),
    "a seed of text": (lambda: natural(seed="x"), "seed"),
    "dynamics of None": (lambda: natural(dynamics=None), "dynamics", TypeError),
}

ON_A_NATURAL = {
    "steps of text": (lambda n: n.learn("all"), "total_timesteps"),
    "no steps": (lambda n: n.learn(0), "total_timesteps"),
    "a checkpoint by number": (lambda n: n.learn(16, checkpoint=3), "path|checkpoint", TypeError),
    "a callback by number": (lambda n: n.learn(16, callback=3), "callback", TypeError),
    "no interval": (lambda n: n.learn(16, log_interval=0), "log_interval"),
    "no checkpoint's interval": (lambda n: n.learn(16, checkpoint="x", checkpoint_interval=0), "checkpoint_interval"),
    "a checkpoint that is not there": (lambda n: n.load_checkpoint("nothing"), "nothing", FileNotFoundError),
    "a policy that is not there": (lambda n: NeuralPolicy.load("nothing"), "nothing", FileNotFoundError),
    "a path of None": (lambda n: n.save_checkpoint(None), "path", TypeError),
}


def stepped(env, action):
    env.reset(seed=0)
    return lambda: env.step(action)


ENVS = {
    "an unknown map": (lambda: HillyGrid("flat"), "heights"),
    "negative heights": (lambda: HillyGrid([[-1, 0]]), "heights"),
    "half a height": (lambda: HillyGrid([[0.5, 0]]), "heights"),
    "heights in a row": (lambda: HillyGrid([0, 1]), "heights"),
    "ragged heights": (lambda: HillyGrid([[0], [0, 1]]), "heights"),
    "heights of text": (lambda: HillyGrid([["a", "b"]]), "heights"),
    "heights of None": (lambda: HillyGrid(None), "heights"),
    "a start outside": (lambda: HillyGrid(start=(9, 9)), "start"),
    "a start that is no cell": (lambda: HillyGrid(start=3), "start"),
    "half a start": (lambda: HillyGrid(start=(0.5, 0)), "start"),
    "a goal of text": (lambda: HillyGrid(goal="end"), "goal"),
    "start and goal in one": (lambda: HillyGrid(start=(0, 0), goal=(0, 0)), "start and goal"),
    "no time": (lambda: HillyGrid(time_limit=0), "time_limit"),
    "time of None": (lambda: HillyGrid(time_limit=None), "time_limit"),
    "time of NaN": (lambda: HillyGrid(time_limit=NAN), "time_limit"),
    "a negative penalty": (lambda: HillyGrid(timeout_penalty=-1.0), "timeout_penalty"),
    "a penalty of text": (lambda: HillyGrid(timeout_penalty="x"), "timeout_penalty", TypeError),
    "a picture of another kind": (lambda: HillyGrid(render_mode="human"), "render_mode"),
    "a fifth action": (stepped(HillyGrid(), 4), "action"),
    "a negative action": (stepped(HillyGrid(), -1), "action"),
    "goals in a row": (lambda: Goals(goals=(1.0, 1.0)), "goals"),
    "no goals": (lambda: Goals(goals=[]), "goals"),
    "goals of NaN": (lambda: Goals(goals=[[NAN, 0.0]]), "goals"),
    "goals of text": (lambda: Goals(goals=[["a", "b"]]), "goals"),
    "half a wall": (lambda: Goals(walls=[(0.0, 0.0)]), "walls"),
    "walls of text": (lambda: Goals(walls="here"), "walls"),
    "half a horizon": (lambda: Goals(horizon=2.5), "horizon"),
    "a horizon of None": (lambda: Goals(horizon=None), "horizon"),
    "a step of 0": (lambda: Goals(step=0.0), "step"),
    "a step of text": (lambda: Goals(step="x"), "step", TypeError),
    "an unknown reward": (lambda: Goals(reward="far"), "reward"),
    "a NaN for an action": (stepped(Goals(), np.array([NAN, 0.0])), "action"),
    "three numbers for an action": (stepped(Goals(), np.zeros(3)), "action"),
    "no oscillators": (lambda: CoupledOscillators(n=0), "n must"),
    "oscillators of None": (lambda: CoupledOscillators(n=None), "n must"),
    "a beta of text": (lambda: CoupledOscillators(beta="x"), "beta", TypeError),
    "a beta of NaN": (lambda: NonlinearRegulator(beta=NAN), "beta"),
    "a large dt": (lambda: NonlinearRegulator(dt=1.0), "dt"),
    "a dt of text": (lambda: NonlinearRegulator(dt="x"), "dt", TypeError),
    "a noise of None": (lambda: NonlinearRegulator(noise=None), "noise", TypeError),
    "a regulator without horizon": (lambda: NonlinearRegulator(horizon=0), "horizon"),
    "a force of NaN": (stepped(NonlinearRegulator(), np.array([NAN])), "action"),
    "two forces": (stepped(NonlinearRegulator(), np.zeros(2)), "action"),
    "an argument that gym passes on": (lambda: gym.make("wasserstein/Goals-v0", goals=3), "goals"),
}

WALK = {"us": [[0, 1, 2]]}
PLAIN = np.zeros((2, 3), dtype=int)
CLOUD = np.random.default_rng(0).normal(size=(5, 2))
FIGURES = {
    "no paths": (lambda: plot_grid_paths(PLAIN, {}), "paths"),
    "paths in a list": (lambda: plot_grid_paths(PLAIN, [[0, 1]]), "paths", TypeError),
    "a cell outside": (lambda: plot_grid_paths(PLAIN, {"us": [[0, 99]]}), "paths"),
    "a reference outside": (lambda: plot_grid_paths(PLAIN, WALK, reference=[-1]), "reference"),
    "heights in a row": (lambda: plot_grid_paths([0, 1, 2], WALK), "heights"),
    "an empty walk": (lambda: plot_grid_paths(PLAIN, {"us": [[]]}), "paths"),
    "a cloud of NaN": (lambda: plot_behaviour(CLOUD * NAN, CLOUD), "cloud"),
    "a flat cloud": (lambda: plot_behaviour(CLOUD[0], CLOUD), "cloud"),
    "a cloud of nothing": (lambda: plot_behaviour(CLOUD[:0], CLOUD), "cloud"),
    "a cloud of text": (lambda: plot_behaviour("here", CLOUD), "cloud"),
    "a target elsewhere": (lambda: plot_behaviour(CLOUD, CLOUD[:, :1]), "target"),
    "a potential of text": (lambda: plot_behaviour(CLOUD, CLOUD, "high"), "potential", TypeError),
}


def command(*arguments):
    def act() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["zoo", *arguments])
            main()

    return act


ZOO = {
    "no script": (command(), "train,enjoy", SystemExit),
    "an unknown script": (command("dance"), "train,enjoy", SystemExit),
}


def table(cases):
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@table(GRIDS)
def test_grids(case) -> None:
    check_refusal(*case)


@table(FLOWS)
def test_flows(case) -> None:
    check_refusal(*case)


@pytest.fixture(scope="module")
def made():
    solved = flow()
    solved.evaluate()
    return solved


@table(ON_A_FLOW)
def test_a_flow_stays_as_it_was(case, made) -> None:
    act, words, *error = case
    before = made.particles.clone(), made.weights.clone()
    check_refusal(lambda: act(made), words, *error)
    assert th.equal(made.particles, before[0])
    assert th.equal(made.weights, before[1])


@table(NATURALS)
def test_natural_gradients(case) -> None:
    check_refusal(*case)


@table(ON_A_NATURAL)
def test_a_natural_gradient_stays_as_it_was(case) -> None:
    act, words, *error = case
    learner = natural()
    before = [p.detach().clone() for p in learner.policy.parameters()]
    check_refusal(lambda: act(learner), words, *error)
    assert learner.num_timesteps == 0
    assert all(th.equal(one, other) for one, other in zip(before, learner.policy.parameters(), strict=True))


@table(ENVS)
def test_environments(case) -> None:
    check_refusal(*case)


@table(FIGURES)
def test_figures(case) -> None:
    pytest.importorskip("matplotlib")
    check_refusal(*case)


@table(ZOO)
def test_the_zoo(case, capsys) -> None:
    pytest.importorskip("rl_zoo3")
    check_refusal(*case)


def test_the_zoo_has_no_file_of_an_unknown_algorithm() -> None:
    assert zoo.config_file("nothing") is None
    assert zoo.config_file("../pyproject") is None
