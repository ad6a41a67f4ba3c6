import pathlib

import pytest

from homefeed.components.drift.sources.data_folder import summarize
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, events, write_dataset


@pytest.fixture
def spans(tmp_path: pathlib.Path) -> pathlib.Path:
    """Day 1 has three events of two users, day 2 three of the same."""
    data = write_dataset(tmp_path, "", description=DESCRIPTION.replace("interactions.csv", "'day-{SPAN}.csv'"))
    for day in (1, 2):
        rows = [("u1", "A", day * 86_400), ("u1", "B", day * 86_400 + 1), ("u2", "C", day * 86_400 + 2)]
        (data / f"day-{day}.csv").write_text(events(rows))
    return data


def test_spans_are_counted_together_but_users_span_by_span(spans: pathlib.Path) -> None:
    both = summarize(spans)
    assert both.num_rows["interactions"] == 6 and both.days == {1: 3, 2: 3}
    assert both.columns["interactions.user_id"].values == {"u1": 4, "u2": 2}
    # As in the span that it is compared with: two events of u1, one of u2, twice.
    assert both.events_per_user == {2: 2, 1: 2}


def test_one_span_is_all_that_there_is(spans: pathlib.Path) -> None:
    newest = summarize(spans, "2")
    assert newest.name == f"{spans}@2" and newest.days == {2: 3}
    assert newest.num_rows == {"interactions": 3, "items": 3, "users": 2}
    assert newest.events_per_user == {2: 1, 1: 1}


def test_bad_rows_do_not_count(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([("u1", "A", 1), ("u1", "A", "soon")]))
    assert summarize(data).num_rows["interactions"] == 1


def test_a_missing_table_is_named(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([("u1", "A", 1)]))
    (data / "users.csv").unlink()
    with pytest.raises(DatasetError, match="'users': no file"):
        summarize(data)
