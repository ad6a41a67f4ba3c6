import pathlib
from collections import Counter

import numpy as np
import pytest

from homefeed.components.drift.summary import Column, Summary, bins
from homefeed.components.example_validator import dataset_page
from homefeed.pipeline.datasets.sample import write_sample


def test_everything_is_on_the_page(tmp_path: pathlib.Path) -> None:
    data, path = tmp_path / "data", tmp_path / "page.html"
    write_sample(data, num_users=40, num_items=60, num_events=400)
    counts = {"items": {"rows": 60, "quarantined": 2, "duplicates": 1, "reasons": {"price is < 0": 2}}}
    dataset_page.write_page(data, path, counts, ["items/all: feature 'price': too <cheap>"])
    page = path.read_text(encoding="utf-8")
    for part in (
        "400 rows of interactions",
        "events per day",
        "2025-01-0",
        "events per item",
        "items.categories",
        "users.age",
        "2 of 60 rows quarantined, 1 duplicates. <small>2 × price is &lt; 0",
        "too &lt;cheap&gt;",
        "乡",  # A character of the Chinese titles.
    ):
        assert part in page, part
    assert "<script" not in page and "http" not in page


def test_bars_add_up() -> None:
    labels, bars = dataset_page._days(Counter({0: 5, 1: 1, 1000: 2}))
    assert labels[0] == "1970-01-01"
    assert sum(bars) == 8 and len(bars) <= 3 * dataset_page.NUM_BARS


def column(kind: str, counts: dict[object, int], missing: int = 0) -> Column:
    found = Column.empty(kind)
    found.values.update(counts)
    found.rows[0], found.missing[0] = sum(counts.values()) + missing, missing
    return found


def test_a_table_says_what_every_column_lacks() -> None:
    columns = {
        "items.brand": column("category", {"<Kumo>": 3, "Lumen": 1}, missing=12),
        "items.size": column("category", {}, missing=4),
    }
    page = dataset_page.page(Summary("shop <1>", columns, Counter(), {"items": 1234}), {}, [])
    assert "<h1>shop &lt;1&gt;</h1><ul><li>1,234 rows of items</li></ul>" in page
    assert "<tr><td>items.brand<td>category<td class=n>75.0%<td class=n>2</tr>" in page
    assert "<tr><td>items.size<td>category<td class=n>100.0%<td class=n>0</tr>" in page
    assert page.count("<figure>") == 1 and ">&lt;Kumo&gt;</text>" in page  # Nothing to draw of the size.
    assert "What is wrong" not in page


def test_what_is_wrong_is_listed_only_if_something_is() -> None:
    fine = {"rows": 10, "quarantined": 0, "duplicates": 0, "reasons": {}}
    summary = Summary("shop", {}, Counter(), {"items": 10})
    assert "What is wrong" not in dataset_page.page(summary, {"items": fine}, [])
    page = dataset_page.page(summary, {"items": fine | {"duplicates": 2}}, ["<bad>"])
    assert "<li class=bad>&lt;bad&gt;</li><li>items: 0 of 10 rows quarantined, 2 duplicates." in page


def test_activity_is_drawn_in_powers_of_two() -> None:
    activity = column("id", {f"u{n}": count for n, count in enumerate((1, 1, 2, 3, 4, 7, 8))})
    labels, bars = dataset_page._long_tail({"interactions.user_id": activity}, "interactions.user_id")
    assert labels == ["1", "2–3", "4–7", "8–15"] and bars == [2, 2, 2, 1]
    assert dataset_page._long_tail({}, "interactions.user_id") == ([], [])


def test_values_of_a_number_are_bars_of_equal_width() -> None:
    places = Counter(bins(np.arange(1000.0)).tolist())
    labels, bars = dataset_page._values(column("number", dict(places)))
    assert len(bars) == len(labels) == dataset_page.NUM_BARS and sum(bars) == 1000
    assert all(" to " in label for label in labels) and max(bars) == pytest.approx(50, abs=8)


@pytest.mark.parametrize(("num_days", "width"), [(1, 1), (60, 1), (61, 2), (600, 10)])
def test_days_are_taken_together_where_there_are_many(num_days: int, width: int) -> None:
    labels, bars = dataset_page._days(Counter(dict.fromkeys(range(num_days), 3)))
    assert bars[0] == 3 * min(width, num_days) and sum(bars) == 3 * num_days
    assert labels[0] == "1970-01-01" and len(labels) == -(-num_days // width)
    assert dataset_page._days(Counter()) == ([], [])
