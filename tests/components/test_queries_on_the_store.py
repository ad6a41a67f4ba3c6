"""What a search does to the order of a whole catalogue, in the simulated store, where what was hidden is known."""

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import ranking
from homefeed.components import ranking_trainer
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.behaviour_text import wordpiece
from homefeed.pipeline.datasets.sample import rows
from homefeed.pipeline.datasets.sample.words import CATEGORIES, STYLES

STORE = {"num_users": 100, "num_items": 120, "num_events": 3_000}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ranking.Bench:
    folder = tmp_path_factory.mktemp("store")
    patch = pytest.MonkeyPatch()
    patch.setattr(ranking, "QUICK_STORE", STORE)
    patch.setattr(rows, "SYNONYM_FRACTION", 0.5)  # So that few searches teach them.
    found = ranking.prepare("store", None, "temporal", folder, quick=True)
    patch.undo()
    return found


@pytest.fixture(scope="module")
def trained(bench: ranking.Bench) -> tuple[PretrainedBert, Model]:
    """The text model and retrieval."""
    bert, _ = ranking.pretrain(bench, 0)
    return bert, ranking.train_retrieval(bench, 0, bert)


@pytest.fixture(scope="module")
def model(bench: ranking.Bench, trained: tuple[PretrainedBert, Model]) -> Any:
    inputs = ranking_trainer.Inputs(bench.graph, bench.examples, *trained)
    outputs = ranking_trainer.Outputs(Model(bench.folder / "ranking"), ModelRun(bench.folder / "ranking_run"))
    config = ranking_trainer.Config(epochs=1, points_per_user=1)
    ranking_trainer.run(inputs, outputs, config)
    return tf.saved_model.load(str(outputs.model.serving_dir))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_query_moves_matching_items_up(bench: ranking.Bench, model: Any, language: str) -> None:
    truth = json.loads((bench.folder / "data" / "truth.json").read_text(encoding="utf-8"))["items"]
    item_ids, spoken = np.array(truth["item_id"]), ("en", "zh").index(language)
    plain = _places(model, item_ids, np.zeros((1, 1), np.int32))
    before, after = [], []
    for category, names in enumerate(CATEGORIES):
        for style, words in enumerate(STYLES):
            matching = np.flatnonzero(
                (np.array(truth["category"]) == category)
                & (np.array(truth["style"]) == style)
                & (np.array(truth["language"]) == spoken)
            )
            query = (" " if language == "en" else "").join((words[spoken][0], names.names[spoken]))
            places = _places(model, item_ids, wordpiece.tokenize([query], bench.vocabulary, 8))
            before += plain[matching].tolist()
            after += places[matching].tolist()
    assert len(after) > 40
    assert np.mean(before) > len(item_ids) / 3, "without a query they are anywhere"
    assert np.mean(after) < 0.1 * len(item_ids), "with one they are among the first tenth"


def _places(model: Any, item_ids: Any, query: Any) -> Any:
    """[num_items] each item's place in the order for somebody of whom nothing else is known."""
    rank = model.signatures["rank"]
    given = {
        "candidates": tf.constant([item_ids.tolist()]),
        "retrieval_scores": tf.zeros([1, len(item_ids)]),
        "query_token_ids": tf.constant(query, tf.int32),
    }
    for name, spec in rank.structured_input_signature[1].items():
        shape = [1 if size is None else size for size in spec.shape]
        given.setdefault(name, tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype))
    scores = rank(**given)["scores"].numpy()[0]
    return np.argsort(np.argsort(-scores, kind="stable"), kind="stable")


@pytest.mark.parametrize("language", [0, 1])
def test_words_that_no_item_has_retrieve_what_they_mean(
    bench: ranking.Bench, trained: tuple[PretrainedBert, Model], language: int
) -> None:
    """Shoppers type them before they pick, and that is all there is to learn from."""
    truth = json.loads((bench.folder / "data" / "truth.json").read_text(encoding="utf-8"))["items"]
    asked = np.array([(style, category) for style in range(len(STYLES)) for category in range(len(CATEGORIES))])
    queries = [rows.synonym(style, category, language) for style, category in asked]
    model = tf.saved_model.load(str(trained[1].serving_dir))
    pages = _first(model.signatures["retrieve"], wordpiece.tokenize(queries, bench.vocabulary, 8))
    row_of = {item_id.encode(): row for row, item_id in enumerate(truth["item_id"])}
    found = np.array([[row_of[item_id] for item_id in page] for page in pages])
    for column, meant, by_chance in (("style", asked[:, :1], 1 / 6), ("category", asked[:, 1:], 1 / 8)):
        assert (np.array(truth[column])[found] == meant).mean() > 2 * by_chance


def _first(retrieve: Any, queries: Any) -> Any:
    """[num_queries, 5] the first items for somebody of whom nothing else is known."""
    given = {"query_token_ids": tf.constant(queries, tf.int32), "k": tf.fill([len(queries)], 5)}
    for name, spec in retrieve.structured_input_signature[1].items():
        shape = [len(queries), *(1 if size is None else size for size in spec.shape[1:])]
        given.setdefault(name, tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype))
    return retrieve(**given)["item_ids"].numpy()
