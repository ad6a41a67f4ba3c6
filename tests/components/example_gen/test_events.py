"""Events of users in Arrow: sorted, counted once, split and grouped."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.example_gen.events import group_events, retain, sort_events, split_events
from homefeed.components.example_gen.splits import Cuts, SplitRule

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.int64()),
        ("event_type", pa.string()),
        ("value", pa.float32()),
    ]
)
TEMPORAL = SplitRule("temporal", 0.1, 0.1, 0)


def log(*rows: tuple[object, ...], columns: int = 5) -> pa.RecordBatch:
    names = SCHEMA.names[:columns]
    padded = [dict(zip(names, row, strict=False)) for row in rows]
    return pa.RecordBatch.from_pylist(padded, pa.schema([SCHEMA.field(name) for name in names]))


def named(rows: pa.RecordBatch, *ids: str | None) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*rows.columns, pa.array(ids, pa.string())], [*rows.schema.names, "event_id"])


def test_events_are_in_the_order_of_user_time_and_file() -> None:
    events = log(("b", "3", 5), ("a", "2", 9), ("b", "1", 5), ("a", "4", 2), ("茶", "5", 0))
    order, users, row_splits = sort_events(events)
    assert order.tolist() == [3, 1, 0, 2, 4]  # "b" had 3 before 1 in the file, at the same second.
    assert users.to_pylist() == ["a", "b", "茶"] and row_splits.tolist() == [0, 2, 4, 5]


def test_times_before_1970_are_times_too() -> None:
    order, _, _ = sort_events(log(("a", "1", 5), ("a", "2", -10), ("a", "3", 0)))
    assert order.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([("a", "A", 1, "view"), ("a", "A", 1, "view")], [0]),
        ([("a", "A", 1, "view"), ("a", "A", 1, "buy")], [0, 1]),  # Another event type.
        ([("a", "A", 1, "view"), ("a", "A", 2, "view")], [0, 1]),  # Another second.
        ([("a", "A", 1, "view"), ("a", "B", 1, "view")], [0, 1]),  # Another item.
        ([("a", "A", 1, "view"), ("b", "A", 1, "view")], [0, 1]),  # Another user.
        ([("a", "A", 1, None), ("a", "A", 1, "")], [0]),  # No type is no type.
        ([("a", "A", 1, "x"), ("a", "B", 1, "x"), ("a", "A", 1, "x"), ("a", "B", 1, "x")], [0, 1]),
    ],
)
def test_an_event_counts_once(rows: list[tuple[object, ...]], kept: list[int]) -> None:
    order, _, _ = sort_events(log(*rows, columns=4))
    assert order.tolist() == kept


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["e1", "e2"], [0, 1]),  # Two of a second that have names are two.
        (["e1", "e1"], [0]),
        ([None, None], [0]),
        (["e1", None, "e2", None, "e1"], [0, 1, 2]),
    ],
)
def test_an_event_with_an_id_is_known_by_it(ids: list[str | None], kept: list[int]) -> None:
    events = log(*[("a", "A", 1, "view")] * len(ids), columns=4)
    events = named(events, *ids)
    order, users, row_splits = sort_events(events)
    assert order.tolist() == kept
    rows = group_events(events, order, users, row_splits, np.arange(len(order)))
    assert "event_id" not in rows.schema.names


def test_ids_are_of_a_user_and_of_all_times() -> None:
    events = log(("a", "A", 1), ("b", "A", 1), ("a", "B", 5), ("a", "C", 6), columns=3)
    order, _, _ = sort_events(named(events, "e", "e", "e", "f"))
    assert order.tolist() == [0, 3, 1]


def test_without_event_types_user_second_and_item_decide() -> None:
    order, _, _ = sort_events(log(("a", "A", 1), ("a", "A", 1), ("a", "A", 2), columns=3))
    assert order.tolist() == [0, 2]


EVENT = st.tuples(
    st.sampled_from("abc"), st.sampled_from("XYZ"), st.integers(-2, 2), st.sampled_from(["v", "b", None])
)


@given(st.lists(EVENT, max_size=30))
def test_sorting_and_counting_once_as_plain_python_does(rows: list[tuple[object, ...]]) -> None:
    order, users, row_splits = sort_events(log(*rows, columns=4))
    expected, seen = [], set()
    for place in sorted(range(len(rows)), key=lambda place: (rows[place][0], rows[place][2])):
        what = (*rows[place][:3], rows[place][3] or "")
        if what not in seen:
            expected.append(place)
        seen.add(what)
    assert order.tolist() == expected
    owners = np.repeat(users.to_pylist(), np.diff(row_splits)).tolist()
    assert owners == [rows[place][0] for place in expected]


def test_a_group_is_a_user_with_lists_of_chosen_events() -> None:
    events = log(("b", "3", 5, None, 0.5), ("a", "2", 9, "view", None), ("b", "1", 5, "buy", 2), ("c", "9", 1))
    order, users, row_splits = sort_events(events)
    grouped = group_events(events, order, users, row_splits, np.array([0, 1, 2]))
    assert grouped.to_pydict() == {
        "user_id": [[b"a"], [b"b"]],  # Nothing of "c" was chosen.
        "item_id": [[b"2"], [b"3", b"1"]],
        "timestamp": [[9], [5, 5]],
        "event_type": [[b"view"], [b"", b"buy"]],
        "value": [[pytest.approx(np.nan, nan_ok=True)], [0.5, 2.0]],
    }


def test_each_split_has_a_row_for_who_has_events_in_it() -> None:
    events = log(*(("a", str(second), second) for second in (3, 1, 2)), ("b", "9", 3), ("b", "9", 3), columns=3)
    count, splits = split_events(events, TEMPORAL, Cuts(eval=2, test=3))
    assert count == 4  # One is there twice.
    items = {name: batch.to_pydict() for name, batch in splits.items()}
    assert {name: found["item_id"] for name, found in items.items()} == {
        "train": [[b"1"]],
        "eval": [[b"2"]],
        "test": [[b"3"], [b"9"]],
    }
    assert items["test"]["user_id"] == [[b"a"], [b"b"]]


def test_a_hash_splits_by_the_names_of_users() -> None:
    events = log(*((f"user {number}", "A", number) for number in range(100)), columns=3)
    count, splits = split_events(events, SplitRule("hash", 0.3, 0.3, 0), None)
    parts = [batch.num_rows for batch in splits.values()]
    assert count == sum(parts) == 100 and min(parts) > 15


def test_events_that_are_too_old_are_left_out() -> None:
    events = log(("a", "A", 1), ("a", "B", 2), columns=3)
    assert retain(events, Cuts(5, 6, since=2))["item_id"].to_pylist() == ["B"]
    assert retain(events, Cuts(5, 6)).num_rows == retain(events, None).num_rows == 2


def test_no_events() -> None:
    count, splits = split_events(log(columns=3), TEMPORAL, None)
    assert count == 0 and {batch.num_rows for batch in splits.values()} == {0}
    assert splits["train"].schema.names == ["user_id", "item_id", "timestamp"]
