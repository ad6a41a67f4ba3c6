from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.drift import summary as summaries
from homefeed.components.drift.summary import NUM_GROUPS, Column, Summary, bin_values, bins, summarize_batches, words
from homefeed.schemas.columns import Feature


def test_bins_keep_order_and_size() -> None:
    numbers = np.array([-1e6, -2000, -1.5, -0.0, 0.0, 1e-9, 1.5, 1999, 2000, 1e6])
    places = bins(numbers)
    assert places[3] == places[4]
    assert np.all(np.diff(np.delete(places, 3)) > 0)
    assert bin_values(places) == pytest.approx(numbers, rel=1e-3, abs=1e-30)


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=10))
def test_bins_sort_as_numbers_do(values: list[float]) -> None:
    places = bins(np.sort(np.array(values)))
    assert (np.diff(places) >= 0).all()
    found = bin_values(places)
    np.testing.assert_allclose(found, np.sort(np.array(values)), rtol=5e-4, atol=1e-37)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Toy Story (1995) 玩具", ["toy", "story", "1995", "玩", "具"]),
        ("it's über-COOL", ["it", "s", "über", "cool"]),
        ("snake_case", ["snake", "case"]),
        ("カタかな 한글", ["カ", "タ", "か", "な", "한", "글"]),
        ("— … 🙂", []),
    ],
)
def test_words_are_words_or_characters(text: str, expected: list[str]) -> None:
    assert words(text) == expected


FEATURES = {
    "user_id": Feature(kind="id"),
    "item_id": Feature(kind="id"),
    "timestamp": Feature(kind="timestamp"),
    "event_type": Feature(kind="category"),
    "value": Feature(kind="number"),
    "query": Feature(kind="text"),
}
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.int64()),
        ("event_type", pa.string()),
        ("value", pa.float32()),
        ("query", pa.string()),
    ]
)
ROWS = [
    ("u1", "A", 0, "view", 1.0, "red tea"),
    ("u2", "A", 10, "buy", None, None),
    ("u1", "B", 86_400, "view", 3.0, "Tea"),
    ("u3", "B", 86_401, None, 3.0, None),
    ("u1", "A", 200_000, "view", None, "茶"),
]


def batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


@pytest.fixture(
    params=[[ROWS], [ROWS[:2], ROWS[2:2], ROWS[2:]], [[row] for row in ROWS]], ids=["one", "three", "five"]
)
def log(request: pytest.FixtureRequest) -> Summary:
    """The same five events in one, three or five batches."""
    return summarize_batches("log", {"interactions": map(batch, request.param)}, {"interactions": FEATURES})


def test_values_are_counted_whatever_the_batches(log: Summary) -> None:
    columns = {name.partition(".")[2]: column for name, column in log.columns.items()}
    assert columns.keys() == {"user_id", "item_id", "event_type", "value", "query"}  # Times are new by nature.
    assert columns["user_id"].values == {"u1": 3, "u2": 1, "u3": 1}
    assert columns["item_id"].values == {"A": 3, "B": 2}
    assert columns["event_type"].values == {"view": 3, "buy": 1}
    assert columns["query"].values == {"red": 1, "tea": 2, "茶": 1}
    one, three = bins(np.array([1.0, 3.0])).tolist()
    assert columns["value"].values == {one: 1, three: 2}
    assert {name: column.num_values for name, column in columns.items()} == {
        "user_id": 5,
        "item_id": 5,
        "event_type": 4,
        "value": 3,
        "query": 4,
    }


def test_missing_values_rows_days_and_users_are_counted(log: Summary) -> None:
    missing = {name.partition(".")[2]: int(column.missing.sum()) for name, column in log.columns.items()}
    assert missing == {"user_id": 0, "item_id": 0, "event_type": 1, "value": 2, "query": 2}
    assert {int(column.rows.sum()) for column in log.columns.values()} == {5} and log.num_rows == {"interactions": 5}
    assert log.days == {0: 2, 1: 2, 2: 1}
    assert log.events_per_user == {3: 1, 1: 2}  # One user with three events, two with one.


def test_events_of_a_user_share_a_group(log: Summary) -> None:
    kinds = log.columns["interactions.event_type"]
    assert max(kinds.grouped["view"]) == 3  # All three are u1's.
    assert sum(kinds.grouped["buy"]) == 1 and len(kinds.grouped["buy"]) == NUM_GROUPS
    count, total, squares = log.columns["interactions.value"].sums.sum(axis=1)
    assert (count, total, squares) == (3, 7, 1 + 9 + 9)


def test_lists_are_counted_value_by_value() -> None:
    rows = pa.RecordBatch.from_pydict(
        {"item_id": ["A", "B", "C"], "tags": [["x", "y"], None, ["x"]], "image": [[1.0]] * 3}
    )
    features = {
        "item_id": Feature(kind="id"),
        "tags": Feature(kind="categories"),
        "image": Feature(kind="embedding", size=1),
    }
    found = summarize_batches("items", {"items": [rows]}, {"items": features})
    assert found.columns.keys() == {"items.tags"}  # An item's own id is new by nature; embeddings are not judged.
    tags = found.columns["items.tags"]
    assert tags.values == {"x": 2, "y": 1} and tags.missing.sum() == 1 and tags.kind == "category"
    assert {name: int(groups.sum()) for name, groups in tags.grouped.items()} == {"x": 2, "y": 1}
    assert found.events_per_user == Counter() == found.days


def test_very_many_categories_are_judged_as_ids_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MAX_CATEGORIES", 3)
    rows = pa.RecordBatch.from_pydict({"item_id": list("ABCD"), "brand": list("wxyz")})
    features = {"item_id": Feature(kind="id"), "brand": Feature(kind="category")}
    many = summarize_batches("items", {"items": [rows]}, {"items": features}).columns["items.brand"]
    few = summarize_batches("items", {"items": [rows.slice(1)]}, {"items": features}).columns["items.brand"]
    assert (many.kind, many.grouped) == ("id", {}) and few.kind == "category"


def test_a_column_that_is_declared_and_not_there_is_not_counted() -> None:
    rows = pa.RecordBatch.from_pydict({"item_id": ["A"]})
    features = {"item_id": Feature(kind="id"), "brand": Feature(kind="category")}
    assert summarize_batches("items", {"items": [rows]}, {"items": features}).columns == {}
    assert Column.empty("number").num_values == 0
