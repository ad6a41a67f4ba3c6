import dataclasses

import numpy as np
import pytest

from homefeed.models.requests import UNKNOWN, Event, Request, TensorSpec, batch_inputs, requests_from_sequences
from tests.toy_data import toy_catalogue, toy_sequences

STRING, FLOAT, INT = np.dtype(object), np.dtype(np.float32), np.dtype(np.int64)
SPECS = {
    "history": TensorSpec(STRING, (-1, -1)),
    "history_value": TensorSpec(FLOAT, (-1, -1)),
    "history_event_type": TensorSpec(STRING, (-1, -1)),
    "history_timestamp": TensorSpec(INT, (-1, -1)),
    "timestamp": TensorSpec(INT, (-1,)),
    "user_gender": TensorSpec(STRING, (-1,)),
    "user_hobbies": TensorSpec(STRING, (-1, -1)),
    "user_age": TensorSpec(FLOAT, (-1,)),
    "user_face_embedding": TensorSpec(FLOAT, (-1, 2)),
    "k": TensorSpec(np.dtype(np.int32), (-1,)),
}


def test_requests_become_padded_tensors() -> None:
    known = Request(
        "u",
        [Event("咖啡", 4.0, "buy", 7), Event("i2")],
        {"gender": "F", "hobbies": ["a", "b"], "age": 31, "face_embedding": [1.0, 2.0]},
        timestamp=9,
    )
    inputs = batch_inputs([known, Request("v")], SPECS)
    assert inputs.keys() == SPECS.keys() - {"k"}
    assert inputs["history"].tolist() == [["咖啡".encode(), b"i2"], [b"", b""]]
    np.testing.assert_array_equal(inputs["history_value"], np.float32([[4, np.nan], [np.nan, np.nan]]))
    assert inputs["history_event_type"].tolist() == [[b"buy", b""], [b"", b""]]
    assert inputs["history_timestamp"].tolist() == [[7, 0], [0, 0]]
    assert inputs["timestamp"].tolist() == [9, 0]
    assert inputs["user_gender"].tolist() == [b"F", b""]
    assert inputs["user_hobbies"].tolist() == [[b"a", b"b"], [b"", b""]]
    np.testing.assert_array_equal(inputs["user_age"], np.float32([31, np.nan]))
    np.testing.assert_array_equal(inputs["user_face_embedding"], np.float32([[1, 2], [np.nan, np.nan]]))


def test_dtypes_are_those_of_the_signature() -> None:
    inputs = batch_inputs([Request("u", [Event("i1")])], SPECS)
    assert {name: array.dtype for name, array in inputs.items()} == {
        name: spec.dtype for name, spec in SPECS.items() if name != "k"
    }


def test_only_what_a_signature_takes_is_sent() -> None:
    specs = {name: SPECS[name] for name in ("history", "k")}
    assert batch_inputs([Request("u", features={"gender": "F"})], specs).keys() == {"history"}


def test_an_empty_history_is_one_place_of_padding() -> None:
    assert batch_inputs([Request("u")], SPECS)["history"].shape == (1, 1)


def test_a_request_is_the_user_just_before_the_event() -> None:
    sequences, catalogue = toy_sequences(3), toy_catalogue()
    row, end = np.array([1]), sequences.row_splits[[1]] + 2
    (request,) = requests_from_sequences(sequences, catalogue, row, end)
    items = [catalogue.item_ids[index].decode() for index in sequences.item_index[3:5]]
    assert request.user_id == "u1"
    assert [event.item_id for event in request.history] == items
    assert request.timestamp == sequences.timestamp[5]


@pytest.mark.parametrize(("position", "expected"), [(0, []), (1, [UNKNOWN]), (2, [b"F"])])
def test_a_category_is_named_unknown_or_left_out(position: int, expected: list[bytes]) -> None:
    sequences = toy_sequences(1)
    sequences.categorical["gender"][0, 0] = position
    (request,) = requests_from_sequences(sequences, toy_catalogue(), np.array([0]), np.array([1]))
    assert request.features["gender"] == expected


def test_a_query_is_that_of_the_coming_event_and_padded() -> None:
    sequences = toy_sequences(2)
    tokens = np.zeros((len(sequences.item_index), 3), np.int32)
    tokens[2] = [7, 8, 0]
    tokens[3] = 9  # The next user's first.
    sequences = dataclasses.replace(sequences, query_token_ids=tokens)
    rows, ends = np.array([0, 0, 0]), np.array([2, 1, 3])
    asked = list(requests_from_sequences(sequences, toy_catalogue(), rows, ends))
    inputs = batch_inputs(asked, {"query_token_ids": TensorSpec(np.int32, (-1, -1))})
    np.testing.assert_array_equal(inputs["query_token_ids"], [[7, 8], [0, 0], [0, 0]])


def test_a_request_behind_the_last_event_has_no_time_and_all_of_the_history() -> None:
    sequences, catalogue = toy_sequences(3), toy_catalogue()
    rows = np.array([0, 2])
    first, last = requests_from_sequences(sequences, catalogue, rows, sequences.row_splits[rows + 1])
    assert (first.timestamp, last.timestamp) == (0, 0), "not that of the next user's first event"
    assert len(first.history) == 3 and len(last.history) == 5


def test_events_carry_what_happened() -> None:
    sequences, catalogue = toy_sequences(3), toy_catalogue()
    sequences.item_index[4] = 0  # An item that is not in the catalogue: left out.
    (request,) = requests_from_sequences(sequences, catalogue, np.array([1]), np.array([6]))
    names = ["", "[UNK]", "view", "buy"]
    for event, at in zip(request.history, (3, 5), strict=True):
        assert event.item_id == catalogue.item_ids[sequences.item_index[at]].decode()
        assert event.timestamp == sequences.timestamp[at]
        assert event.event_type == names[sequences.event_categorical["event_type"][at]]
        np.testing.assert_equal(event.value, float(sequences.value[at]))


def test_unknown_numbers_are_no_feature() -> None:
    sequences = toy_sequences(2)
    sequences.numeric["age"][1] = np.nan
    known, unknown = requests_from_sequences(sequences, toy_catalogue(), np.array([0, 1]), np.array([0, 3]))
    assert known.features["age"] == [float(sequences.numeric["age"][0, 0])] and "age" not in unknown.features


def test_filters_are_read_and_refused() -> None:
    specs = {"filter_language": TensorSpec(STRING, (-1, -1)), "k": SPECS["k"]}
    asked = [Request("u", filters={"language": ["en", "中文"]}), Request("v")]
    found = batch_inputs(asked, specs)["filter_language"]
    assert found.tolist() == [[b"en", "中文".encode()], [b"", b""]]
    with pytest.raises(ValueError, match="has no filter colour; it has language"):
        batch_inputs([Request("u", filters={"colour": ["red"]})], specs)
    with pytest.raises(ValueError, match="it has none"):
        batch_inputs([Request("u", filters={"colour": ["red"]})], {"k": SPECS["k"]})
    assert batch_inputs([Request("u", filters={"colour": ["red"]})], {"history": SPECS["history"]}), "it only ranks"


def test_no_candidate_is_new_to_the_model() -> None:
    found = batch_inputs([Request("u"), Request("v")], {"candidate_token_ids": TensorSpec(np.int32, (-1, -1, -1))})
    assert found["candidate_token_ids"].shape == (2, 1, 1) and not found["candidate_token_ids"].any()


def test_more_values_than_a_signature_takes_are_cut() -> None:
    request = Request("u", features={"gender": ["F", "M"], "face_embedding": [1.0, 2.0, 3.0]})
    found = batch_inputs([request], SPECS)
    assert found["user_gender"].tolist() == [b"F"] and found["user_face_embedding"].tolist() == [[1.0, 2.0]]


def test_a_context_that_the_model_lacks_is_refused_whatever_it_is_asked() -> None:
    specs = {"context_device": TensorSpec(STRING, (-1,)), "history": SPECS["history"]}
    found = batch_inputs([Request("u", context={"device": "phone"}), Request("v")], specs)
    assert found["context_device"].tolist() == [b"phone", b""]
    with pytest.raises(ValueError, match="has no context place; it has device"):
        batch_inputs([Request("u", context={"place": "home"})], specs)
