from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform import learnt
from homefeed.components.transform.counts import Counts
from homefeed.components.transform.events import Events
from homefeed.schemas.dataset import Dataset
from tests.components.ragged import numbers, strings
from tests.components.transform.log import log, make_events

TABLE = {"path": "x.csv"}
DATASET = Dataset.model_validate(
    {
        "name": "shop",
        "interactions": TABLE
        | {"features": {"device": {"kind": "category", "context": True}, "paid": {"kind": "number"}}},
        "items": TABLE,
        "users": TABLE
        | {
            "features": {
                "age": {"kind": "number"},
                "gender": {"kind": "category", "guard": True},
                "likes": {"kind": "categories"},
                "taste": {"kind": "embedding", "size": 2},
            }
        },
        "positive": {"min_value": 5},
    }
)
NOBODY = example_io.record_batch({"user_id": strings()})


def people() -> pa.RecordBatch:
    """u1 and u2 are trained on."""
    return example_io.record_batch(
        {
            "user_id": strings(["u1"], ["u3"], ["u2"]),
            "age": numbers(np.float32, [], [33], []),
            "gender": strings(["F"], ["X"], []),
            "likes": strings(["tea", "cake"], ["beer"], ["tea"]),
            "taste": numbers(np.float32, [1, 2], [], []),
        }
    )


def fields(log: Events, people: pa.RecordBatch = NOBODY, min_count: int = 1) -> dict[str, Any]:
    return learnt.request_fields(learnt.count(log, people, DATASET), DATASET, min_count)


def test_items_are_counted_in_all_and_in_training() -> None:
    counted = learnt.count(make_events(), people(), DATASET)
    assert counted[learnt.ITEMS] == {b"heat": 3, "咖啡".encode(): 2, b"new": 2, b"gone": 1}
    assert counted[learnt.TRAINED_ITEMS] == {b"heat": 2, b"gone": 1}


def test_vocabularies_are_of_training_alone() -> None:
    found = fields(make_events(), people())
    assert found["vocabularies"] == {"gender": ("F",), "likes": ("tea", "cake")}  # X is of u3, as is beer.
    assert fields(make_events(), people(), min_count=2)["vocabularies"] == {"gender": (), "likes": ("tea",)}
    assert found["guards"] == ("gender",) and found["objectives"] == DATASET.objectives


def test_a_column_that_nobody_fills_is_none() -> None:
    empty = pa.RecordBatch.from_arrays(
        [pa.array([[b"u1"]], pa.list_(pa.binary())), pa.array([None], pa.null())], ["user_id", "likes"]
    )
    found = fields(make_events(), empty)
    assert found["vocabularies"] == {} and "user_likes" not in found["inputs"]


def test_a_request_holds_what_training_has_values_of() -> None:
    inputs = fields(make_events(), people())["inputs"]
    assert {"user_gender", "user_likes", "user_taste", "history_value"} <= inputs.keys()
    assert not {"user_age", "history_paid", "history_device", "query_token_ids"} & inputs.keys()


def test_events_features_that_training_lacks_are_none() -> None:
    kinds = [b"view", b"buy", b"view", b"", b"share"]  # The last event is none of training.
    paid, rating = [1.5, np.nan, 2.5, 3.5, 4.5], [np.nan] * 4 + [9.0]
    events = log(item_id=[b"A"] * 5, event_type=kinds, paid=paid, value=rating, device=[b""] * 4 + [b"tv"])
    found = fields(events)
    assert found["event_vocabularies"] == {"event_type": ("view", "buy")}
    assert "history_paid" in found["inputs"] and "history_value" not in found["inputs"]
    assert fields(events, min_count=2)["event_vocabularies"] == {"event_type": ("view",)}


def test_a_log_without_any_feature_has_none() -> None:
    found = fields(log(item_id=[b"A", b"B"]))
    assert (found["event_vocabularies"], found["vocabularies"]) == ({}, {})
    assert found["inputs"].keys() == {"history", "history_timestamp", "timestamp"}


def counted(**columns: list[Any]) -> Counts:
    return learnt.count(log(item_id=[b"A"] * 3, **columns), NOBODY, DATASET)


def test_queries_of_training_are_words_and_any_query_makes_an_input() -> None:
    found = counted(query=["科幻电影".encode(), b"", b"winter"])
    assert learnt.training_queries(found) == ["科幻电影"] and learnt.has_queries(found)
    only_later = counted(query=[b"", b"", b"winter"])
    assert learnt.training_queries(only_later) == [] and learnt.has_queries(only_later)


@pytest.mark.parametrize("columns", [{}, {"query": [b"", b"", b""]}], ids=["no column", "empty"])
def test_without_queries_there_are_none(columns: dict[str, list[bytes]]) -> None:
    assert learnt.training_queries(counted(**columns)) == [] and not learnt.has_queries(counted(**columns))


def test_whether_events_name_pages() -> None:
    assert learnt.names_pages(counted(impression_id=[b"", b"", b""])) and not learnt.names_pages(counted())
