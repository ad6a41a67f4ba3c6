import json
import pathlib

import pytest

from homefeed.models.requests import Event, Request
from homefeed.serving.batch import LineError, read_requests, recommend_all
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.profiles import ProfileStore, write_profiles
from homefeed.serving.recommender import Recommender


@pytest.fixture
def profiles(tmp_path: pathlib.Path) -> ProfileStore:
    stored = Request("u1", [Event("i1", 5.0)], {"gender": "F"})
    write_profiles(tmp_path / "profiles.sqlite", [stored], {})
    return ProfileStore(tmp_path / "profiles.sqlite")


def test_a_given_history_replaces_the_stored_one_and_features_stay(profiles: ProfileStore) -> None:
    lines = ['{"user_id": "u1"}\n', "\n", '{"user_id": "u1", "history": ["i3", "i4"]}\n', '{"user_id": "新"}']
    stored, given, unknown = read_requests(lines, profiles, now=5)
    assert [event.item_id for event in stored.history] == ["i1"]
    assert [event.item_id for event in given.history] == ["i3", "i4"] and given.features == {"gender": "F"}
    assert unknown == Request("新", timestamp=5) and [stored.timestamp, given.timestamp] == [5, 5]


def test_events_of_a_history_say_more_than_ids(profiles: ProfileStore) -> None:
    rated = {"item_id": "i3", "value": 4, "event_type": "buy", "timestamp": 1_700_000_000_000, "device": "tv"}
    dated = {"item_id": "i4", "timestamp": "2023-11-14T22:13:20", "value": None}
    (request,) = read_requests([json.dumps({"user_id": "u1", "history": [rated, "i5", dated]})], profiles, now=0)
    expected = [Event("i3", 4, "buy", 1_700_000_000, {"device": "tv"}), Event("i5")]
    assert str(list(request.history)) == str([*expected, Event("i4", timestamp=1_700_000_000)])  # NaN is no NaN.


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", 'line 1 needs a string "user_id"'),
        ('{"user_id": 7}', 'line 1 needs a string "user_id"'),
        ('{"user_id": "u", "histori": []}', r"unknown keys \['histori'\]"),
        ('{"user_id": "u", "history": "i1"}', 'line 1 has a "history" that is no list of item ids or events'),
        ('{"user_id": "u", "history": [1]}', 'has an event in "history" that is neither an item id nor .*: 1$'),
        ('{"user_id": "u", "history": [{"id": "i1"}]}', 'neither an item id nor {"item_id": …}'),
        ('{"user_id": "u", "history": [{"item_id": "i1", "value": "4"}]}', "value no number"),
        ('{"user_id": "u", "history": [{"item_id": "i1", "timestamp": "soon"}]}', "whose timestamp is no time"),
        ('{"user_id": "u", "history": [{"item_id": "i1", "event_type": 4}]}', "event_type no text"),
        ('{"user_id": "u", "history": [{"item_id": "i1", "mood": ["x"]}]}', "neither text nor a number"),
        ('{"user_id": "u", "query": 4}', 'has a "query" that is no text: 4'),
    ],
)
def test_a_line_of_another_form_is_named(line: str, message: str, profiles: ProfileStore) -> None:
    with pytest.raises(LineError, match=message):
        list(read_requests([line], profiles))


@pytest.mark.parametrize("batch_size", [1, 2, 128])
def test_every_request_gets_its_line_in_order(toy_models: dict[str, pathlib.Path], batch_size: int) -> None:
    predictor = LocalPredictor({name: path / "Format-Serving" for name, path in toy_models.items()})
    requests = [Request("a", [Event("i1")]), Request("b"), Request("c", [Event(f"i{row}") for row in range(2, 8)])]
    rows = list(recommend_all(Recommender(predictor, 100), requests, k=3, batch_size=batch_size))
    assert [row["user_id"] for row in rows] == ["a", "b", "c"]
    assert rows[2]["items"] == ["i1"] and "i1" not in rows[0]["items"]
    assert all(len(row["items"]) == len(row["scores"]) for row in rows)
    json.dumps(rows, allow_nan=False)
