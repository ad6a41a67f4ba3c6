import dataclasses
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, PretrainedBert
from homefeed.components.ranking_trainer.train import fit
from homefeed.models.text import bert
from tests.components.ranking_toys import VOCABULARY, text_model
from tests.components.ranking_trainer.test_component import TINY
from tests.toy_data import toy_catalogue, toy_sequences

DATA = TrainingData(toy_catalogue(), toy_sequences(), toy_sequences(num_history=2), VOCABULARY)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> PretrainedBert:
    folder = tmp_path_factory.mktemp("bert")
    text_model(DATA.catalogue).save(folder)
    return PretrainedBert(folder)


@pytest.fixture
def retrieval(toy_models: dict[str, pathlib.Path]) -> Model:
    return Model(toy_models["retrieval"])


def test_each_epoch_is_told_and_a_seed_decides_them_all(preset: PretrainedBert, retrieval: Model) -> None:
    told: list[list[float]] = []
    for seed in (1, 1, 2):
        epochs = []
        fit(DATA, preset, retrieval, dataclasses.replace(TINY, seed=seed), epochs.append)
        told.append([epoch.train_loss for epoch in epochs])
    assert [len(losses) for losses in told] == [2, 2, 2] and np.isfinite(told).all()
    assert told[0] == told[1] != told[2]


def test_a_bert_of_another_vocabulary_is_refused(preset: PretrainedBert, retrieval: Model) -> None:
    data = dataclasses.replace(DATA, wordpiece=[*VOCABULARY, "more"])
    with pytest.raises(bert.PresetError, match=f"has {len(VOCABULARY)} tokens"):
        fit(data, preset, retrieval, TINY)
