import contextlib
import math
import pathlib
import sqlite3
import time

import pytest

from homefeed.models.requests import Event, Request
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.privacy import pseudonym
from homefeed.serving.profiles import ProfileStore, update_items, write_profiles

PROFILES = [
    Request("u1", [Event("咖啡", 4.0, "buy", 12), Event("i2")], {"age": 31.5, "occupation": "技术员"}),
    Request("u,2 🙂"),
]


@pytest.fixture
def store(tmp_path: pathlib.Path) -> ProfileStore:
    write_profiles(tmp_path / "profiles.sqlite", PROFILES, {"咖啡": "Coffee"})
    return ProfileStore(tmp_path / "profiles.sqlite")


def test_a_profile_comes_back_whole(store: ProfileStore) -> None:
    profile = store.get("u1")
    assert profile.features == PROFILES[0].features
    assert profile.history[0] == PROFILES[0].history[0]
    assert math.isnan(profile.history[1].value) and profile.history[1].item_id == "i2"


def test_an_unknown_user_has_an_empty_profile(store: ProfileStore) -> None:
    assert store.get("nobody", now=7) == Request("nobody", timestamp=7)


def test_who_asks_asks_now_or_when_it_is_said(store: ProfileStore) -> None:
    assert [store.get(user, now=7).timestamp for user in ("u1", "nobody")] == [7, 7]
    before = int(time.time())
    assert before <= store.get("u1").timestamp <= before + 60


def test_users_are_listed(store: ProfileStore) -> None:
    assert list(store.user_ids()) == ["u,2 🙂", "u1"]


def test_an_item_without_title_is_called_by_its_id(store: ProfileStore) -> None:
    assert store.titles(["咖啡", "i2"]) == ["Coffee", "i2"]


def test_a_new_store_takes_the_place_of_the_old_and_leaves_nothing_else(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "profiles.sqlite"
    for profiles in (PROFILES, PROFILES[1:]):
        write_profiles(path, profiles, {})
    assert list(ProfileStore(path).user_ids()) == ["u,2 🙂"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_that_was_never_written_says_what_writes_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="`homefeed run` publishes it"):
        ProfileStore(tmp_path / "profiles.sqlite")


def test_a_user_is_found_by_the_real_id(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    name = pseudonym("alice", b"0123456789abcdef")
    path = tmp_path / "profiles.sqlite"
    write_profiles(path, [Request(name, [Event("i1")], {"age": 31.5})], {}, "env:USER_KEY")
    found = ProfileStore(path).get("alice")
    assert (found.user_id, [event.item_id for event in found.history]) == ("alice", ["i1"])
    assert b"alice" not in path.read_bytes() and b"0123456789abcdef" not in path.read_bytes()
    monkeypatch.delenv("USER_KEY")
    with pytest.raises(DatasetError, match="The key of user ids at env:USER_KEY has 0 bytes"):
        ProfileStore(path)


def test_items_have_cards_and_popularity_and_lose_their_card_when_they_are_gone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "profiles.sqlite"
    write_profiles(path, PROFILES, {"咖啡": "Coffee", "i2": "Tea"}, "", {"咖啡": {"price": 2.5}, "i2": {}})
    assert [tuple(item) for item in ProfileStore(path).items()] == [
        ("i2", "Tea", {}, 1),
        ("咖啡", "Coffee", {"price": 2.5}, 1),
    ]
    before = ProfileStore(path)
    cards = {"i2": {"price": 3.0}, "i3": {"price": 4.0}}
    update_items(path, {"i2": "Green tea", "i3": "Maté"}, cards, declared=["price", "complaint"])
    assert before.declared() == [] and ProfileStore(path).declared() == ["price", "complaint"]
    assert [tuple(item) for item in ProfileStore(path).items()] == [
        ("i2", "Green tea", {"price": 3.0}, 1),
        ("i3", "Maté", {"price": 4.0}, 0),
        ("咖啡", "Coffee", None, 1),
    ]
    assert before.titles(["i2"]) == ["Tea"] and ProfileStore(path).get("u1") == before.get("u1")


def test_a_store_without_cards_says_what_makes_them(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "profiles.sqlite"
    write_profiles(path, PROFILES, {})
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE items DROP COLUMN card")
        database.commit()
    with pytest.raises(DatasetError, match="without cards: `homefeed run`"):
        list(ProfileStore(path).items())
