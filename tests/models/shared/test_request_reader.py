from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.shared.request_reader import RequestReader, last_places
from homefeed.models.shared.request_specs import RequestFeatures
from homefeed.schemas.features import Input

ITEM_IDS = np.array([b"", b"a", b"b", "片".encode()], object)
STRING, NUMBER = Input("string", (-1, -1)), Input("float32", (-1, -1))
FEATURES = RequestFeatures(
    inputs={
        "history": STRING,
        "history_timestamp": Input("int64", (-1, -1)),
        "timestamp": Input("int64", (-1,)),
        "history_value": NUMBER,
        "history_event_type": STRING,
        "context_event_type": Input("string", (-1,)),
        "user_gender": Input("string", (-1,)),
        "user_hobbies": STRING,
        "user_age": Input("float32", (-1,)),
        "user_face_embedding": Input("float32", (-1, 2)),
    },
    vocabularies={"gender": ("f", "m"), "hobbies": ("ski", "go", "tea")},
    event_vocabularies={"event_type": ("view", "buy")},
)


@pytest.fixture(scope="module")
def reader() -> RequestReader:
    return RequestReader(ITEM_IDS, FEATURES)


def _request(history: list[list[str]]) -> dict[str, tf.Tensor]:
    """Event i of a history has the value i and the time 10 · i."""
    places = tf.tile(tf.range(len(history[0]))[None], [len(history), 1])
    types = [["buy", "zz", "view", "", "buy"][: len(history[0])]] * len(history)
    return {
        "history": tf.constant(history, tf.string, [len(history), len(history[0])]),
        "history_value": tf.cast(places, tf.float32),
        "history_timestamp": 10 * tf.cast(places, tf.int64),
        "history_event_type": tf.constant(types, tf.string, [len(history), len(history[0])]),
    }


def _events(reader: RequestReader, request: dict[str, tf.Tensor], most: int) -> Any:
    events, num_events = reader.last_events(reader.items.lookup(request["history"]), request, most)
    return {name: column.numpy().tolist() for name, column in events.items()}, num_events.numpy().tolist()


def test_the_last_known_events_stand_in_order_before_nothing(reader: RequestReader) -> None:
    request = _request([["a", "zz", "片", "", "b"], ["", "", "b", "", ""], ["zz", "", "", "", ""]])
    events, num_events = _events(reader, request, 2)
    assert num_events == [2, 1, 0]
    assert events["item"] == [[3, 2], [2, 0], [0, 0]]
    assert events["timestamp"] == [[20, 40], [20, 0], [0, 0]]
    assert events["history_event_type"] == [[2, 3], [2, 0], [0, 0]]
    np.testing.assert_array_equal(events["history_value"], [[2, 4], [2, np.nan], [np.nan, np.nan]])


def test_no_more_places_than_there_are_events(reader: RequestReader) -> None:
    events, num_events = _events(reader, _request([["a", "zz", "b", "", "a"], ["b", "", "", "", ""]]), 100)
    assert num_events == [3, 1] and events["item"] == [[1, 2, 1], [2, 0, 0]]
    assert events["history_event_type"][0] == [3, 2, 3]


@pytest.mark.parametrize("history", [[[]], [[""]], [["zz", ""]]])
def test_an_empty_history_has_one_place(reader: RequestReader, history: list[list[str]]) -> None:
    events, num_events = _events(reader, _request(history), 5)
    assert num_events == [0] and events["item"] == [[0]] == events["timestamp"] == events["history_event_type"]
    assert np.isnan(events["history_value"]).all()


def test_what_a_request_does_not_hold_is_not_read(reader: RequestReader) -> None:
    request = _request([["a", "b"]])
    plain = {name: request[name] for name in ("history", "history_timestamp")}
    events, _ = _events(reader, plain, 5)
    assert events.keys() == {"item", "timestamp"}


def test_the_context_has_the_vocabularies_of_events(reader: RequestReader) -> None:
    asked = {"context_event_type": tf.constant(["buy", "", "zz"]), "context_paid": tf.constant([1.5, np.nan, 2.0])}
    found = reader.context(asked | {"timestamp": tf.constant([1, 2, 3])})
    assert found.keys() == {"context_event_type", "context_paid"}
    assert found["context_event_type"].numpy().tolist() == [3, 0, 1]  # 0: none, 1: unknown.
    np.testing.assert_array_equal(found["context_paid"], np.float32([1.5, np.nan, 2.0]))


def test_features_of_a_user_become_positions_and_stay_numbers(reader: RequestReader) -> None:
    found = reader.user(
        {
            "user_gender": tf.constant(["m", "", "zz"]),
            "user_hobbies": tf.constant([["go", "tea"], ["", ""], ["zz", "ski"]]),
            "user_age": tf.constant([30.0, np.nan, 1.0]),
            "user_face_embedding": tf.constant([[1.0, 2.0]] * 3),
            "timestamp": tf.constant([1, 2, 3]),
        }
    )
    assert found["user_gender"].numpy().tolist() == [[3], [0], [1]]
    assert found["user_hobbies"].numpy().tolist() == [[3, 4], [0, 0], [1, 2]]
    assert found["user_age"].shape == (3, 1) and found["user_face_embedding"].shape == (3, 2)
    assert "timestamp" not in found


@pytest.mark.parametrize(
    ("present", "most", "places"),
    [
        ([False, True, False, True, True], 2, [3, 4]),
        ([False, True, False, True, True], 9, [1, 3, 4]),
        ([False] * 5, 2, []),
        ([True] + [False] * 4, 2, [0]),
        ([True] * 5, 5, [0, 1, 2, 3, 4]),
    ],
)
def test_last_places(present: list[bool], most: int, places: list[int]) -> None:
    found, kept = last_places(tf.constant([present]), most)
    assert found.numpy()[0, : int(kept[0])].tolist() == places and int(kept[0]) == len(places)


def test_times_of_any_unit_are_seconds() -> None:
    moments = [1_700_000_000, 0, 86_400, -86_400]
    units = [1, 1000, 10**6, 10**9]
    of_requests = tf.constant([1_700_000_000 * unit for unit in units], tf.int64)
    histories = tf.constant([[moment * unit if moment > 10**9 else moment for moment in moments] for unit in units])
    found = RequestReader.in_seconds(
        {"timestamp": of_requests, "history_timestamp": histories, "history": "as it is"}
    )
    assert found["timestamp"].numpy().tolist() == [1_700_000_000] * 4
    assert found["history_timestamp"].numpy().tolist() == [moments] * 4 and found["history"] == "as it is"
