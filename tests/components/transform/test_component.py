import dataclasses
import pathlib

import numpy as np
import pytest

from homefeed.components import example_gen, transform
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import SPLITS, DatasetDir, Examples, TransformGraph
from homefeed.models.catalogue import ALWAYS, NEVER
from tests.components.ingested import events, ingest, write_dataset

DESCRIPTION = """\
name: tiny
positive: {event_types: [buy]}
interactions: {path: interactions.csv}
items: {path: items.csv, features: {price: {kind: number}}}
users: {path: users.csv, features: {country: {kind: category}}}
"""
ITEMS = "item_id,title,categories,price\nA,Apple,fruit,1\nB,Bread,,2\nC,茶,drink,\n"
USERS = "user_id,country\nu1,DE\nu2,CN\nu3,FR\n"
COLUMNS = "user_id,item_id,timestamp,event_type,query"
# Cuts are at 80% and 90% of ten events: 0 to 7 train, 8 is for eval, 9 for test.
LOG = [
    ("u1", "A", 0, "view", "red apple"),
    ("u1", "A", 1, "buy", ""),
    ("u1", "gone", 2, "view", ""),
    ("u1", "B", 3, "view", ""),
    ("u2", "A", 4, "view", ""),
    ("u2", "C", 5, "buy", ""),
    ("u2", "B", 6, "view", ""),
    ("u1", "C", 7, "view", ""),
    ("u3", "C", 8, "share", "winter"),
    ("u1", "A", 9, "buy", "winter"),
]


def run(
    data: pathlib.Path,
    out: pathlib.Path,
    config: transform.Config = transform.Config(),  # noqa: B008
) -> tuple[transform.Outputs, str]:
    found: example_gen.Outputs = ingest(data, out)
    outputs = transform.Outputs(TransformGraph(out / "graph"), Examples(out / "examples"))
    inputs = transform.Inputs(DatasetDir(data), found.interactions, found.items, found.users, found.exposures)
    return outputs, transform.run(inputs, outputs, config)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("shop")
    return write_dataset(folder, events(LOG, COLUMNS), ITEMS, USERS, DESCRIPTION)


@pytest.fixture(scope="module")
def outputs(shop: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[transform.Outputs, str]:
    return run(shop, tmp_path_factory.mktemp("transform"))


def test_the_catalogue_is_the_items_table_with_training_counts(outputs: tuple[transform.Outputs, str]) -> None:
    catalogue = transformed.load_catalogue(outputs[0].transform_graph)
    assert catalogue.item_ids.tolist() == [b"", b"A", b"B", b"C"]
    assert catalogue.train_counts.tolist() == [0, 3, 2, 2]  # Of the ten events those before the first cut.
    np.testing.assert_array_equal(catalogue.numeric["price"][1:, 0], np.float32([1, 2, np.nan]))
    assert catalogue.vocabularies["categories"] == ("drink", "fruit")


def test_a_split_has_its_users_with_all_that_came_before(outputs: tuple[transform.Outputs, str]) -> None:
    graph, examples = outputs[0].transform_graph, outputs[0].examples
    train, evaluation, test = (transformed.load_sequences(graph, examples, split) for split in SPLITS)
    assert train.user_ids.tolist() == [b"u1", b"u2"] and train.item_index.tolist() == [1, 1, 0, 2, 3, 1, 3, 2]
    assert evaluation.user_ids.tolist() == [b"u3"] and evaluation.num_history.tolist() == [0]
    assert test.user_ids.tolist() == [b"u1"] and test.num_history.tolist() == [5]
    assert test.item_index.tolist() == [1, 1, 0, 2, 3, 1] and test.targets.tolist() == [5]
    assert train.positive.tolist() == [False, True, False, False, False, False, True, False]


def test_what_only_others_have_is_unknown_to_training(outputs: tuple[transform.Outputs, str]) -> None:
    graph, examples = outputs[0].transform_graph, outputs[0].examples
    evaluation = transformed.load_sequences(graph, examples, "eval")
    assert evaluation.vocabularies["country"] == ("CN", "DE") and evaluation.categorical["country"].tolist() == [[1]]
    assert evaluation.event_vocabularies["event_type"] == ("view", "buy")
    assert evaluation.event_categorical["event_type"].tolist() == [1]  # Nobody shared in training.
    wordpiece = transformed.load_wordpiece(graph)
    assert {"red", "apple", "茶"} <= set(wordpiece) and not {"winter", "share", "fr"} & set(wordpiece)


def test_the_line_counts_items_words_and_events_on_unknown_items(outputs: tuple[transform.Outputs, str]) -> None:
    words = len(transformed.load_wordpiece(outputs[0].transform_graph))
    assert outputs[1] == f"3 items, {words:,} word pieces, 1 events on items outside the catalogue"


@pytest.mark.parametrize("learn_denied", [False, True])
def test_denied_items_are_never_available_and_no_targets_unless_that_is_asked_for(
    learn_denied: bool, tmp_path: pathlib.Path
) -> None:
    data = write_dataset(tmp_path / "data", events(LOG, COLUMNS), ITEMS, USERS, DESCRIPTION + "rules: rules.yaml\n")
    rules = "no-bread: {deny: {words: {file: words.txt}}}\nfor-some: {block: {categories: fruit}, strict: true}\n"
    (data / "rules.yaml").write_text(rules + "late: {hold: {item_id: C}, reviews: seen.jsonl}", encoding="utf-8")
    (data / "words.txt").write_text("bread\n")
    (data / "seen.jsonl").write_text('{"item_id": "C", "verdict": "accepted"}\n')
    found, said = run(data, tmp_path / "out", transform.Config(learn_denied=learn_denied))
    catalogue = transformed.load_catalogue(found.transform_graph)
    assert catalogue.available_from.tolist() == [ALWAYS, ALWAYS, NEVER, ALWAYS]
    assert catalogue.train_counts.tolist() == [0, 3, 2 if learn_denied else 0, 2]
    bread = 2 if learn_denied else 0
    train = transformed.load_sequences(found.transform_graph, found.examples, "train")
    assert train.item_index.tolist() == [1, 1, 0, bread, 3, 1, 3, bread]
    assert said.endswith("1 events on items outside the catalogue, 1 items denied (no-bread 1), with 2 events")
    assert DatasetDir(data).rules() == [data / name for name in ("rules.yaml", "seen.jsonl", "words.txt")]


def test_a_second_run_writes_the_same_bytes(
    shop: pathlib.Path, outputs: tuple[transform.Outputs, str], tmp_path: pathlib.Path
) -> None:
    again, _ = run(shop, tmp_path)
    for one, other in zip(vars(outputs[0]).values(), vars(again).values(), strict=True):
        assert one.digest() == other.digest()


def test_what_happens_after_the_cut_reaches_nothing_of_training(
    outputs: tuple[transform.Outputs, str], tmp_path: pathlib.Path
) -> None:
    later = [*LOG[:8], ("u2", "B", 8, "steal", "gold"), ("u3", "B", 9, "steal", "gold")]
    data = write_dataset(tmp_path / "data", events(later, COLUMNS), ITEMS, USERS, DESCRIPTION)
    changed, _ = run(data, tmp_path / "out")
    assert changed.transform_graph.digest() == outputs[0].transform_graph.digest()
    files = [examples.split_files("train")[0].read_bytes() for examples in (changed.examples, outputs[0].examples)]
    assert files[0] == files[1]


def test_limits_cut_texts_and_categories(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = transform.Config(item_tokens=2, query_tokens=1, max_categories=1, min_count=2)
    small, _ = run(shop, tmp_path, config)
    catalogue = transformed.load_catalogue(small.transform_graph)
    train = transformed.load_sequences(small.transform_graph, small.examples, "train")
    assert catalogue.token_ids.shape == (4, 2) and catalogue.categorical["categories"].shape == (4, 1)
    assert train.query_token_ids is not None
    assert train.query_token_ids.shape == (8, 1) and train.vocabularies["country"] == ()


def test_a_table_without_users_features_and_queries(tmp_path: pathlib.Path) -> None:
    bare = "name: bare\nmax_unmatched_fraction: 1\n" + "".join(
        f"{table}: {{path: {table}.csv}}\n" for table in ("interactions", "items", "users")
    )
    rows = [row[:3] for row in LOG]
    users = "user_id\nu1\n"
    data = write_dataset(tmp_path / "data", events(rows), "item_id,title\nA,Apple\n", users, bare)
    outputs, line = run(data, tmp_path / "out", dataclasses.replace(transform.Config(), wordpiece_size=100))
    train = transformed.load_sequences(outputs.transform_graph, outputs.examples, "train")
    assert train.query_token_ids is None and train.categorical == {} == train.numeric
    assert train.positive.all() and line.startswith("1 items, ")
