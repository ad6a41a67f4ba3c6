import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.events import (
    encode_events,
    join_splits,
    read,
    tokenize_queries,
    write,
)
from homefeed.components.transform.text import learn_wordpiece
from tests.components.ragged import numbers, strings
from tests.components.transform.log import log, make_events


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


def test_features_of_events_are_what_training_taught() -> None:
    kinds = [b"view", b"buy", b"view", b"", b"share"]  # The last event is none of training.
    paid, rating = [1.5, np.nan, 2.5, 3.5, 4.5], [np.nan] * 4 + [9.0]
    events = log(event_type=kinds, paid=paid, rating=rating)
    found = encode_events(events, {"event_type": ("view", "buy")}, ["paid"])
    assert found.categorical["event_type"].tolist() == [2, 3, 2, 0, 1]  # 0: none, 1: unknown.
    assert found.numeric.keys() == {"paid"} and found.numeric["paid"].dtype == np.float32
    unknown = encode_events(events, {"device": ("phone",)}, ["price"])  # That others have.
    assert unknown.categorical["device"].tolist() == [0] * 5 and np.isnan(unknown.numeric["price"]).all()
    some = found.take(np.array([True, False, False, True, False]))
    assert some.categorical["event_type"].tolist() == [2, 0] and some.numeric["paid"].tolist() == [1.5, 3.5]


def test_queries_are_tokens_of_their_events() -> None:
    events = log(query=[b"summer clothes", b"", "科幻电影".encode(), b"winter"])
    wordpiece = learn_wordpiece(["summer clothes", "科幻电影"], 8000, "")
    tokens = tokenize_queries(events, wordpiece, 4)
    assert tokens.shape == (4, 4) and tokens.dtype == np.int32
    of_events = tokens[events.columns["query"].codes]
    assert not of_events[1].any() and [wordpiece[token] for token in of_events[2]] == list("科幻电影")


def test_the_same_query_is_the_same_tokens_wherever_it_was_asked() -> None:
    events = log(query=[b"tea", b"", b"tea", b"tea"])
    tokens = tokenize_queries(events, learn_wordpiece(["tea"], 100, ""), 2)
    of_events = tokens[events.columns["query"].codes]
    assert len(tokens) == 2 and of_events[0].any() and (of_events[[0, 2, 3]] == of_events[0]).all()


@pytest.mark.parametrize("columns", [{"item_id": [b"A", b"B"]}, {"query": [b"", b""]}], ids=["no column", "empty"])
def test_events_without_a_query_have_no_tokens(columns: dict[str, list[bytes]]) -> None:
    events = log(**columns)
    assert not tokenize_queries(events, learn_wordpiece(["tea"], 100, ""), 12)[events.strings("query").codes].any()


def test_events_are_read_as_they_were_written(tmp_path: pathlib.Path) -> None:
    made = make_events()
    write(made, tmp_path / "events")
    found = read(tmp_path / "events")
    assert found.user.tolist() == made.user.tolist() and found.user.dtype == made.user.dtype
    assert found.split.tolist() == made.split.tolist() and found.user_ids.tolist() == made.user_ids.tolist()
    assert list(found.columns) == list(made.columns) and found.item_id.tolist() == made.item_id.tolist()
    for name in ("timestamp", "value"):
        assert found.columns[name].tolist() == made.columns[name].tolist()
        assert found.columns[name].dtype == made.columns[name].dtype


def test_nobody_did_anything(tmp_path: pathlib.Path) -> None:
    write(join_splits({"train": [], "eval": [], "test": []}), tmp_path / "events")
    events = read(tmp_path / "events")
    assert len(events.item_id) == len(events.timestamp) == len(events.value) == len(events.event_type) == 0
    found = encode_events(events, {"device": ("phone",)}, ["price"])
    assert found.categorical["device"].shape == found.numeric["price"].shape == (0,)
