import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.ranking.blend import Blend, Calibration
from models.ranking.export import RankingModule
from models.ranking.hyperparameters import Hyperparameters
from models.ranking.training import Trained
from tests.models.ranking.toy import CONFIG, make_ranker, make_request
from tests.toy_data import toy_catalogue, toy_sequences


@pytest.mark.parametrize("interaction", ["late", "cross"])
def test_bert_is_listened_to_once_its_gate_has_opened(interaction: str) -> None:
    catalogue, train = toy_catalogue(), toy_sequences()
    config = Hyperparameters(**{**vars(CONFIG), "interaction": interaction})
    ranker = make_ranker(catalogue, train, config)
    ranker.read_items()
    request = make_request(train, 3)

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
    ranker = make_ranker(catalogue, train)
    ranker.read_items()
    for kernel in ranker.text_affinity.kernels:
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    # The blend of a real training may shut the ranker out of the order; this one does not.
    module = RankingModule(Trained(ranker, Blend(1.0, 0.0, 1.0), Calibration(), ()), catalogue, train)
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


def test_new_items_stand_on_a_par_with_the_others_and_in_the_rankers_order() -> None:
    catalogue, train = toy_catalogue(), toy_sequences()
    counts = np.ones(catalogue.num_rows, catalogue.train_counts.dtype)
    counts[[0, 1, 3]] = 0
    ranker = make_ranker(dataclasses.replace(catalogue, train_counts=counts), train)
    candidates = tf.constant([[1, 2, 3, 4, 0]])
    request = make_request(train, 1) | {"candidates": candidates}
    ranker(request)
    ranker._heads.kernel.assign(np.random.default_rng(0).normal(size=ranker._heads.kernel.shape))
    logits = np.asarray(ranker(request)["list_logits"])[0]
    alone = np.asarray([ranker(request | {"candidates": candidates[:, i : i + 1]})["list_logits"] for i in range(5)])
    np.testing.assert_allclose(logits[[0, 2]].mean(), logits[[1, 3]].mean(), rtol=1e-4)
    assert abs(logits[0] - logits[2]) > 1e-4
    np.testing.assert_allclose(logits[[1, 3]], alone.ravel()[[1, 3]], rtol=1e-4)
