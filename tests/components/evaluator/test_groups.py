import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator.groups import guarded_users, items, readers
from homefeed.components.evaluator.queries import make_queries
from tests.toy_data import toy_catalogue, toy_sequences

DAY = 86_400


def test_numbers_are_cut_where_training_users_are_thirds_and_values_are_groups() -> None:
    people, train = toy_sequences(4), toy_sequences(7)
    train.numeric["age"][:, 0] = [20, 21, 30, 31, 40, 41, np.nan]
    people.numeric["age"][:, 0] = [21, 22, np.nan, 99]
    people.categorical["gender"][:, 0] = [2, 1, 0, 3]  # F, a value that is not known, none, M.
    train.categorical["gender"][:, 0] = [2, 2, 2, 3, 3, 0, 1]
    found = guarded_users(dataclasses.replace(people, guards=("age", "gender")), train)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "age: up to 21": [0],
        "age: above 21, up to 31": [1],
        "age: above 31": [3],
        "gender: F": [0],
        "gender: M": [3],
    }
    assert guarded_users(people, train) == {}


def test_one_number_for_all_and_none_at_all_make_no_bands_of_nobody() -> None:
    people, train = dataclasses.replace(toy_sequences(3), guards=("age",)), toy_sequences(5)
    train.numeric["age"][:] = np.nan
    assert guarded_users(people, train) == {}


def test_the_most_frequent_values_alone_are_groups() -> None:
    people = dataclasses.replace(toy_sequences(5), guards=("gender",), vocabularies={"gender": ("a", "b", "c")})
    people.categorical["gender"][:, 0] = [4, 4, 3, 3, 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homefeed.components.evaluator.groups.MAX_VALUES", 2)
        assert list(guarded_users(people, people)) == ["gender: b", "gender: c"]


def test_readers_by_activity_language_and_script() -> None:
    sequences, catalogue = toy_sequences(2, num_history=0), toy_catalogue()
    catalogue.categorical["language"][:, 0] = [0, 2, 2, 3, 3, 3, 1, 1]
    catalogue.vocabularies["language"] = ("en", "zh")
    sequences.item_index[:] = [1, 2, 3, 4, 3, 1, 2]  # Users of three and of four events.
    tokens = np.zeros((7, 2), np.int32)
    tokens[[1, 4]] = [[2, 1], [1, 3]]
    sequences = dataclasses.replace(sequences, query_token_ids=tokens)
    queries = make_queries(sequences, 100)
    found = readers(queries, sequences, catalogue, ["[PAD]", "42", "lamp", "灯"])
    ends = {name: sorted(queries.ends[mask].tolist()) for name, mask in found.items()}
    assert ends == {
        "history of 0": [0, 3],
        "history of 1 to 4": [1, 2, 4, 5, 6],
        "mostly in en": [1, 2],
        "mostly in zh": [4, 5, 6],
        "query in CJK": [4],
        "query in LATIN": [1],
    }


def test_items_by_age_when_the_split_began_language_and_category() -> None:
    catalogue, train = toy_catalogue(), toy_sequences(2)
    train.item_index[:] = [1, 2, 3, 1, 4, 1, 1]
    train.timestamp[:] = np.array([1, 70, 95, 96, 97, 98, 99]) * DAY
    sequences = dataclasses.replace(toy_sequences(1), timestamp=np.array([101, 100, 102]) * DAY)
    found = items(sequences, train, catalogue)
    ages = {name: np.flatnonzero(found[name]).tolist() for name in found if "old" in name or "there" in name}
    assert ages == {
        "not there in training": [5, 6, 7],
        "0 to 7 days old": [3, 4],
        "7 to 30 days old": [2],
        "older": [1],
    }
    assert np.array_equal(found["in en"], (catalogue.categorical["language"] == 2).any(axis=1))
    assert np.array_equal(found["category: crime"], (catalogue.categorical["categories"] == 3).any(axis=1))
    # What is said of an item counts, not when somebody came to it.
    said = np.full(8, np.iinfo(np.int64).min)
    said[1] = 99 * DAY
    found = items(sequences, train, dataclasses.replace(catalogue, available_from=said))
    assert np.flatnonzero(found["0 to 7 days old"]).tolist() == [1, 3, 4] and "older" not in found
