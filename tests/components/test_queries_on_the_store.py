"""What a search does to the order of a whole catalogue, in the simulated store, where what was hidden is known."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import ranking
from homefeed.components import ranking_trainer
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.behaviour_text import wordpiece
from homefeed.pipeline.datasets import sample
from homefeed.pipeline.datasets.sample.words import CATEGORIES, STYLES

STORE = {"num_users": 100, "num_items": 120, "num_events": 3_000}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ranking.Bench:
    folder = tmp_path_factory.mktemp("store")
    patch = pytest.MonkeyPatch()
    patch.setattr(ranking, "QUICK_STORE", STORE)
    write = sample.write_sample
    patch.setattr(sample, "write_sample", lambda out, **sizes: (write(out, **sizes), _without_synonyms(out)))
    found = ranking.prepare("store", None, "temporal", folder, quick=True)
    patch.undo()
    return found


def _without_synonyms(data: pathlib.Path) -> None:
    """What shoppers type for a style is in no item's text: there the style has its other name."""
    items = data / "items.csv"
    text = items.read_text(encoding="utf-8")
    for searched, written in (pair for style in STYLES for pair in style):
        for said, instead in ((searched, written), (searched.capitalize(), written.capitalize())):
            text = text.replace(said, instead)
    assert not any(name in text.lower() for style in STYLES for name, _ in style)
    items.write_text(text, encoding="utf-8")


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
    assert np.mean(before) > 0.4 * len(item_ids), "without a query they are anywhere"
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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_synonym_retrieves_what_it_means(
    bench: ranking.Bench, trained: tuple[PretrainedBert, Model], language: str
) -> None:
    """Shoppers type it before they pick, and that is all there is to learn from."""
    truth = json.loads((bench.folder / "data" / "truth.json").read_text(encoding="utf-8"))["items"]
    spoken = ("en", "zh").index(language)
    retrieve = tf.saved_model.load(str(trained[1].serving_dir)).signatures["retrieve"]
    row_of = {item_id.encode(): row for row, item_id in enumerate(truth["item_id"])}
    found = []
    for style, words in enumerate(STYLES):
        query = wordpiece.tokenize([words[spoken][0]], bench.vocabulary, 8)
        rows = [row_of[item_id] for item_id in _first(retrieve, query)]
        matching = (np.array(truth["style"]) == style) & (np.array(truth["language"]) == spoken)
        found.append(matching[rows].mean())
    assert np.mean(found) > 0.6, "of all items one in twelve matches"


def _first(retrieve: Any, query: Any) -> list[bytes]:
    """The first five items for somebody of whom nothing else is known."""
    given = {"query_token_ids": tf.constant(query, tf.int32), "k": tf.constant([5])}
    for name, spec in retrieve.structured_input_signature[1].items():
        shape = [1 if size is None else size for size in spec.shape]
        given.setdefault(name, tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype))
    return list(retrieve(**given)["item_ids"].numpy()[0])
