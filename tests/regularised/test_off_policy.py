"""The bonus of stored transitions: worked out with the present dual, for exactly the transitions that were sampled."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC, TD3, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_wasserstein import Target, WassersteinSAC, WassersteinTD3
from sb3_wasserstein.embeddings import FunctionEmbedding, MeanState, StateOccupancy
from sb3_wasserstein.regularised.replay import BehaviourReplayBuffer

UPRIGHT = Target([[1.0, 0.0, 0.0]])
SMALL = {"learning_starts": 400, "train_freq": 10, "buffer_size": 1100, "batch_size": 32, "seed": 0}


def small():
    """SB3 writes into policy_kwargs: a new one each time."""
    return {**SMALL, "policy_kwargs": {"net_arch": [8]}}


def model_of(cls=WassersteinSAC, n_envs=2, env=None, **kwargs):
    env = make_vec_env("Pendulum-v1", n_envs, seed=1) if env is None else env
    return cls("MlpPolicy", env, **{"target": UPRIGHT, "wasserstein_coef": -1.0, **small(), **kwargs})


def trajectories(buffer, n_steps, n_envs):
    """(observations, next observations, ends) of each environment, as they are stored."""
    for env in range(n_envs):
        ended = (buffer.dones[:n_steps, env] + buffer.timeouts[:n_steps, env]) > 0
        yield buffer.observations[:n_steps, env], buffer.next_observations[:n_steps, env], ended


@pytest.mark.parametrize("cls", [WassersteinSAC, WassersteinTD3])
def test_a_transition_gains_what_its_step_changed(cls) -> None:
    """By hand, from the stored observations: the running means before and after each step."""
    model = model_of(cls).learn(900)
    buffer = model.replay_buffer
    n_steps = buffer.pos
    for env, (now, after, ended) in enumerate(trajectories(buffer, n_steps, 2)):
        total, count = now[0].astype(float), 1
        for t in range(n_steps):
            before = total / count
            total, count = total + after[t], count + 1
            np.testing.assert_allclose(buffer.points[:, t, env], [total / count, before], atol=1e-5)
            if ended[t] and t + 1 < n_steps:
                total, count = now[t + 1].astype(float), 1
    steps, envs = np.divmod(np.arange(2 * n_steps), 2)
    after, before = (
        model.tracker.shaping(points[steps, envs].astype(float), buffer.numbers[steps, envs]) for points in buffer.points
    )
    expected = after - before
    scales = model.tracker.scales
    unit = -scales.episode_return / scales.ground_cost
    np.testing.assert_allclose(buffer.bonus_of(steps, envs), unit * expected, rtol=1e-5, atol=1e-3)
    assert np.abs(expected).max() > 0


def test_what_is_sampled_is_what_gains() -> None:
    """SB3 draws the environments of a batch inside: the observation of each sample says which one it was."""
    model = model_of(n_envs=3).learn(1050)
    buffer = model.replay_buffer
    np.random.seed(3)  # noqa: NPY002
    samples = buffer.sample(256)
    buffer.bonus, bonus = None, buffer.bonus
    np.random.seed(3)  # noqa: NPY002
    plain = buffer.sample(256)
    buffer.bonus = bonus
    assert th.equal(samples.observations, plain.observations)
    gained = (samples.rewards - plain.rewards).numpy()[:, 0]
    stored = buffer.next_observations[: buffer.pos]
    for observation, value in zip(samples.next_observations.numpy(), gained, strict=True):
        step, env = np.argwhere((stored == observation).all(axis=2))[0]
        assert value == pytest.approx(buffer.bonus_of(np.array([step]), np.array([env]))[0], abs=1e-3)
    assert np.abs(gained).max() > 1.0


def test_the_bonus_is_the_present_duals() -> None:
    model = model_of().learn(900)
    steps, envs = np.arange(50), np.zeros(50, dtype=int)
    before = model.replay_buffer.bonus_of(steps, envs)
    model.dual.update(np.random.default_rng(0).normal(size=(50, 3)), [[-1.0, 0.0, 0.0]])
    after = model.replay_buffer.bonus_of(steps, envs)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(WassersteinSAC, SAC), (WassersteinTD3, TD3)])
def test_at_coefficient_zero_every_bit_is_the_parents(ours, theirs, normalize) -> None:
    def trained(cls, **kwargs):
        env = make_vec_env("Pendulum-v1", 2, seed=1)
        env = VecNormalize(env) if normalize else env
        return cls("MlpPolicy", env, **small(), **kwargs).learn(500)

    plain, model = trained(theirs), trained(ours, target=UPRIGHT)
    for name, value in plain.policy.state_dict().items():
        assert th.equal(model.policy.state_dict()[name], value), name
    assert len(model.embeddings) == 2
    assert not th.equal(next(model_of(ours).learn(500).policy.parameters()), next(trained(theirs).policy.parameters()))


def test_an_occupancys_bonus_sums_to_the_mean_of_h() -> None:
    model = model_of(n_envs=1, embedding=StateOccupancy(horizon=200)).learn(700)
    buffer = model.replay_buffer
    episode = np.arange(200, 400)
    gained = buffer.bonus_of(episode, np.zeros(200, dtype=int)).sum()
    states = np.concatenate([buffer.observations[200:201, 0], buffer.next_observations[episode, 0]]).astype(float)
    scales = model.tracker.scales
    unit = -scales.episode_return / scales.ground_cost
    assert gained == pytest.approx(unit * model.tracker.shaping(states, np.repeat(buffer.numbers[200], 201)).mean(), rel=1e-3)


def test_saved_loaded_and_trained_on(tmp_path) -> None:
    model = model_of().learn(900)
    model.save(tmp_path / "model.zip")
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = WassersteinSAC.load(tmp_path / "model.zip", env=make_vec_env("Pendulum-v1", 2, seed=1))
    loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    np.testing.assert_array_equal(loaded.embeddings, model.embeddings)
    np.testing.assert_array_equal(loaded.replay_buffer.points, model.replay_buffer.points)
    assert loaded.replay_buffer.bonus is None
    loaded.learn(300, reset_num_timesteps=False)
    assert loaded.replay_buffer.bonus is not None
    assert loaded.num_timesteps == 1200


def test_a_callback_that_stops_training_leaves_buffer_and_record_in_step() -> None:
    class Stop(BaseCallback):
        def _on_step(self):
            return self.num_timesteps < 450

    model = model_of(n_envs=1, learning_starts=10_000).learn(1000, Stop())
    model.learn(600, reset_num_timesteps=False)
    buffer = model.replay_buffer
    # The step that was stopped at was not stored; the episode that it belongs to was begun again by the reset of learn().
    assert buffer.pos == model.num_timesteps - 1
    assert len(model.embeddings) == (model.num_timesteps - 450) // 200 + 2


def test_a_buffer_that_wraps_around_keeps_the_newest() -> None:
    model = model_of(n_envs=1, learning_starts=10_000, buffer_size=150).learn(400)
    buffer = model.replay_buffer
    newest = (buffer.pos - 1) % 150
    np.testing.assert_allclose(buffer.points[0, newest, 0], model.embeddings[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"embedding": FunctionEmbedding(lambda trajectory: [0.0], 1), "target": [[0.0]]}, "embedding=.*prefixes"),
        ({"credit": "episode"}, "credit='episode'"),
        ({"replay_buffer_class": HerReplayBuffer}, "replay_buffer_class=.*BehaviourReplayMixin"),
        ({"n_steps": 3}, "n_steps=3"),
        ({"target": None}, "wasserstein_coef=-1.0 needs a target"),
    ],
)
def test_bad_input(kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        model_of(**kwargs)


def test_without_a_target_it_is_sac() -> None:
    model = WassersteinSAC("MlpPolicy", "Pendulum-v1", embedding=MeanState(), **small()).learn(150)
    assert type(model.replay_buffer).__name__ == "ReplayBuffer"
    assert model.embeddings.size == 0


def test_a_training_without_an_episode_says_so() -> None:
    with pytest.warns(UserWarning, match="0 episodes have finished"):
        model_of(n_envs=1).learn(100)


def test_a_plain_algorithms_file_and_buffer_are_taken(tmp_path):
    SAC("MlpPolicy", make_vec_env("Pendulum-v1", 2, seed=1), **small()).learn(400).save(tmp_path / "plain.zip")
    plain = SAC.load(tmp_path / "plain.zip", env=make_vec_env("Pendulum-v1", 2, seed=1)).learn(400)
    plain.save_replay_buffer(tmp_path / "plain.pkl")
    env = make_vec_env("Pendulum-v1", 2, seed=1)
    model = WassersteinSAC.load(tmp_path / "plain.zip", env=env, target=UPRIGHT, wasserstein_coef=-1.0)
    with pytest.warns(UserWarning, match="400 transitions .* gain no bonus"):
        model.load_replay_buffer(tmp_path / "plain.pkl")
    model.learn(500)
    buffer = model.replay_buffer
    np.testing.assert_array_equal(buffer.observations[:200], plain.replay_buffer.observations[:200])
    assert not buffer.factors[:, :200].any()
    assert buffer.factors[:, 200 : buffer.pos].all()
    assert buffer.bonus is not None
    # And back.
    model.save_replay_buffer(tmp_path / "ours.pkl")
    plain.load_replay_buffer(tmp_path / "ours.pkl")
    plain.learn(100)


def test_another_embeddings_buffer_is_taken_and_gains_nothing(tmp_path):
    model_of().learn(500).save_replay_buffer(tmp_path / "mean.pkl")
    model = model_of(embedding="final_state")
    with pytest.warns(UserWarning, match="500 transitions .* gain no bonus"):
        model.load_replay_buffer(tmp_path / "mean.pkl")
    assert not model.replay_buffer.factors.any()
    model.learn(500)


def test_a_target_cannot_be_set_on_a_model_with_sb3s_own_buffer():
    model = WassersteinSAC("MlpPolicy", make_vec_env("Pendulum-v1", 2, seed=1), **small())
    with pytest.raises(ValueError, match=r"target .* load"):
        model.target = UPRIGHT


def test_a_large_buffer_of_points_says_its_size_before_training(monkeypatch):
    buffer = BehaviourReplayBuffer(10, spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (1,)))
    buffer.buffer_size, wanted = 10**8, []
    monkeypatch.setattr(np, "zeros", lambda shape, *_: wanted.append(shape))
    with pytest.warns(UserWarning, match=r"needs 2\.2 GiB beside the replay buffer"):
        buffer.make_room(3, "mean_state")
    assert wanted[-1] == (2, 10**8, 1, 3)
