import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.behaviour_text.user_sequence import UserSequence, text_tables
from models.ranking import bert, examples, requests
from models.ranking.blend import Blend, Calibration
from models.ranking.export import RankingModule
from models.ranking.hyperparameters import Hyperparameters
from models.ranking.ranker import Ranker
from models.ranking.training import Trained
from tests.components.ranking_toys import VOCABULARY
from tests.toy_data import toy_catalogue, toy_sequences

CONFIG = Hyperparameters(num_targets=2, num_negatives=0, width=4, num_events=3, num_tokens=16, num_factors=2)


@pytest.mark.parametrize("interaction", ["late", "cross"])
def test_bert_is_listened_to_once_its_gate_has_opened(interaction: str) -> None:
    catalogue, train = toy_catalogue(), toy_sequences()
    config = Hyperparameters(**{**vars(CONFIG), "interaction": interaction})
    text = UserSequence(text_tables(VOCABULARY, catalogue, train), config.num_tokens)
    backbone = bert.new_bert(len(VOCABULARY), layers=1, width=8, length=32, dropout=0.0)
    ranker = Ranker(backbone, text, catalogue, train, config)
    ranker.read_items()
    moments = requests.every_target(train)[:3]
    asked = examples.unlisted(train, moments, 1, False)
    batch = examples.batch(asked, np.arange(len(moments)), config, np.random.default_rng(0))
    request = {name: tf.convert_to_tensor(array) for name, array in batch.items()}

    def logits(with_text: bool) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(ranker(request, with_text=with_text)["positive_logits"])

    np.testing.assert_array_equal(logits(True), logits(False))
    assert not ranker.listens, "so that nothing is lost when BERT is left out"
    gate, heads = ranker._words_gate, ranker._heads
    heads.kernel.assign(np.ones(heads.kernel.shape))
    gate.assign(np.ones(gate.shape))
    assert ranker.listens
    assert np.abs(logits(True) - logits(False)).max() > 1e-4


def test_a_query_counts_in_what_is_exported() -> None:
    catalogue = toy_catalogue()
    tokens = np.zeros((len(toy_sequences().item_index), 2), np.int32)
    train = dataclasses.replace(toy_sequences(), query_token_ids=tokens)
    text = UserSequence(text_tables(VOCABULARY, catalogue, train), CONFIG.num_tokens)
    backbone = bert.new_bert(len(VOCABULARY), layers=1, width=8, length=32, dropout=0.0)
    ranker = Ranker(backbone, text, catalogue, train, CONFIG)
    asked_at = examples.unlisted(train, requests.every_target(train)[:1], 1, False)
    batch = examples.batch(asked_at, np.arange(1), CONFIG, np.random.default_rng(0))
    request = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    plain, asked = (
        np.asarray(ranker(request | query)["list_logits"])
        for query in ({}, {"query_token_ids": tf.constant([[5, 6]])})
    )
    assert np.abs(asked - plain).max() > 1e-6
    # The blend of a real training may shut the ranker out of the order; this one does not.
    module = RankingModule(Trained(ranker, Blend(1.0, 1.0), Calibration(), ()), catalogue, train)
    rank = module.signatures()["rank"]
    given = {
        name: tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
        if spec.dtype != tf.string
        else tf.fill([1 if size is None else size for size in spec.shape], "")
        for name, spec in rank.structured_input_signature[1].items()
    }
    given |= {"candidates": tf.constant([["i1", "i2"]]), "retrieval_scores": tf.zeros([1, 2])}
    served = [rank(**given | {"query_token_ids": tf.constant([words])})["scores"].numpy() for words in ([0], [5])]
    assert np.abs(served[1] - served[0]).max() > 1e-6
