import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.components.retrieval_trainer.train import train
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.errors import ModelError
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.retrieval.training.cluster import Cluster
from homefeed.models.retrieval.training.devices import Devices
from tests.models.retrieval import toy

Trained = tuple[retrieval_trainer.Outputs, str]


@pytest.fixture
def data() -> TrainingData:
    words = [*SPECIAL_TOKENS, "red", "tea", "cup", "blue", "片"]
    evaluation = toy.sequences(num_users=5, num_targets=1, num_history=2, seed=1)
    return TrainingData(toy.catalogue(), toy.sequences(num_users=8), evaluation, words)


def test_a_snapshot_is_of_what_was_trained(trained_retrieval: Trained, data: TrainingData) -> None:
    snapshot = Snapshot.load(trained_retrieval[0].model.snapshot_dir)
    known = np.flatnonzero(data.catalogue.train_counts)
    assert snapshot.item_ids.tolist() == data.catalogue.item_ids[known].tolist()
    assert snapshot.train_counts.tolist() == data.catalogue.train_counts[known].tolist()
    assert list(snapshot.facts.wordpiece) == data.wordpiece and len(snapshot.sample) > 0


def test_a_training_may_go_on_from_an_earlier_one(
    trained_retrieval: Trained, data: TrainingData, tmp_path: pathlib.Path
) -> None:
    base = trained_retrieval[0].model
    config = Snapshot.load(base.snapshot_dir).facts.config
    going_on = dataclasses.replace(config, base_model=str(base.path))
    bert = PretrainedBert(base.text_dir)
    line = train(data, bert, Model(tmp_path / "model"), ModelRun(tmp_path / "run"), going_on)
    assert "epochs, NDCG@10" in line
    assert Snapshot.load(Model(tmp_path / "model").snapshot_dir).facts.config == going_on


class LastToBeLost(Devices):
    """The chief's, whose helper ends while the model is written."""

    def wait(self) -> None:
        raise ModelError("a worker is lost")


def test_checkpoints_stay_until_all_workers_have_ended(
    trained_retrieval: Trained, data: TrainingData, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = LastToBeLost(tf.distribute.get_strategy(), Cluster(("a:1", "b:1"), 0))
    monkeypatch.setattr("homefeed.components.retrieval_trainer.train.devices", lambda strategy: lost)
    base = trained_retrieval[0].model
    model, config = Model(tmp_path / "model"), Snapshot.load(base.snapshot_dir).facts.config
    with pytest.raises(ModelError, match="a worker is lost"):
        train(data, PretrainedBert(base.text_dir), model, ModelRun(tmp_path / "run"), config)
    assert model.serving_dir.is_dir() and list((tmp_path / "model.epochs").glob("*.npz"))


def test_a_base_without_a_snapshot_is_refused(
    trained_retrieval: Trained, data: TrainingData, tmp_path: pathlib.Path
) -> None:
    config = retrieval_trainer.Config(base_model=str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        train(
            data,
            PretrainedBert(trained_retrieval[0].model.text_dir),
            Model(tmp_path / "model"),
            ModelRun(tmp_path / "run"),
            config,
        )
