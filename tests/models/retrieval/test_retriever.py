import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from homefeed.models import requests
from homefeed.models.catalogue import ALWAYS, NEVER
from homefeed.models.retrieval import retriever
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.index import text_match
from homefeed.models.retrieval.index.meaning import Meaning
from homefeed.models.retrieval.linear import linear_factors
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import windows
from homefeed.models.retrieval.training.trained import Trained
from tests.components.ranking_toys import text_model
from tests.models.retrieval import toy

STOCK_OPS = set((pathlib.Path(__file__).parents[2] / "contracts" / "stock_ops.txt").read_text().split())
TINY = Hyperparameters(width=4, num_layers=1, max_events=3, max_linear_events=5)
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "tea", "cup", "blue", "片"]
DATED = dataclasses.replace(
    toy.catalogue(),
    categorical=toy.catalogue().categorical | {"language": np.array([[0], *[[2], [3]] * 3, [2]], np.int32)},
    vocabularies=toy.catalogue().vocabularies | {"language": ("en", "zh")},
    available_from=np.array([ALWAYS] * 6 + [2_000_000, 3_000_000]),
)
TEXT = text_model(DATED)
DATED = TEXT.describe(DATED)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An untrained model, saved and loaded again, beside what it was made from."""
    tf.keras.utils.set_random_seed(7)
    catalogue, train = DATED, toy.sequences()
    towers = training.build(catalogue, train, TINY)
    next_batch = next(windows.Windows(train, 3).epoch(np.random.default_rng(0), 2))
    towers.compute_loss({name: tf.constant(column) for name, column in next_batch.items()})
    towers.candidate_tower.text_kernel.assign(tf.ones([2, 4]))
    linear = linear_factors.decompose(train, 8, rank=4, seed=0).factors(1.0, 0.3)
    folder = tmp_path_factory.mktemp("retrieval")
    candidates = towers.embed_all().numpy()
    candidates[toy.NEW_ITEM, -1] += 0.5
    is_new = catalogue.train_counts == 0
    _, new = towers.embed_candidates(tf.range(8))
    maps = linear.content_maps(new[:, :-1].numpy(), is_new)
    linear = linear.for_new_items(maps, new[:, :-1].numpy(), is_new)
    trained = Trained(towers, candidates, linear, maps, 0.5, TINY.max_linear_events)
    snapshot = Snapshot.of(trained, catalogue, train, TINY, WORDPIECE)
    retriever.Retriever(snapshot, catalogue).save(folder)
    return trained, tf.saved_model.load(str(folder))


@pytest.fixture(scope="module")
def reads(saved: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same, with its text model."""
    folder = tmp_path_factory.mktemp("reads")
    snapshot = Snapshot.of(saved[0], DATED, toy.sequences(), TINY, WORDPIECE)
    retriever.Retriever(snapshot, DATED, TEXT).save(folder)
    return tf.saved_model.load(str(folder))


def _call(
    loaded: Any,
    signature: Any = "retrieve",
    k: Any = 3,
    histories: Any = ((),),
    query: Any = (),
    queries: Any = None,
    filters: Any = None,
    now: Any = 0,
    **features: Any,
) -> Any:
    call = loaded.signatures[signature]
    specs = {
        name: requests.TensorSpec(
            np.object_ if spec.dtype == tf.string else spec.dtype.as_numpy_dtype,
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in call.structured_input_signature[1].items()
    }
    asked = [
        requests.Request(
            "u",
            [requests.Event(item, 4.0, "view", 1_000_000) for item in history],
            features,
            now,
            own_query,
            filters or {},
        )
        for history, own_query in zip(histories, queries or [query] * len(histories), strict=True)
    ]
    inputs = requests.batch_inputs(asked, specs)
    if "k" in specs:
        inputs["k"] = np.full(len(asked), k, np.int32)
    outputs = call(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def test_scores_are_those_of_the_trained_models(saved: Any) -> None:
    trained, loaded = saved
    split = dataclasses.replace(
        toy.sequences(num_users=4, num_targets=1, num_history=2, seed=5),
        event_numeric={"value": np.full(12, 4.0, np.float32)},
        event_categorical={"event_type": np.full(12, 2, np.int32)},
        timestamp=np.full(12, 1_000_000),
        numeric={"age": np.full((4, 1), np.nan, np.float32)},
        categorical={"gender": np.zeros((4, 1), np.int32)},
    )
    made = windows.Windows(split, 3)
    histories = made.histories(made.targets)
    expected = trained.scores(made, made.targets)
    found = _call(loaded, k=99, histories=[[f"item-{i}" for i in rows] for rows in histories])
    for row, history in enumerate(histories):
        rows = [int(item.decode().removeprefix("item-")) for item in found["item_ids"][row] if item]
        assert sorted(rows) == sorted(set(range(1, 8)) - set(history.tolist()))
        np.testing.assert_allclose(found["scores"][row, : len(rows)], expected[row, rows], atol=1e-5)
        assert (np.diff(found["scores"][row]) <= 0).all()


def test_places_that_cannot_be_filled_are_marked(saved: Any) -> None:
    found = _call(saved[1], k=1000, histories=[["item-1", "item-2"]])
    assert found["item_ids"].shape == (1, 7)
    assert found["item_ids"][0, 5:].tolist() == [b"", b""] == found["titles"][0, 5:].tolist()
    assert (found["scores"][0, 5:] == np.finfo(np.float32).min).all()


@pytest.mark.parametrize("histories", [[[]], [["zz", ""]], [["item-1"] * 400], [["", "item-2", "片"], []]])
def test_any_history_is_answered(saved: Any, histories: Any) -> None:
    found = _call(saved[1], histories=histories)
    assert np.isfinite(found["scores"]).all()
    for row, history in zip(found["item_ids"], histories, strict=True):
        assert not set(history) & {item.decode() for item in row}
        assert len(set(row)) == 3


def test_unknown_ids_and_padding_change_nothing(saved: Any) -> None:
    plain = _call(saved[1], histories=[["item-1", "item-5"]])
    padded = _call(saved[1], histories=[["", "item-1", "zz", "item-5", ""]])
    np.testing.assert_allclose(plain["scores"], padded["scores"], atol=1e-6)


def test_the_order_of_the_history_counts(saved: Any) -> None:
    forth, back = (_call(saved[1], histories=[h])["scores"] for h in (["item-1", "item-5"], ["item-5", "item-1"]))
    assert np.abs(forth - back).max() > 1e-6


def test_user_features_count_and_unknown_ones_are_served(saved: Any) -> None:
    women, men, unknown = (_call(saved[1], gender=g, age=30.0)["scores"] for g in ("f", "m", "片"))
    assert np.abs(women - men).max() > 1e-6
    assert np.isfinite(unknown).all()


def test_titles_belong_to_the_items(saved: Any) -> None:
    found = _call(saved[1], k=7)
    titles = dict(zip(toy.catalogue().item_ids, toy.catalogue().titles, strict=True))
    assert [titles[item] for item in found["item_ids"][0]] == found["titles"][0].tolist()


def test_similar_items_leave_out_the_item_itself(saved: Any) -> None:
    call = saved[1].signatures["similar_items"]
    found = call(item_ids=tf.constant(["item-4", "zz"]), k=tf.constant([2, 6]))
    assert found["item_ids"].shape == (2, 6)
    assert b"item-4" not in found["item_ids"].numpy()[0]
    assert set(found["item_ids"].numpy()[1]) == {b""}


def _items(found: Any, row: Any = 0) -> Any:
    return [int(item.decode().removeprefix("item-")) for item in found["item_ids"][row] if item]


@pytest.mark.parametrize(
    ("filters", "passing"),
    [
        ({"categories": ["a"]}, {1, 2, 3}),
        ({"categories": ["b", "a"], "language": ["zh"]}, {2, 4, 6}),
        ({"categories": ["a"], "language": ["en", "zh"]}, {1, 2, 3}),
        ({"categories": []}, {1, 2, 3, 4, 5, 6, 7}),
        ({"categories": ["b", "nothing has it"]}, {4, 5, 6, 7}),
    ],
)
def test_filters_hold(saved: Any, filters: Any, passing: Any) -> None:
    everything = _call(saved[1], k=7)
    found = _call(saved[1], k=7, filters=filters)
    assert set(_items(found)) == passing
    assert _items(found) == [item for item in _items(everything) if item in passing]


def test_filters_are_each_querys_own(saved: Any) -> None:
    call = saved[1].signatures["retrieve"]
    plain = {
        name: tf.zeros([2] + [1] * (len(spec.shape) - 1), spec.dtype)
        if spec.dtype != tf.string
        else tf.fill([2] + [1] * (len(spec.shape) - 1), "")
        for name, spec in call.structured_input_signature[1].items()
    }
    found = call(**plain | {"filter_language": tf.constant([[""], ["en"]]), "k": tf.constant([7, 7])})
    found = {name: value.numpy() for name, value in found.items()}
    assert len(_items(found)) == 7 and set(_items(found, 1)) == {1, 3, 5, 7}


@pytest.mark.parametrize("filters", [{"categories": ["nothing has it"]}, {"categories": ["a"], "language": ["片"]}])
def test_nothing_left_after_filters_is_an_empty_list(saved: Any, filters: Any) -> None:
    found = _call(saved[1], k=4, filters=filters)
    assert set(found["item_ids"][0]) == {b""} == set(found["titles"][0])
    assert (found["scores"] == np.finfo(np.float32).min).all()


def test_a_filter_that_the_model_does_not_know_is_refused(saved: Any) -> None:
    with pytest.raises(ValueError, match="has no filter colour; it has categories, language"):
        _call(saved[1], filters={"colour": ["red"]})


@pytest.mark.parametrize(("now", "missing"), [(0, set()), (1_999_999, {6, 7}), (2_000_000, {7}), (3_000_000, set())])
@pytest.mark.parametrize("filters", [{}, {"language": ["en", "zh"]}])
def test_what_is_not_available_yet_is_not_found(saved: Any, now: Any, missing: Any, filters: Any) -> None:
    assert set(_items(_call(saved[1], k=7, now=now, filters=filters))) == set(range(1, 8)) - missing


@pytest.mark.parametrize("signature", ["retrieve", "embed_query"])
def test_milliseconds_ask_what_seconds_ask(saved: Any, signature: Any) -> None:
    expected, found = (_call(saved[1], signature, 7, [["item-1"]], now=1_700_000_000 * unit) for unit in (1, 1000))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_query_brings_up_the_items_with_its_words(saved: Any) -> None:
    # Token 7, "cup": items 3 and 6. Token 9: item 7 alone.
    assert set(_items(_call(saved[1], query=[7]))[:2]) == {3, 6}
    assert _items(_call(saved[1], query=[9]))[0] == 7
    assert _items(_call(saved[1], query=[8, 7]))[0] == 6  # The only item with both.


def test_a_query_keeps_what_the_history_says(saved: Any) -> None:
    plain, asked = (_call(saved[1], k=7, histories=[["item-5"]], query=query) for query in ((), (7,)))
    others = [item for item in _items(plain) if item not in (3, 6)]
    assert _items(asked) == [item for item in _items(plain) if item in (3, 6)] + others


def test_what_a_query_means_is_added_in_nats(saved: Any, reads: Any) -> None:
    by_words, loaded = saved[1], reads
    meaning = Meaning(TEXT, DATED.text_vectors)
    unasked = _call(by_words, k=7)
    plain = dict(zip(_items(unasked), unasked["scores"][0], strict=True))
    for query in ([7], [8, 7], [3], []):
        before, after = (
            dict(zip(_items(found), found["scores"][0], strict=False))
            for found in (_call(model, k=7, query=query) for model in (by_words, loaded))
        )
        affinity = np.asarray(meaning.affinity(meaning.read(tf.constant([[*query, 0]], tf.int32))[0]))
        assert affinity.any() == (query not in ([], [3])), "special tokens ask for nothing"
        rows = np.arange(8)
        unasked, by_word = (np.array([0, *(found[row] for row in rows[1:])]) for found in (plain, before))
        share = (by_word - unasked) / (text_match.WEIGHT * unasked.std())
        # Unknown rows' score is 0, as the padding's.
        expected = unasked + affinity + text_match.lift(*(x.astype(np.float32) for x in (share, unasked, affinity)))
        np.testing.assert_allclose([after[row] for row in rows[1:]], expected[1:], rtol=1e-3, atol=1e-3)
        assert _call(loaded, query=query)["source"][0] == (b"query" if affinity.any() else b"popular")
    batch = _call(loaded, k=7, histories=((), ()), queries=([7], []))
    np.testing.assert_allclose(batch["scores"][1], _call(by_words, k=7)["scores"][0], rtol=1e-6)


@pytest.mark.parametrize("query", [(), (0,), (1, 4), (0, 0, 0)])
def test_a_query_of_no_words_changes_nothing(saved: Any, query: Any) -> None:
    np.testing.assert_array_equal(_call(saved[1])["scores"], _call(saved[1], query=query)["scores"])


def test_words_that_no_item_has_change_no_order(saved: Any) -> None:
    assert _items(_call(saved[1], query=[10_000, -3])) == _items(_call(saved[1]))


def test_the_source_says_what_was_known(saved: Any) -> None:
    histories = [["item-1"], [], ["zz"]]
    assert _call(saved[1], histories=histories)["source"].tolist() == [b"history", b"popular", b"popular"]
    with_features = _call(saved[1], histories=histories, gender="f")
    assert with_features["source"].tolist() == [b"history", b"features", b"features"]
    asked = _call(saved[1], histories=histories[:2], query=[5])
    assert asked["source"].tolist() == [b"history+query", b"query"]
    assert _call(saved[1], query=[5], age=9.0)["source"].tolist() == [b"features+query"]
    assert _call(saved[1], query=[10_000])["source"].tolist() == [b"popular"]  # No item has such a word.


def test_a_candidate_is_embedded_as_the_catalogue_embeds_an_item_that_nobody_had(saved: Any, reads: Any) -> None:
    trained, by_words = saved
    row = toy.NEW_ITEM
    inputs = {
        "item_token_ids": tf.constant(DATED.token_ids[[row, row]]),
        "item_categories": tf.constant(["b", "never heard of"]),
        "item_language": tf.constant(["en", "en"]),
        "item_price": tf.constant([13.0, np.nan]),
    }
    found, unread = (
        model.signatures["embed_candidate"](**inputs)["embedding"].numpy() for model in (reads, by_words)
    )
    expected = np.concatenate([trained.candidates[row], trained.linear.decode[row]])
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    assert np.abs(unread[0] - expected).max() > 0.1, "without the text model, it does not know what it means"
    assert np.abs(found[1] - found[0]).max() > 1e-4 and np.isfinite(found).all()


def test_a_candidates_embedding_gives_the_score_that_retrieve_gives(reads: Any) -> None:
    histories = [["item-2", "item-4"]]
    found = _call(reads, k=7, histories=histories)
    query = _call(reads, "embed_query", histories=histories)["embedding"]
    item = reads.signatures["embed_candidate"](
        item_token_ids=tf.constant(DATED.token_ids[[7]]),
        item_categories=tf.constant(["b"]),
        item_language=tf.constant(["en"]),
        item_price=tf.constant([13.0]),
    )["embedding"].numpy()
    score = found["scores"][0, found["item_ids"][0].tolist().index(b"item-7")]
    np.testing.assert_allclose(query @ item.T, [[score]], atol=1e-5)


def test_given_candidates_get_the_scores_that_retrieve_gives(saved: Any) -> None:
    histories = [["item-2", "item-4"], []]
    found = _call(saved[1], k=7, histories=histories)
    call = saved[1].signatures["score"]
    described = {name: spec for name, spec in call.structured_input_signature[1].items() if name != "candidates"}
    asked = [requests.Request("u", [requests.Event(i, 4.0, "view", 1_000_000) for i in h]) for h in histories]
    specs = {
        name: requests.TensorSpec(
            np.object_ if spec.dtype == tf.string else spec.dtype.as_numpy_dtype,
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in described.items()
    }
    inputs = {name: tf.constant(value) for name, value in requests.batch_inputs(asked, specs).items()}
    candidates = found["item_ids"][:, ::-1]
    scores = call(**inputs, candidates=tf.constant(np.concatenate([candidates, [[b"?"]] * 2], 1).tolist()))["scores"]
    is_item = candidates != b""
    assert is_item.sum() > 8
    np.testing.assert_allclose(scores.numpy()[:, :-1][is_item], found["scores"][:, ::-1][is_item], atol=1e-5)
    assert scores.numpy()[:, -1].tolist() == [np.finfo(np.float32).min] * 2


def test_the_vocabulary_of_queries_comes_with_the_model(saved: Any) -> None:
    path = pathlib.Path(saved[1].vocabulary_file.asset_path.numpy().decode())
    assert path.name == "vocab.txt"
    assert path.read_text(encoding="utf-8").split("\n")[:-1] == WORDPIECE


@pytest.mark.parametrize("histories", [[["item-1"] * 10_000], [[f"item-{i % 5}" for i in range(10_000)]]])
def test_a_long_history_is_answered(saved: Any, histories: Any) -> None:
    found = _call(saved[1], k=1000, histories=histories)
    assert set(_items(found)).isdisjoint({int(item.removeprefix("item-")) for item in histories[0]})


def test_a_partitioned_index_answers_alike(saved: Any, tmp_path: pathlib.Path) -> None:
    trained, exact = saved
    config = dataclasses.replace(TINY, index="partitioned")
    snapshot = Snapshot.of(trained, DATED, toy.sequences(), config, WORDPIECE)
    retriever.Retriever(snapshot, DATED).save(tmp_path)
    saved_model = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved_model.meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert ops <= STOCK_OPS, f"not on the list of stock ops: {sorted(ops - STOCK_OPS)}"
    loaded = tf.saved_model.load(str(tmp_path))
    for asked in ({}, {"filters": {"categories": ["b"]}}, {"query": [7]}, {"now": 2_500_000}):
        for histories in ([[]], [["item-2", "item-1"], ["zz"]]):
            ours, theirs = (_call(model, k=7, histories=histories, **asked) for model in (loaded, exact))
            np.testing.assert_allclose(ours["scores"], theirs["scores"], rtol=1e-5, atol=1e-5)
            for row in range(len(histories)):  # Equal scores may come in any order.
                scored = [
                    dict(zip(found["item_ids"][row], found["scores"][row], strict=True)) for found in (ours, theirs)
                ]
                assert scored[0] == pytest.approx(scored[1], rel=1e-5, abs=1e-5)
    ids, k = tf.constant(["item-4", "zz"]), tf.constant([3, 3])
    similar = [model.signatures["similar_items"](item_ids=ids, k=k)["scores"] for model in (loaded, exact)]
    np.testing.assert_allclose(*similar, rtol=1e-5)


@pytest.mark.parametrize("index", ["exact", "partitioned"])
def test_an_item_that_nobody_may_be_shown_is_in_no_list(saved: Any, tmp_path: pathlib.Path, index: str) -> None:
    """Whatever is asked for, and when; who names it gets its score."""
    trained, plain = saved
    denied = dataclasses.replace(DATED, available_from=np.where(np.arange(8) == 5, NEVER, DATED.available_from))
    snapshot = Snapshot.of(trained, denied, toy.sequences(), dataclasses.replace(TINY, index=index), WORDPIECE)
    retriever.Retriever(snapshot, denied).save(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    graph = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert ops <= STOCK_OPS, f"not on the list of stock ops: {sorted(ops - STOCK_OPS)}"
    for asked in ({}, {"filters": {"categories": ["b"]}}, {"query": [7]}, {"now": 2_500_000}, {"now": 2**40}):
        before, now = (set(_items(_call(model, k=7, **asked))) for model in (plain, loaded))
        assert 5 in before and now == before - {5}, asked
    similar = loaded.signatures["similar_items"](item_ids=tf.constant(["item-4"]), k=tf.constant([7]))
    assert sorted(_items({"item_ids": similar["item_ids"].numpy()})) == [1, 2, 3, 6, 7]


def test_a_query_beside_it_does_not_widen_a_search(saved: Any, tmp_path: pathlib.Path) -> None:
    trained, _ = saved
    config = dataclasses.replace(TINY, index="partitioned")
    model = retriever.Retriever(Snapshot.of(trained, DATED, toy.sequences(), config, WORDPIECE), DATED)
    model._index._num_probes.assign(1)  # Of several partitions: what is in the others is not found.
    model.save(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    alone = _call(loaded, k=7)
    assert "" in alone["item_ids"][0].astype(str)
    asking = _call(loaded, k=7, query=[7])
    assert "" not in asking["item_ids"][0, :6].astype(str)
    both = _call(loaded, k=7, histories=((), ()), queries=[(), [7]])
    for row, own in enumerate((alone, asking)):
        np.testing.assert_array_equal(both["item_ids"][row], own["item_ids"][0])
        np.testing.assert_allclose(both["scores"][row], own["scores"][0], rtol=1e-6)


def test_a_query_is_read_up_to_its_limit(saved: Any) -> None:
    _, loaded = saved
    cut = _call(loaded, query=[7] * 32)
    np.testing.assert_array_equal(_call(loaded, query=[7] * 32 + [8] * 1000)["scores"], cut["scores"])


def test_similar_items_are_the_nearest_by_angle(saved: Any) -> None:
    trained, loaded = saved
    towers = trained.candidates[:, :4]  # Neither biases nor the linear model.
    towers = towers / np.linalg.norm(towers, axis=1, keepdims=True).clip(1e-6)
    found = loaded.signatures["similar_items"](item_ids=tf.constant(["item-4"]), k=tf.constant([6]))
    cosines = towers @ towers[4]
    order = [row for row in np.argsort(-cosines) if row not in (0, 4)]
    assert found["item_ids"].numpy()[0].tolist() == [f"item-{row}".encode() for row in order]
    np.testing.assert_allclose(found["scores"].numpy()[0], cosines[order], rtol=1e-5, atol=1e-6)


def test_a_querys_words_lift_by_the_deviation_of_the_scores(saved: Any) -> None:
    plain = _call(saved[1], k=7, histories=[["item-5"]])
    asked = _call(saved[1], k=7, histories=[["item-5"]], query=[8, 7])
    match = text_match.TextMatch(DATED.token_ids, range(5))
    shares = match.shares(match.read(tf.constant([[8, 7]]))[0]).numpy()
    trained = saved[0]
    query = _call(saved[1], "embed_query", histories=[["item-5"]])["embedding"]
    table = np.concatenate([trained.candidates, trained.linear.decode], axis=1)
    table[0] = 0
    lift = text_match.WEIGHT * (query @ table.T).std() * shares
    before, after = (dict(zip(found["item_ids"][0], found["scores"][0], strict=True)) for found in (plain, asked))
    for row in (1, 2, 3, 4, 6, 7):
        item = f"item-{row}".encode()
        assert after[item] == pytest.approx(before[item] + lift[row], rel=1e-4, abs=1e-4)


def test_the_last_events_alone_are_read(saved: Any) -> None:
    """The towers read 3, the linear model 5: what was before changes nothing but what can be found."""
    histories = [["item-6", *(f"item-{row}" for row in (5, 1, 4, 2, 3))], [f"item-{row}" for row in (5, 1, 4, 2, 3)]]
    long, short = (_call(saved[1], "embed_query", histories=[history])["embedding"] for history in histories)
    np.testing.assert_allclose(long, short, rtol=1e-5, atol=1e-6)
    other = _call(saved[1], "embed_query", histories=[histories[1][1:]])["embedding"]
    np.testing.assert_allclose(other[:, :5], short[:, :5], rtol=1e-5, atol=1e-6)
    assert np.abs(other[:, 5:] - short[:, 5:]).max() > 1e-4


def test_the_linear_part_of_a_query_is_the_trained_models(saved: Any) -> None:
    trained, loaded = saved
    rows = [5, 1, 1, 4, 2, 3, 2]
    embedding = _call(loaded, "embed_query", histories=[[f"item-{row}" for row in rows]])["embedding"]
    expected = trained.linear.queries([np.array(rows[-TINY.max_linear_events :])])
    np.testing.assert_allclose(embedding[:, 5:], expected, rtol=1e-5, atol=1e-6)
