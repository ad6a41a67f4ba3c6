import pathlib

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
    from collections import Counter

    labels, bars = dataset_page._days(Counter({0: 5, 1: 1, 1000: 2}))
    assert labels[0] == "1970-01-01"
    assert sum(bars) == 8 and len(bars) <= 3 * dataset_page.NUM_BARS
