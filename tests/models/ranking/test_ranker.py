import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.export import RankingModule, rank_specs
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training.blend import Blend, Calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.sequences import Sequences
from tests.models.ranking.toy import make_ranker, make_request
from tests.toy_data import toy_catalogue, toy_sequences


def _text_ranker(train: Sequences) -> Ranker:
    """Its affinity of texts says something."""
    return make_ranker(toy_catalogue(), train)


def _serve(ranker: Ranker, train: Sequences, **given: Any) -> np.ndarray:  # type: ignore[type-arg]
    """Scores that `rank` gives where nothing but texts decides."""
    module = RankingModule(Trained(ranker, Blend(0.0, 0.0, 1.0), Calibration(), ()), toy_catalogue(), train)
    rank = module.signatures()["rank"]
    request = {}
    for name, spec in rank_specs(train).items():
        shape = [1 if size is None else size for size in spec.shape]
        nothing = tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)
        request[name] = tf.constant(given[name], spec.dtype) if name in given else nothing
    request["retrieval_scores"] = tf.zeros_like(request["candidates"] == "", tf.float32)
    return rank(**request)["scores"].numpy()[0]


def _with_queries() -> Sequences:
    sequences = toy_sequences()
    return dataclasses.replace(sequences, query_token_ids=np.zeros((len(sequences.item_index), 2), np.int32))


def test_a_query_counts_in_what_is_exported() -> None:
    train = _with_queries()
    ranker = _text_ranker(train)
    plain, searched = (
        _serve(ranker, train, candidates=[["i1", "i2"]], query_token_ids=[words]) for words in ([0], [5])
    )
    assert np.abs(searched - plain).max() > 1e-3


def test_affinity_is_served_as_it_was_learnt() -> None:
    train = _with_queries()
    ranker, catalogue = _text_ranker(train), toy_catalogue()
    same_text = [[catalogue.token_ids[5].tolist()]]
    history = {"history": [["i3", "i4"]], "history_value": [[1.0, 2.0]], "history_event_type": [["", ""]]}
    history["history_timestamp"] = [[1, 2]]
    served = _serve(ranker, train, candidates=[["i1", "i5", "new", ""]], candidate_token_ids=same_text, **history)
    request = {"recent_items": tf.constant([[4, 3, 0]]), "query_token_ids": tf.zeros([1, 1], tf.int32)}
    learnt = np.asarray(ranker.affinity(request, ranker.items.texts(tf.constant([[1, 5]]))))[0]
    np.testing.assert_allclose(served[:2], learnt, rtol=1e-4, atol=1e-5)
    assert served[2] == pytest.approx(served[1], rel=1e-4), "an item outside the catalogue, with the text of i5"
    assert served[3] == np.finfo(np.float32).min
    silent = _serve(ranker, train, candidates=[["i1", "i5", "new"]], **history)
    assert silent[2] == pytest.approx(learnt.mean(), rel=1e-4), "one without a text stands on a par with the others"


def test_gaps_in_a_history_change_no_affinity() -> None:
    train = _with_queries()
    ranker = _text_ranker(train)
    texts, query = ranker.items.texts(tf.constant([[1, 2, 5]])), tf.zeros([1, 1], tf.int32)
    requests = ({"recent_items": tf.constant([rows]), "query_token_ids": query} for rows in ([4, 3, 0], [0, 4, 3]))
    plain, gap = (np.asarray(ranker.affinity(request, texts)) for request in requests)
    np.testing.assert_allclose(plain, gap, rtol=1e-4)


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
