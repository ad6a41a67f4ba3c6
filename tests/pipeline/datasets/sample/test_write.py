import csv
import itertools
import json
import pathlib
from collections import Counter, defaultdict

import pandas as pd
import pytest

from homefeed.pipeline.datasets.sample import write_sample, write_weeks
from homefeed.pipeline.datasets.sample.words import CATEGORIES, EVENT_TYPES
from homefeed.schemas import tables
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import load_dataset


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


def rows(folder: pathlib.Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_same_bytes(sample: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "same")
    write_sample(tmp_path / "other", seed=1)
    for name in ("interactions.csv", "items.csv", "users.csv", "truth.json", "dataset.yaml"):
        assert (tmp_path / "same" / name).read_bytes() == (sample / name).read_bytes()
    assert (tmp_path / "other" / "interactions.csv").read_bytes() != (sample / "interactions.csv").read_bytes()


def test_sizes(sample: pathlib.Path) -> None:
    events = rows(sample, "interactions")
    assert (len(events), len(rows(sample, "items")), len(rows(sample, "users"))) == (12_000, 400, 300)
    assert len({(event["user_id"], event["item_id"]) for event in events}) == 12_000  # Nothing twice.
    assert set(Counter(event["event_type"] for event in events)) == set(EVENT_TYPES)
    assert {event["value"] for event in events} == {"", "1", "2", "3", "4", "5"}


def test_every_value_is_as_declared(sample: pathlib.Path) -> None:
    dataset = load_dataset(sample)
    for name in TABLES:
        file = tables.File(str(sample / f"{name}.csv"), "csv")
        (batch,) = tables.read_file(file, dataset.table(name), dataset.features(name))
        assert not batch.bad and not batch.lost


def test_text_in_both_languages(sample: pathlib.Path) -> None:
    items = rows(sample, "items")
    languages = Counter(item["language"] for item in items)
    assert languages["en"] > 150
    assert languages["zh"] > 100
    for item in items:
        is_chinese = any("\u4e00" <= character <= "\u9fff" for character in item["title"])
        assert is_chinese == (item["language"] == "zh")
    described = [item for item in items if item["description"]]
    assert 0.9 < len(described) / len(items) < 1


def test_what_was_picked_last_tells_what_comes_next(sample: pathlib.Path) -> None:
    category = {item["item_id"]: item["categories"] for item in rows(sample, "items")}
    truth = json.loads((sample / "truth.json").read_text(encoding="utf-8"))
    follows = {
        name: truth["categories"][max(range(len(CATEGORIES)), key=row.__getitem__)]
        for name, row in zip(truth["categories"], truth["transitions"], strict=True)
    }
    picked = defaultdict(list)
    for event in rows(sample, "interactions"):
        picked[event["user_id"]].append(category[event["item_id"]])
    pairs = [pair for items in picked.values() for pair in itertools.pairwise(items)]
    hits = sum(after == follows[before] for before, after in pairs)
    assert hits / len(pairs) > 2 / len(CATEGORIES)  # Twice as often as by chance.


def test_newcomers(sample: pathlib.Path) -> None:
    events = rows(sample, "interactions")  # In order of time.
    cut = int(events[int(0.9 * len(events))]["timestamp"])
    for column, table in (("user_id", "users"), ("item_id", "items")):
        first: dict[str, int] = {}
        for event in events:
            first.setdefault(event[column], int(event["timestamp"]))
        assert sum(seconds >= cut for seconds in first.values()) >= 3, table
    dated = [item for item in rows(sample, "items") if item["available_from"]]
    assert 20 < len(dated) < 60


def test_one_user_and_impossible_sizes(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path, num_users=1, num_items=40, num_events=5)
    assert len(rows(tmp_path, "interactions")) == 5
    with pytest.raises(ValueError, match="num_events=1000: expected"):
        write_sample(tmp_path, num_users=10, num_items=40, num_events=1000)


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("weeks")
    assert write_weeks(folder, num_weeks=12)[::11] == ["2025-01-01", "2025-03-19"]
    return folder


def week(folder: pathlib.Path, table: str, number: int) -> list[dict[str, str]]:
    return rows(folder / table, sorted(path.stem for path in (folder / table).iterdir())[number - 1])


def test_each_week_has_its_own_events_and_all_that_came_so_far(weeks: pathlib.Path) -> None:
    tables_of_12 = [[week(weeks, table, number) for number in range(1, 13)] for table in ("items", "users")]
    for snapshots in tables_of_12:
        sizes = [len(snapshot) for snapshot in snapshots]
        assert sizes == sorted(set(sizes))
        assert all(row in snapshots[-1] for row in snapshots[0])  # Nothing is told otherwise later.
    items, users = (
        {row[f"{name}_id"] for row in found[5]} for name, found in zip(("item", "user"), tables_of_12, strict=True)
    )
    events = week(weeks, "interactions", 6)
    assert {event["item_id"] for event in events} <= items and {event["user_id"] for event in events} <= users
    seconds = [int(event["timestamp"]) for event in events]
    start = 1_738_713_600  # 5 February 2025.
    assert start <= min(seconds) and max(seconds) < start + 7 * 86_400
    assert load_dataset(weeks).items.path == "items/{SPAN}.csv"


def test_taste_drifts(weeks: pathlib.Path) -> None:
    """Far apart weeks differ by more than close ones in which of the old items are chosen."""
    old = sorted({event["item_id"] for event in week(weeks, "interactions", 1)})
    shares = []
    for number in (1, 2, 12):
        counts = Counter(event["item_id"] for event in week(weeks, "interactions", number))
        total = sum(counts[item] for item in old)
        shares.append([counts[item] / total for item in old])
    near, far = (sum(abs(a - b) for a, b in zip(shares[0], other, strict=True)) for other in shares[1:])
    assert far > 1.5 * near


def test_poison_changes_its_week_alone_and_only_what_it_says(weeks: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_weeks(tmp_path, num_weeks=3, poisoned={2: "schema", 3: "ids"})
    assert week(tmp_path, "interactions", 1) == week(weeks, "interactions", 1)
    assert week(tmp_path, "items", 3) == week(weeks, "items", 3)
    for number, column in ((2, "event_type"), (3, "item_id")):
        clean, poisoned = week(weeks, "interactions", number), week(tmp_path, "interactions", number)
        assert [row | {column: ""} for row in clean] == [row | {column: ""} for row in poisoned]
        assert sum(a != b for a, b in zip(clean, poisoned, strict=True)) > 0.9 * len(clean)
    ids = Counter(row["item_id"] for row in week(weeks, "interactions", 3))
    mixed = Counter(row["item_id"] for row in week(tmp_path, "interactions", 3))
    assert sorted(ids.values()) == sorted(mixed.values())


def test_pages_show_popular_items_above_and_first_places_are_picked_more(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path, num_users=50, num_items=80, num_events=1000, impressions=True)
    assert load_dataset(tmp_path).tables[-1] == "exposures"
    shown, picked = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("exposures", "interactions"))
    assert (shown.groupby("impression_id")["clicked"].sum() == 1).all() and not shown["propensity"].isna().any()
    assert not shown.duplicated(["impression_id", "item_id"]).any()
    taken = shown[shown["clicked"] == 1]
    assert set(zip(taken["user_id"], taken["item_id"], strict=True)) == set(
        zip(picked["user_id"], picked["item_id"], strict=True)
    )
    rates = shown.groupby("position")["clicked"].mean()
    assert rates[0] > 1.5 * rates[1] and rates[1] > rates[4] > 0
    # Where a page is not full, nothing but its last item could stand in the last place.
    last = shown.groupby("impression_id")["position"].transform("max") == shown["position"]
    assert shown["propensity"].max() <= 1 and shown[last & (shown["position"] < 9)]["propensity"].eq(1).all()
