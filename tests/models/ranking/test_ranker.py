import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from homefeed.models.ranking import ranker as rankers
from homefeed.models.ranking.export import RankingModule, rank_specs
from homefeed.models.ranking.layers.event_features import event_features, user_statistics
from homefeed.models.ranking.layers.item_encoder import ItemEncoder
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training.blend import Blend
from homefeed.models.ranking.training.calibration import Calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.sequences import Sequences
from homefeed.models.text import reading
from tests.models.ranking.toy import CONFIG, make_ranker, make_request
from tests.toy_data import toy_catalogue, toy_sequences


def _text_ranker(train: Sequences) -> Ranker:
    """Its affinity of texts says something."""
    return make_ranker(toy_catalogue(), train)


def _serve(ranker: Ranker, train: Sequences, **given: Any) -> np.ndarray:
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


@pytest.fixture(scope="module")
def loud() -> Ranker:
    """Every part of it says something."""
    ranker = make_ranker(toy_catalogue(), toy_sequences())
    for variable in ranker.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
    return ranker


def _dense(layer: Any, x: Any) -> Any:
    y = x @ np.array(layer.kernel)
    return y + np.array(layer.bias) if layer.use_bias else y


def _parts(ranker: Ranker, request: dict[str, tf.Tensor]) -> tuple[Any, Any, list[Any]]:
    """Candidates, what they see in the events, and the rest, by the layers that make them."""
    items = np.asarray(ranker.items(tf.range(8)))
    candidates = items[request["candidates"].numpy()]
    rows = request["recent_items"].numpy()[:, :3]
    values, types = request["recent_value"].numpy()[:, :3], request["recent_event_type"].numpy()[:, :3]
    train = toy_sequences()
    known = np.isfinite(values)
    value = np.where(known, (values - np.nanmean(train.value)) / np.nanstd(train.value), 0)
    vectors = items[rows]
    extras = [vectors, value[..., None], known[..., None], vectors * value[..., None]]
    extras += [_event_types(ranker, types), np.asarray(event_features(request, 3))]
    memory = vectors + _dense(ranker._event, np.concatenate(extras, axis=-1))
    recency = np.tile(np.array(ranker._recency)[None, :3], [len(rows), 1])
    tensors = [tf.constant(x, tf.float32) for x in (candidates, memory, recency)]
    events = np.asarray(ranker._look_at_events((tensors[0], tensors[1], tf.constant(rows > 0), tensors[2])))
    user = np.asarray(ranker._users({"gender": request["user_gender"], "age": request["user_age"]}))
    of_user = candidates * user[:, None]
    statistics = np.repeat(np.asarray(user_statistics(request))[:, None], candidates.shape[1], axis=1)
    return candidates, events, [of_user, statistics]


def _event_types(ranker: Ranker, types: Any) -> Any:
    table = np.array(ranker._event_features.tables["event_type"])
    return table[types] * (types > 0)[..., None]


def test_outputs_in_numpy(loud: Ranker) -> None:
    request = make_request(toy_sequences(), 6) | {"candidates": tf.constant([[1, 2, 7]] * 6)}
    candidates, events, rest = _parts(loud, request)
    mean, deviation = loud._estimate(request)
    rating, deviation = np.asarray(mean), np.asarray(deviation)
    parts = [candidates, events, candidates * events, *rest]
    joined = np.concatenate([*parts, rating[..., None], deviation[..., None]], axis=-1)
    crossed = joined + joined * _dense(loud._cross, _dense(loud._narrow, joined))
    hidden = _dense(loud._hidden, crossed)
    logits = _dense(loud._heads, hidden * scipy.stats.norm.cdf(hidden))
    found = {name: np.asarray(value) for name, value in loud(request).items()}
    np.testing.assert_allclose(found["ratings"], rating + logits[..., 2], rtol=1e-3, atol=1e-4)
    above = rating - float(loud._threshold)
    slopes = np.array(loud._slopes)
    positive = logits[..., 1] + slopes[0] * above / deviation + slopes[1] * above
    np.testing.assert_allclose(found["positive_logits"], positive, rtol=1e-3, atol=1e-4)
    order = logits[..., 0] + (candidates * events).sum(axis=-1)
    # Item 7 has no interactions: it is lifted to the mean of the other two.
    np.testing.assert_allclose(found["list_logits"][:, :2], order[:, :2], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["list_logits"][:, 2], order[:, :2].mean(axis=1), rtol=1e-3, atol=1e-4)


def test_ratings_are_estimated_in_deviations_from_the_mean(loud: Ranker) -> None:
    request = make_request(toy_sequences(), 4)
    design = loud._user_design.in_graph(
        {"gender": request["user_gender"], "age": request["user_age"]}, request["fit"]
    )
    mean, deviation = loud._taste(
        request["fit"], request["recent_items"], request["recent_value"], design, request["candidates"]
    )
    found = loud._estimate(request)
    values = toy_sequences().value
    np.testing.assert_allclose(found[0], (mean - np.nanmean(values)) / np.nanstd(values), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], deviation / np.nanstd(values), rtol=1e-4)


def test_a_query_is_read_by_bert_like_an_item() -> None:
    """The candidate's reading and the query's, each through its projection, by the parts that make them."""
    ranker = _text_ranker(_with_queries())
    request = {"recent_items": tf.zeros([1, 1], tf.int32), "query_token_ids": tf.constant([[5, 7, 0]])}
    texts, text = ranker.items.texts(tf.constant([[1, 2]])), ranker.text
    read = text.scale(reading.Reader(text.berts[0])(np.array([[2, 5, 7, 3]], np.int32)))[0]  # [CLS] query [SEP].
    kernels = {weight.name: np.array(weight) for weight in text.heads.weights}
    expected = np.asarray(texts)[0] @ kernels["candidates_kernel"] @ (read @ kernels["query_kernel"])
    np.testing.assert_allclose(ranker.affinity(request, texts)[0], expected, rtol=1e-3)
    nobody = ranker.affinity(request | {"query_token_ids": tf.zeros([1, 3], tf.int32)}, texts)
    assert not np.asarray(nobody).any()


def test_a_frozen_ranker_says_the_same(loud: Ranker) -> None:
    request = make_request(toy_sequences(), 3)
    before = {name: np.asarray(value) for name, value in loud(request | {"fit": tf.zeros(3, tf.int32)}).items()}
    loud.freeze()
    after = {
        name: np.asarray(value) for name, value in loud({k: v for k, v in request.items() if k != "fit"}).items()
    }
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-3, atol=1e-4)
    assert loud.frozen is not None and loud.constants


def test_a_large_catalogue_is_encoded_where_it_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = make_ranker(toy_catalogue(), toy_sequences())
    request = make_request(toy_sequences(), 3)
    whole = np.asarray(ranker(request)["list_logits"])
    assert np.ptp(whole, axis=1).max() > 1e-2, "candidates have logits of their own"
    monkeypatch.setattr(rankers, "_MAX_TABLE", 3)
    np.testing.assert_allclose(ranker(request)["list_logits"], whole, rtol=1e-4, atol=1e-5)


def test_an_item_is_encoded_once_wherever_a_batch_mentions_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So one that loses its identity while training loses it in each place."""
    monkeypatch.setattr(rankers, "_MAX_TABLE", 3)
    ranker = make_ranker(toy_catalogue(), toy_sequences())
    encode, encoded = ItemEncoder.call, []
    monkeypatch.setattr(
        ItemEncoder, "call", lambda self, rows, **more: encoded.append(rows.numpy()) or encode(self, rows, **more)
    )
    request = make_request(toy_sequences(), 3)
    ranker(request, training=True)
    (rows,) = encoded
    mentioned = np.union1d(request["candidates"], request["recent_items"][:, : CONFIG.max_events])
    assert sorted(rows) == mentioned.tolist()
