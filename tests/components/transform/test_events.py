from typing import Any

import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform.events import (
    Events,
    encode_events,
    join_splits,
    tokenize_queries,
    training_queries,
)
from homefeed.components.transform.text import learn_wordpiece
from homefeed.schemas.columns import Feature
from tests.components.ragged import numbers, strings
from tests.components.transform.log import make_events


def test_the_splits_of_a_user_stand_behind_each_other() -> None:
    events = make_events()
    assert events.user_ids.tolist() == [b"u1", b"u2", b"u3"]
    assert events.user.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert events.columns["timestamp"].tolist() == [12, 13, 37, 11, 24, 25, 26, 38]
    assert events.split.tolist() == [0, 0, 2, 0, 1, 1, 1, 2]
    assert events.in_train.tolist() == [True, True, False, True, False, False, False, False]
    assert events.columns["item_id"].tolist()[2] == b"new"
    assert set(events.columns) == {"item_id", "timestamp", "value"}


def test_a_split_without_anybody_is_left_out() -> None:
    train = example_io.record_batch(
        {
            "user_id": strings(["u"]),
            "item_id": strings(["A", "B"]),
            "timestamp": numbers(np.int64, [1, 2]),
        }
    )
    empty = example_io.record_batch({"user_id": strings()})
    events = join_splits({"train": [train], "eval": [empty], "test": []})
    assert events.split.tolist() == [0, 0] and events.user_ids.tolist() == [b"u"]
    assert events.columns["item_id"].tolist() == [b"A", b"B"]


STRINGS = ("item_id", "event_type", "device", "query")


def log(**columns: list[Any]) -> Events:
    """Events of one user, of which the last one is not for training."""
    count = len(next(iter(columns.values())))
    split = np.array([0] * (count - 1) + [2], np.int8)
    arrays = {name: Coded.of(values) if name in STRINGS else np.array(values) for name, values in columns.items()}
    return Events(np.zeros(count, np.int32), split, arrays, np.array([b"u"], object))


FEATURES = {
    "event_type": Feature(kind="category"),
    "device": Feature(kind="category", context=True),
    "paid": Feature(kind="number"),
    "rating": Feature(kind="number"),
}


def test_features_of_events_are_those_that_training_has_values_of() -> None:
    kinds = [b"view", b"buy", b"view", b"", b"share"]  # The last event is none of training.
    paid, rating = [1.5, np.nan, 2.5, 3.5, 4.5], [np.nan] * 4 + [9.0]
    events = log(event_type=kinds, paid=paid, rating=rating)
    found = encode_events(events, FEATURES, min_count=1)
    assert found.vocabularies == {"event_type": ("view", "buy")}  # "share" is never seen in training, nor any device.
    assert found.categorical["event_type"].tolist() == [2, 3, 2, 0, 1]  # 0: none, 1: unknown.
    assert found.numeric.keys() == {"paid"} and found.numeric["paid"].dtype == np.float32
    rare = encode_events(events, FEATURES, min_count=2)
    assert rare.vocabularies == {"event_type": ("view",)} and rare.categorical["event_type"].tolist() == [
        2,
        1,
        2,
        0,
        1,
    ]
    some = found.take(np.array([True, False, False, True, False]))
    assert some.categorical["event_type"].tolist() == [2, 0] and some.numeric["paid"].tolist() == [1.5, 3.5]


def test_a_log_without_any_feature_has_none() -> None:
    found = encode_events(log(item_id=[b"A", b"B"]), FEATURES, min_count=1)
    assert (found.categorical, found.numeric, found.vocabularies) == ({}, {}, {})


def test_queries_are_tokens_of_their_events_and_training_words_alone() -> None:
    events = log(query=[b"summer clothes", b"", "科幻电影".encode(), b"winter"])
    assert training_queries(events) == ["summer clothes", "科幻电影"]
    wordpiece = learn_wordpiece(training_queries(events), 8000, "")
    tokens = tokenize_queries(events, wordpiece, 4)
    assert tokens is not None and tokens.shape == (4, 4) and tokens.dtype == np.int32
    of_events = tokens[events.columns["query"].codes]
    assert not of_events[1].any() and [wordpiece[token] for token in of_events[2]] == list("科幻电影")


def test_the_same_query_is_the_same_tokens_wherever_it_was_asked() -> None:
    events = log(query=[b"tea", b"", b"tea", b"tea"])
    tokens = tokenize_queries(events, learn_wordpiece(["tea"], 100, ""), 2)
    assert tokens is not None and training_queries(events) == ["tea"]
    of_events = tokens[events.columns["query"].codes]
    assert len(tokens) == 2 and of_events[0].any() and (of_events[[0, 2, 3]] == of_events[0]).all()


@pytest.mark.parametrize("columns", [{"item_id": [b"A", b"B"]}, {"query": [b"", b""]}], ids=["no column", "empty"])
def test_without_queries_there_are_no_tokens(columns: dict[str, list[bytes]]) -> None:
    events = log(**columns)
    assert training_queries(events) == []
    assert tokenize_queries(events, ["[PAD]"], 12) is None
