import csv
import pathlib
from collections import Counter

import numpy as np
import pytest

from homefeed.pipeline.datasets.sample import write_news
from homefeed.schemas import tables
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import load_dataset

SIZES = {"num_users": 200, "num_items": 2_000, "num_events": 8_000}
FILES = ("interactions.csv", "items.csv", "users.csv", "dataset.yaml")


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("news")
    write_news(folder, **SIZES)
    return folder


def rows(folder: pathlib.Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_same_bytes(news: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_news(tmp_path / "same", **SIZES)
    write_news(tmp_path / "other", **SIZES, seed=1)
    for name in FILES:
        assert (tmp_path / "same" / name).read_bytes() == (news / name).read_bytes()
    assert (tmp_path / "other" / "interactions.csv").read_bytes() != (news / "interactions.csv").read_bytes()


def test_nine_of_ten_test_clicks_are_on_items_that_training_never_saw(news: pathlib.Path) -> None:
    events = rows(news, "interactions")
    assert len(events) == SIZES["num_events"]
    at = np.array([int(event["timestamp"]) for event in events])
    assert (np.diff(at) >= 0).all()
    trained = {event["item_id"] for event in events[: len(events) * 8 // 10]}
    tested = [event["item_id"] for event in events[len(events) * 9 // 10 :]]
    assert 0.88 < np.mean([item not in trained for item in tested]) < 1


def test_items_live_for_a_day_and_nobody_reads_before_or_twice(news: pathlib.Path) -> None:
    events, items = rows(news, "interactions"), {row["item_id"]: row for row in rows(news, "items")}
    ages = [(int(e["timestamp"]) - int(items[e["item_id"]]["available_from"])) / 3_600 for e in events]
    assert min(ages) >= 0
    assert np.quantile(ages, 0.9) < 30
    assert np.median(ages) < 8
    assert max(ages) > 72  # Guides.
    assert len({(e["user_id"], e["item_id"]) for e in events}) == len(events)
    assert len({e["user_id"] for e in events}) == SIZES["num_users"]


def test_day_and_night(news: pathlib.Path) -> None:
    for times in (
        [int(event["timestamp"]) for event in rows(news, "interactions")],
        [int(item["available_from"]) for item in rows(news, "items")],
    ):
        hours = Counter((second // 3_600) % 24 for second in times)
        assert hours[8] > 3 * hours[3]


def test_readers_keep_to_their_language_region_and_categories(news: pathlib.Path) -> None:
    items = {row["item_id"]: row for row in rows(news, "items")}
    readers = {row["user_id"]: row for row in rows(news, "users")}
    taken = [(readers[e["user_id"]], items[e["item_id"]]) for e in rows(news, "interactions")]
    assert np.mean([reader["language"] == item["language"] for reader, item in taken]) > 0.8
    assert np.mean([reader["region"] == item["region"] for reader, item in taken]) > 0.25
    favourite = Counter((e["user_id"], items[e["item_id"]]["categories"]) for e in rows(news, "interactions"))
    best = {user: max(n for (who, _), n in favourite.items() if who == user) for user in readers}
    assert sum(best.values()) / len(taken) > 0.3


def test_every_value_is_as_declared_in_both_languages(news: pathlib.Path) -> None:
    dataset = load_dataset(news)
    for name in TABLES:
        file = tables.File(str(news / f"{name}.csv"), "csv")
        for batch in tables.read_file(file, dataset.table(name), dataset.features(name)):
            assert not batch.bad and not batch.lost
    for item in rows(news, "items"):
        for text in (item["title"], item["description"]):
            assert any("\u4e00" <= character <= "\u9fff" for character in text) == (item["language"] == "zh")


def test_what_cannot_be_simulated(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="a fortieth of readers"):
        write_news(tmp_path, num_users=10, num_items=100, num_events=1_000)
    with pytest.raises(ValueError, match="100 items"):
        write_news(tmp_path, num_users=10, num_items=99, num_events=10)
    write_news(tmp_path, num_users=1, num_items=100, num_events=1)
