import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform import sequences
from homefeed.components.transform.events import Events, encode_events
from homefeed.components.transform.sequences import build_sequences
from homefeed.components.transform.users import UserTable, build_users
from homefeed.models.sequences import Sequences
from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import Positive
from tests.components.ragged import numbers, strings
from tests.components.transform.log import make_events

REQUEST = {
    "inputs": {},
    "objectives": {},
    "vocabularies": {"gender": ("F",)},
    "event_vocabularies": {"event_type": ("buy", "share", "view")},
    "time_zone": "",
    "guards": ("gender",),
}
USER_FEATURES = {"user_id": Feature(kind="id"), "age": Feature(kind="number"), "gender": Feature(kind="category")}


@pytest.fixture(scope="module")
def users() -> UserTable:
    table = example_io.record_batch(
        {
            "user_id": strings(["u1"], ["u3"]),
            "age": numbers(np.float32, [31], [33]),
            "gender": strings(["F"], ["X"]),
        }
    )
    return build_users(table, USER_FEATURES, {"gender": ("F",)}, ["age"], max_categories=8)


def sequences_of(split: str, users: UserTable) -> Sequences:
    return build(make_events(), users, split, {"min_value": 5})


def build(events: Events, users: UserTable, split: str, *declared: Any, **known: Any) -> Sequences:
    (found,) = parts_of(events, users, split, *declared, **known)
    return found


def parts_of(
    events: Events,
    users: UserTable,
    split: str,
    positive: dict[str, Any] | None = None,
    queries: npt.NDArray[np.int32] | None = None,
) -> Iterator[Sequences]:
    rows = {b"heat": 1, "咖啡".encode(): 2, b"new": 3}
    features = encode_events(events, {"event_type": ("buy", "share", "view")}, ["value"])
    return build_sequences(events, users, split, rows, Positive(**positive or {}), features, REQUEST, queries)


def test_training_has_no_history(users: UserTable) -> None:
    train = sequences_of("train", users)
    assert train.user_ids.tolist() == [b"u1", b"u2"] and train.guards == ("gender",)
    assert train.num_history.tolist() == [0, 0]
    assert train.item_index.tolist() == [1, 0, 1]  # "gone" is in no catalogue: row 0.
    assert train.timestamp.tolist() == [12, 13, 11]


def test_a_later_split_repeats_what_came_before_as_history(users: UserTable) -> None:
    test = sequences_of("test", users)
    assert test.user_ids.tolist() == [b"u1", b"u3"]
    assert test.num_history.tolist() == [2, 1]
    assert test.timestamp.tolist() == [12, 13, 37, 26, 38]
    assert test.targets.tolist() == [2, 4]


def test_positive_is_what_the_dataset_says(users: UserTable) -> None:
    assert sequences_of("eval", users).positive.tolist() == [False, False, True, True]  # Values 1, 4, 5, 6.


def test_what_a_vocabulary_lacks_is_unknown(users: UserTable) -> None:
    test = sequences_of("test", users)
    assert test.categorical["gender"][:, 0].tolist() == [2, 1]  # "X" of u3 is out-of-vocabulary.


def test_a_user_who_is_in_no_table_has_unknown_features(users: UserTable) -> None:
    evaluated = sequences_of("eval", users)
    assert evaluated.user_ids.tolist() == [b"u2", b"u3"]
    assert evaluated.categorical["gender"][:, 0].tolist() == [0, 1]
    assert np.isnan(evaluated.numeric["age"][0]).all()


def test_what_happens_later_changes_nothing_earlier(users: UserTable) -> None:
    before = sequences_of("train", users)
    events = make_events()
    ids = events.columns["item_id"].tolist()
    items = [item if split == 0 else b"heat" for item, split in zip(ids, events.split, strict=True)]
    events.columns["item_id"] = Coded.of(items)
    after = build(events, users, "train", {"min_value": 5})
    np.testing.assert_array_equal(before.item_index, after.item_index)


def test_everything_of_an_event_stays_with_it(users: UserTable) -> None:
    events = make_events()
    events.columns["query"] = Coded.of([str(place).encode() for place in range(8)])
    queries = np.arange(8, dtype=np.int32)[:, None]  # The event's own place.
    evaluated = build(events, users, "eval", queries=queries)
    assert evaluated.row_splits.tolist() == [0, 3, 4] and evaluated.num_history.tolist() == [1, 0]
    assert evaluated.query_token_ids is not None
    places = evaluated.query_token_ids[:, 0]
    assert places.tolist() == [3, 4, 5, 6]  # All of u2, and of u3 what is not for the test.
    assert evaluated.timestamp.tolist() == events.columns["timestamp"][places].tolist()
    assert evaluated.value.tolist() == events.columns["value"][places].tolist()
    assert evaluated.positive.all()


def test_event_types_are_positions_of_their_vocabulary(users: UserTable) -> None:
    events = make_events()
    kinds = [b"view", b"buy", b"", b"share", b"view", b"view", b"view", b"view"]
    events.columns["event_type"] = Coded.of(kinds)
    train = build(events, users, "train", {"event_types": ["buy"]})
    # In train are views 0, buy 1 of u1 and share 3 of u2: behind none 0 and unknown 1 stand buy, share, view.
    assert train.event_categorical["event_type"].tolist() == [4, 2, 3]
    assert train.positive.tolist() == [False, True, False]


def test_a_split_of_nobody_is_empty(users: UserTable) -> None:
    events = make_events()
    nobody = dataclasses.replace(events, split=np.zeros_like(events.split))
    found = build(nobody, users, "test")
    assert found.num_users == 0 and found.row_splits.tolist() == [0] and found.timestamp.tolist() == []
    assert found.event_numeric["value"].tolist() == [] and found.categorical["gender"].shape == (0, 1)


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_some_users_at_a_time_are_all_of_them(split: str, users: UserTable, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sequences_of(split, users)
    monkeypatch.setattr(sequences, "USERS_AT_ONCE", 1)
    parts = list(parts_of(make_events(), users, split, {"min_value": 5}))
    assert [part.user_ids.tolist() for part in parts] == [[user] for user in whole.user_ids]
    assert [part.num_history.tolist() for part in parts] == [[count] for count in whole.num_history]
    for name in ("item_index", "timestamp", "positive"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(whole, name).tolist()
