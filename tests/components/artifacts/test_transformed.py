import dataclasses
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import SPLITS, ArtifactError, Examples, TransformGraph
from tests.toy_data import toy_catalogue, toy_sequences


def assert_equal(left: object, right: object) -> None:
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if field.name in ("inputs", "time_zone", "guards"):
            assert a == b
        elif isinstance(a, dict):
            assert a.keys() == b.keys(), field.name
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=f"{field.name}.{name}")
        elif a is None or b is None:
            assert a is b, field.name
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)
            assert a.dtype == b.dtype, field.name


def test_catalogue_round_trip(tmp_path: pathlib.Path) -> None:
    transformed.save_catalogue(TransformGraph(tmp_path), toy_catalogue())
    assert_equal(transformed.load_catalogue(TransformGraph(tmp_path)), toy_catalogue())


def test_equal_catalogues_give_equal_bytes(tmp_path: pathlib.Path) -> None:
    graphs = [TransformGraph(tmp_path / name) for name in "ab"]
    for graph in graphs:
        transformed.save_catalogue(graph, toy_catalogue())
    assert graphs[0].digest() == graphs[1].digest()


def test_queries_round_trip(tmp_path: pathlib.Path) -> None:
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    sequences = toy_sequences(num_history=2)
    tokens = np.arange(3 * len(sequences.item_index), dtype=np.int32).reshape(-1, 3)
    sequences = dataclasses.replace(sequences, query_token_ids=tokens, guards=("gender", "age"))
    transformed.save_request(graph, vars(sequences))
    transformed.save_sequences(examples, "train", sequences)
    loaded = transformed.load_sequences(graph, examples, "train")
    assert_equal(loaded, sequences)
    assert loaded.guards == ("gender", "age")


def test_the_newest_of_each_user_is_of_the_latest_split_without_queries(tmp_path: pathlib.Path) -> None:
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    for split, num_users, num_history in (("train", 4, 0), ("eval", 3, 1), ("test", 1, 2)):
        sequences = toy_sequences(num_users, num_history=num_history)
        tokens = np.ones((len(sequences.item_index), 2), np.int32)
        transformed.save_sequences(examples, split, dataclasses.replace(sequences, query_token_ids=tokens))
    transformed.save_request(graph, vars(sequences))
    newest = transformed.load_newest(graph, {split: examples.split_files(split) for split in SPLITS})
    assert newest.user_ids.tolist() == [b"u0", b"u1", b"u2", b"u3"] and newest.query_token_ids is None
    assert newest.num_history.tolist() == [2, 1, 1, 0]  # Of test, of eval twice, of train.
    of_train = toy_sequences(4)
    assert (
        newest.item_index[newest.row_splits[3] :].tolist() == of_train.item_index[of_train.row_splits[3] :].tolist()
    )


def test_wordpiece_round_trip_keeps_ids(tmp_path: pathlib.Path) -> None:
    tokens = ["[PAD]", "咖", "##啡", "a"]
    transformed.save_wordpiece(TransformGraph(tmp_path), tokens)
    assert transformed.load_wordpiece(TransformGraph(tmp_path)) == tokens


@pytest.mark.parametrize("num_users", [5, 1, 0])
def test_sequences_round_trip(num_users: int, tmp_path: pathlib.Path) -> None:
    sequences = toy_sequences(num_users)
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    transformed.save_request(graph, vars(sequences))
    transformed.save_sequences(examples, "train", sequences)
    loaded = transformed.load_sequences(graph, examples, "train")
    if num_users:
        assert_equal(loaded, sequences)
    assert loaded.num_users == num_users
    assert loaded.targets.tolist() == sequences.targets.tolist()


def test_an_unknown_split_is_named_with_those_that_exist(tmp_path: pathlib.Path) -> None:
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    transformed.save_sequences(examples, "train", toy_sequences(2))
    with pytest.raises(ArtifactError, match=r"No split .validation. in .*Splits there: train"):
        transformed.load_sequences(graph, examples, "validation")


def test_training_data_is_what_trainers_read_and_nothing_of_the_test_split(tmp_path: pathlib.Path) -> None:
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    train, evaluation = toy_sequences(4), toy_sequences(2, num_history=1)
    transformed.save_catalogue(graph, toy_catalogue())
    transformed.save_wordpiece(graph, ["[PAD]", "a"])
    transformed.save_request(graph, vars(train))
    transformed.save_sequences(examples, "train", train)
    transformed.save_sequences(examples, "eval", evaluation)  # There is no test split at all.
    data = transformed.load_training_data(graph, examples)
    assert_equal(data.catalogue, toy_catalogue())
    assert_equal(data.train, train)
    assert_equal(data.evaluation, evaluation)
    assert data.wordpiece == ["[PAD]", "a"]


def test_whose_bert_it_is_comes_back(tmp_path: pathlib.Path) -> None:
    for preset in ("", "bert_tiny_en_uncased", "/models/小"):
        transformed.save_bert_preset(TransformGraph(tmp_path), preset)
        assert transformed.load_bert_preset(TransformGraph(tmp_path)) == preset


def test_a_small_catalogue_and_of_items_with_a_date(tmp_path: pathlib.Path) -> None:
    small = toy_catalogue(2)
    dated = dataclasses.replace(toy_catalogue(), available_from=np.arange(8, dtype=np.int64) * 86_400)
    for name, catalogue in (("small", small), ("dated", dated)):
        transformed.save_catalogue(TransformGraph(tmp_path / name), catalogue)
        assert_equal(transformed.load_catalogue(TransformGraph(tmp_path / name)), catalogue)


def test_the_first_objective_stays_the_default(tmp_path: pathlib.Path) -> None:
    graph = TransformGraph(tmp_path)
    objectives = {"likes": {"like": 1.0}, "interactions": {}, "declared": {"buy": "price", "dislike": -3.0}}
    transformed.save_request(graph, vars(dataclasses.replace(toy_sequences(), objectives=objectives)))
    found = transformed.load_request(graph)["objectives"]
    assert list(found.items()) == list(objectives.items())
