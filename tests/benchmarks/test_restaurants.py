import collections
import csv
import pathlib

import numpy as np

from benchmarks._restaurants import CATEGORIES, DISTRICTS, write_restaurants


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _district(text: str) -> str:
    return next((name for name, _ in DISTRICTS if name in text), "")


def test_people_eat_where_they_live_which_addresses_alone_tell(tmp_path: pathlib.Path) -> None:
    write_restaurants(tmp_path, num_users=200, num_items=120, num_events=1600)
    items = {row["item_id"]: row for row in _rows(tmp_path / "items.csv")}
    events = _rows(tmp_path / "interactions.csv")
    assert {row["categories"] for row in items.values()} == set(CATEGORIES)
    assert not any(_district(row["title"]) for row in items.values())
    visits = collections.defaultdict(list)
    for event in events:
        visits[event["user_id"]].append(event["item_id"])
    assert len(visits) == len(_rows(tmp_path / "users.csv")) == 200
    assert all(len(set(places)) == len(places) for places in visits.values()), "nobody is counted twice at a place"
    districts = [[_district(items[place]["description"]) for place in places] for places in visits.values()]
    at_home = [max(collections.Counter(found).values()) / len(found) for found in districts if len(found) >= 5]
    assert np.mean(at_home) > 0.6, "of six districts"
    seconds = [int(event["timestamp"]) for event in events]
    assert seconds == sorted(seconds)


def test_the_same_seed_gives_the_same_bytes(tmp_path: pathlib.Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        write_restaurants(tmp_path / name, num_users=20, num_items=30, num_events=80, seed=seed)
    first, again, other = (
        [file.read_bytes() for file in sorted((tmp_path / name).iterdir())] for name in ("first", "again", "other")
    )
    assert first == again
    assert first != other
