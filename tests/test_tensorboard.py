"""What reaches TensorBoard, read back by TensorBoard's own reader."""

import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_wasserstein import DualCallback, WassersteinPPO
from sb3_wasserstein.embeddings import FinalState, FunctionEmbedding
from sb3_wasserstein.figures import plot_behaviour
from sb3_wasserstein.tensorboard import TensorboardCallback

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytest.importorskip("matplotlib")
SHORT = {"n_steps": 128, "batch_size": 64, "n_epochs": 1, "seed": 0}


def length(trajectory):
    return [len(trajectory)]


def events(folder):
    return event_accumulator.EventAccumulator(str(folder)).Reload()


def tags(folder):
    return events(folder).Tags()


@pytest.mark.parametrize(
    ("embedding", "dim"), [("mean_state", 4), (FinalState(features=[0, 2]), 2), (FunctionEmbedding(length, 1), 1)], ids=str
)
def test_everything_is_written(tmp_path, embedding, dim) -> None:
    model = WassersteinPPO(
        "MlpPolicy",
        "CartPole-v1",
        embedding=embedding,
        target=np.zeros((2, dim)),
        wasserstein_coef=-1.0,
        tensorboard_log=str(tmp_path),
        **SHORT,
    )
    model.learn(512, callback=TensorboardCallback(every=2, projector=True))
    found = tags(tmp_path / "PPO_1")
    assert {"wasserstein/potential", "wasserstein/potential_of_target"} <= set(found["distributions"])
    assert "wasserstein/behaviour" in found["images"]
    assert b"wasserstein_coef" in events(tmp_path / "PPO_1").PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert list(tmp_path.rglob("projector_config.pbtxt"))
    rows = next(tmp_path.rglob("tensors.tsv")).read_text().splitlines()
    assert len(rows) == len(model.embeddings) + 2


def test_it_changes_nothing_and_works_under_sb3s_own_classes(tmp_path) -> None:
    behaviour = DualCallback("mean_state", target=np.zeros((1, 4)))
    watched = PPO("MlpPolicy", "CartPole-v1", tensorboard_log=str(tmp_path), **SHORT)
    watched.learn(256, [behaviour, TensorboardCallback(behaviour, every=1)])
    plain = PPO("MlpPolicy", "CartPole-v1", **SHORT).learn(256)
    for key, value in plain.policy.state_dict().items():
        np.testing.assert_array_equal(value, watched.policy.state_dict()[key])
    assert "wasserstein/behaviour" in tags(tmp_path / "PPO_1")["images"]


def test_without_tensorboard_or_a_target_it_is_silent() -> None:
    plain = PPO("MlpPolicy", "CartPole-v1", **SHORT).learn(128, TensorboardCallback(every=1, projector=True))
    ours = WassersteinPPO("MlpPolicy", "CartPole-v1", target=np.zeros((1, 4)), **SHORT)
    ours.learn(256, TensorboardCallback(every=1))
    assert (plain.num_timesteps, ours.num_timesteps) == (128, 256)
    assert not plain.logger.output_formats
    assert not ours.logger.output_formats


def test_every_is_checked() -> None:
    with pytest.raises(ValueError, match="every"):
        TensorboardCallback(every=0)


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_figures_of_any_cloud(n, dim) -> None:
    cloud = np.random.default_rng(0).normal(size=(n, dim))
    figure = plot_behaviour(cloud, cloud[:1], lambda x: x.sum(axis=1))
    figure.canvas.draw()
    panel = figure.axes[0]
    assert len(panel.collections[0].get_offsets()) == n
    assert panel.get_xlabel().startswith("first")
