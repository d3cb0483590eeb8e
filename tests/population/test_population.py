"""Populations against SB3 itself, and what users do with them."""

import sys
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch as th
from small_population import PPO_KWARGS, ROUND, make, parameters
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_wasserstein import Population, WassersteinPPO
from sb3_wasserstein.embeddings import StateOccupancy
from sb3_wasserstein.envs import Goals
from sb3_wasserstein.population import Burst, FreshStarts
from sb3_wasserstein.population.exchange import Turn
from sb3_wasserstein.population.member import Member


def test_members_that_do_not_see_each_other_are_plain_ppo() -> None:
    with pytest.warns(UserWarning, match="does not repel"):
        population = Population(PPO, "MlpPolicy", Goals, 3, wasserstein_coef=0.0, n_envs=4, seed=3, **PPO_KWARGS)
    population.learn(3 * ROUND)
    for spec, found in zip(population._members.specs, parameters(population), strict=True):
        plain = PPO("MlpPolicy", make_vec_env(Goals, 4, seed=spec.seed), seed=spec.seed, **PPO_KWARGS).learn(3 * ROUND)
        expected = np.concatenate([p.detach().numpy().ravel() for p in plain.policy.parameters()])
        np.testing.assert_array_equal(found, expected)
    assert np.isfinite(population.distances).all()


def test_the_callers_generators_are_left_alone() -> None:
    th.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    before = th.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make().learn(ROUND)
    assert th.equal(before[0], th.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_repulsion_parts_and_attraction_joins() -> None:
    # So short a training does not always go where it is drawn: the median of three seeds.
    apart, free, joined = (
        np.median(
            [
                make(wasserstein_coef=coef, schedule="constant", neighbours="mean", seed=seed, ent_coef=0.01)
                .learn(12 * ROUND)
                .distances[0, 1]
                for seed in (1, 2, 3)
            ]
        )
        for coef in (3.0, 0.0, -3.0)
    )
    assert apart > 1.5 * free
    assert joined < 0.85 * free


def test_same_seed_same_bits_and_another_seed_others() -> None:
    first, second, other = (make(seed=seed).learn(2 * ROUND) for seed in (5, 5, 6))
    np.testing.assert_array_equal(parameters(first), parameters(second))
    np.testing.assert_array_equal(first.distances, second.distances)
    assert np.abs(np.array(parameters(first)) - parameters(other)).max() > 1e-3
    a, b = parameters(first)
    assert np.abs(a - b).max() > 1e-3


def test_learning_in_two_pieces_goes_on() -> None:
    whole, halves = make(schedule="constant").learn(4 * ROUND), make(schedule="constant")
    halves.learn(2 * ROUND).learn(2 * ROUND, reset_num_timesteps=False)
    assert [model.num_timesteps for model in halves.models] == [4 * ROUND] * 2
    np.testing.assert_array_equal(parameters(halves), parameters(whole))


@pytest.mark.parametrize("repulsion", ["mutual", "ordered", "sequential"])
@pytest.mark.parametrize("embedding", ["path", StateOccupancy(horizon=16), "final_state"], ids=str)
def test_every_kind_of_repulsion_and_embedding(repulsion, embedding) -> None:
    population = make(3, repulsion=repulsion, embedding=embedding).learn(2 * ROUND)
    assert [model.num_timesteps for model in population.models] == [2 * ROUND] * 3
    matrix = population.distances
    np.testing.assert_array_equal(matrix, matrix.T)
    # Of samples of nearly the same law: around zero.
    assert (matrix[~np.eye(3, dtype=bool)] != 0).all()
    assert (np.abs(matrix) < 2.0).all()


def test_sequential_members_wait_for_each_other() -> None:
    population = make(2, repulsion="sequential", schedule="constant")
    alone = make(2, wasserstein_coef=0.0).learn(2 * ROUND)
    population.learn(2 * ROUND)
    np.testing.assert_array_equal(parameters(population)[0], parameters(alone)[0])
    assert np.abs(parameters(population)[1] - parameters(alone)[1]).max() > 0


def test_a2c_and_subclasses() -> None:
    class MyPPO(PPO):
        """A user's own."""

    assert isinstance(Population(A2C, "MlpPolicy", Goals, 2, n_steps=8, device="cpu").learn(16).models[0], A2C)
    mine = Population(MyPPO, "MlpPolicy", Goals, 2, n_envs=4, seed=0, **PPO_KWARGS).learn(48)
    assert isinstance(mine.models[0], MyPPO)


def test_members_save_load_and_predict_alone(tmp_path) -> None:
    population = make(schedule="constant").learn(2 * ROUND)
    observation = np.array([[0.1, 0.2]], dtype=np.float32)
    for model in population.models:
        model.save(tmp_path / "member")
        with pytest.warns(UserWarning, match="member of a population"):
            alone = WassersteinPPO.load(tmp_path / "member", make_vec_env(Goals, 4))
        assert alone.wasserstein_coef == 0.0
        np.testing.assert_array_equal(
            alone.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
        plain = PPO.load(tmp_path / "member")
        np.testing.assert_array_equal(
            plain.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
        assert np.isfinite(evaluate_policy(model, make_vec_env(Goals, 1), 2)[0])
        alone.learn(ROUND)
        alone.save(tmp_path / "again")
        WassersteinPPO.load(tmp_path / "again")


class Count(BaseCallback):
    """Stops its member after so many calls."""

    def __init__(self, most=10**9) -> None:
        super().__init__()
        self.most = most

    def _on_step(self):
        return self.n_calls < self.most


def test_each_member_has_its_own_callback() -> None:
    population = make()
    callback = Count(most=60)
    population.learn(5 * ROUND, callback)
    assert callback.n_calls == 0
    assert [model.num_timesteps for model in population.models] == [60 * 4] * 2
    seen = []
    population.learn(ROUND, lambda local, _: seen.append(id(local["self"])))
    assert len(set(seen)) == 2


def test_a_callback_that_cannot_be_copied_is_told_so() -> None:
    env = SubprocVecEnv([Goals], start_method="fork")
    try:
        with pytest.raises(TypeError, match="callback: the SubprocVecEnv of EvalCallback cannot be copied"):
            make().learn(ROUND, [EveryNTimesteps(10, EvalCallback(env))])
        with pytest.raises(TypeError, match="callback cannot be copied for each member: TypeError: cannot pickle"):
            make().learn(ROUND, Count(threading.Lock()))
    finally:
        env.close()


def test_an_extra_that_is_missing_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"tensorboard_log needs TensorBoard: pip install 'sb3-wasserstein\[logging\]'"):
        make(tensorboard_log=tmp_path)
    monkeypatch.setitem(sys.modules, "tqdm.rich", None)
    with pytest.raises(ImportError, match=r"sb3-wasserstein\[logging\]"):
        make().learn(ROUND, progress_bar=True)


def test_one_member_may_stop_before_the_others() -> None:
    population = make(2)
    first = population.models[0]

    class StopsTheFirst(BaseCallback):
        def _on_step(self):
            return self.model is not first or self.num_timesteps < ROUND

    population.learn(3 * ROUND, StopsTheFirst())
    assert [model.num_timesteps for model in population.models] == [ROUND, 3 * ROUND]


def test_fresh_starts_are_new_policies() -> None:
    population = make(2, embedding="final_state", wasserstein_coef=1.0)
    member = population._members.members[0]
    before = parameters(population)[0]
    member._begin_afresh(17)
    fresh = parameters(population)[0]
    assert np.abs(fresh - before).max() > 0.01
    assert float(member.model.policy.log_std.detach().abs().max()) == 0.0
    assert member.model.policy.optimizer.state_dict()["state"] == {}
    assert len(member.behaviour.window) == 0
    population.learn(2 * ROUND)
    assert np.abs(parameters(population)[0] - fresh).max() > 0.01


def test_old_weights_come_back_to_the_bit() -> None:
    population = make(2, embedding="final_state", wasserstein_coef=1.0)
    population.learn(2 * ROUND)
    member = population._members.members[0]
    before = parameters(population)[0].copy()
    steps = member.model.policy.optimizer.state_dict()["state"][0]["step"].item()
    turn = Turn(0.0, 1.0, 1.0)
    member.collect()
    member.train(replace(turn, restart=17, keeps=True))
    assert np.abs(parameters(population)[0] - before).max() > 0.01
    made_again = Member(replace(member.spec, **member.snapshot()._asdict()))
    for one in (member, made_again):
        one.begin(10 * ROUND, None, False)
        one.collect()
        one.train(replace(turn, gives_back=True))
        found = np.concatenate([p.detach().numpy().ravel() for p in one.model.policy.parameters()])
        np.testing.assert_array_equal(found, before)
        assert one.model.policy.optimizer.state_dict()["state"][0]["step"].item() == steps
        assert len(one.behaviour.window) == 0


def test_a_training_that_is_too_short_says_so() -> None:
    with pytest.warns(UserWarning, match="384 steps are 2 rounds of 192: .* takes 16 rounds at least"):
        make(2).learn(2 * ROUND)


def test_what_members_have_come_to() -> None:
    population = make(2)
    with pytest.raises(ValueError, match="best is known after learn"):
        population.predict(np.zeros(2))
    population.learn(2 * ROUND)
    found = population.evaluate(20, seed=4)
    for k, model in enumerate(population.models):
        # Goals' episodes differ little under one policy.
        expected, _ = evaluate_policy(model, make_vec_env(Goals, 4, seed=9), 40, deterministic=False)
        assert found.returns[k] == pytest.approx(expected, abs=1.5)
    np.testing.assert_array_equal(found.distances, found.distances.T)
    assert (found.p_values[0, 1] < 0.05) == (found.distances[0, 1] > max(found.noise))
    assert str(found).startswith("member 0: return ")
    assert population.best == int(np.argmax([population.exchange.mean_returns[k] for k in range(2)]))
    observation = np.zeros(2, dtype=np.float32)
    for member in (0, 1, None):
        model = population.models[population.best if member is None else member]
        expected = model.predict(observation, deterministic=True)[0]
        np.testing.assert_array_equal(population.predict(observation, deterministic=True, member=member)[0], expected)
    assert repr(population).startswith(
        "Population(2 × WassersteinPPO on Goals, wasserstein_coef=1, schedule=burst, embedding=Path("
    )


@pytest.mark.parametrize("fresh_starts", [False, FreshStarts(floor=0.5, burst=Burst(full=0.1, end=0.3))])
def test_the_numbers_of_the_rules_are_chosen_and_saved(fresh_starts, tmp_path) -> None:
    burst = Burst(full=0.3, end=0.4, release=3.0, gain=0.0)
    population = make(2, burst=burst, fresh_starts=fresh_starts)
    assert population.rules.burst == burst
    assert population.rules.fresh_starts == (fresh_starts or None)
    population.save(tmp_path)
    assert Population.load(tmp_path, Goals).rules == population.rules


def test_the_logs_of_members_and_population(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    make(2, schedule="constant", tensorboard_log=tmp_path).learn(3 * ROUND)
    assert {path.name for path in tmp_path.iterdir()} == {"member_0_1", "member_1_1", "population_1"}
    tags = {}
    for path in tmp_path.iterdir():
        reader = EventAccumulator(str(path))
        reader.Reload()
        tags[path.name] = set(reader.Tags()["scalars"]) | set(reader.Tags()["images"])
    assert {"wasserstein/pair_0_1", "wasserstein/fresh_starts", "wasserstein/coef_1"} | {
        f"wasserstein/{name}" for name in ("distances", "embeddings", "potential_0")
    } <= tags["population_1"]
    assert {"rollout/ep_rew_mean", "train/loss", "wasserstein/bonus_mean", "wasserstein/coef_effective"} <= tags["member_0_1"]


def test_one_progress_bar(capsys) -> None:
    pytest.importorskip("tqdm")
    pytest.importorskip("rich")
    make(2).learn(2 * ROUND, progress_bar=True)
    assert f"{2 * 2 * ROUND:,}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kwargs", "error", "name"),
    [
        ({"n_policies": 1}, ValueError, "n_policies"),
        ({"n_policies": 2.5}, ValueError, "n_policies"),
        ({"n_envs": 0}, ValueError, "n_envs"),
        ({"n_envs": 10**5}, ValueError, "n_envs"),
        ({"executor": "threads"}, ValueError, "executor"),
        ({"schedule": "late"}, ValueError, "schedule"),
        ({"repulsion": "all"}, ValueError, "repulsion"),
        ({"neighbours": "far"}, ValueError, "neighbours"),
        ({"distance_target": -1.0}, ValueError, "distance_target"),
        ({"wasserstein_coef": "big"}, TypeError, "wasserstein_coef"),
        ({"wasserstein_coef": float("nan")}, ValueError, "wasserstein_coef"),
        ({"embedding": "colour"}, ValueError, "embedding"),
        ({"target": np.zeros((2, 2))}, ValueError, "target"),
        ({"dual": "rkhs"}, ValueError, "dual"),
        ({"dual_kwargs": {"colour": 1}}, ValueError, "dual_kwargs"),
        ({"algorithm": SAC}, TypeError, "algorithm"),
        ({"algorithm": "PPO"}, TypeError, "algorithm"),
        ({"env": "NoSuchEnv-v0"}, Exception, "NoSuchEnv"),
        ({"no_such_argument": 1}, Exception, "no_such_argument"),
    ],
)
def test_bad_input(kwargs, error, name) -> None:
    arguments = {"algorithm": PPO, "policy": "MlpPolicy", "env": Goals, "n_policies": 2, **kwargs}
    with pytest.raises(error, match=name):
        Population(**arguments)


@pytest.mark.parametrize(
    ("kwargs", "name"), [({"total_timesteps": 0}, "total_timesteps"), ({"checkpoint_every": 0}, "checkpoint_every")]
)
def test_bad_learn(kwargs, name) -> None:
    with pytest.raises(ValueError, match=name):
        make().learn(**{"total_timesteps": ROUND, **kwargs})


@pytest.mark.parametrize(
    ("name", "policy", "policy_kwargs"),
    [("TRPO", "MlpPolicy", {}), ("RecurrentPPO", "MlpLstmPolicy", {"lstm_hidden_size": 8}), ("MaskablePPO", "MlpPolicy", {})],
)
def test_sb3_contribs_algorithms_begin_afresh(name, policy, policy_kwargs) -> None:
    """A member of theirs gets new weights as its own class makes them: MaskablePPO's policies know no gSDE."""
    contrib = pytest.importorskip("sb3_contrib")
    envs = pytest.importorskip("sb3_contrib.common.envs")

    def env():
        return envs.InvalidActionEnvDiscrete(dim=10, ep_length=20, n_invalid_actions=5)

    kwargs = {"n_steps": 64, "batch_size": 64, "policy_kwargs": policy_kwargs, "seed": 0}
    with Population(getattr(contrib, name), policy, env, 2, **kwargs) as population:
        population.learn(64)
        members: Any = population._members
        member = members.members[0]
        before = member.model.policy
        member._begin_afresh(1)
        assert type(member.model.policy) is type(before)
        assert member.model.policy is not before
        population.learn(64, reset_num_timesteps=False)
