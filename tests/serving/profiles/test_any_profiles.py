"""Any profiles come back from the published store, and the live one is what plain lists make of any changes."""

from __future__ import annotations

import math
import pathlib
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.models.requests import Event, Request
from homefeed.serving.profiles import ProfileStore, update_items, write_profiles
from homefeed.serving.profiles.live import LiveEvent
from homefeed.serving.profiles.store import LiveStore
from tests.serving.profiles.folded import fold

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
EVENTS = st.builds(
    Event,
    WORDS,
    FLOATS | st.just(math.nan),
    st.just("") | WORDS,
    st.integers(0, 2**40),
    st.dictionaries(WORDS, FLOATS | WORDS, max_size=2),
)
LISTS = st.lists(WORDS, max_size=2) | st.lists(FLOATS, max_size=2)
FEATURES = st.dictionaries(WORDS, FLOATS | WORDS | LISTS, max_size=3)
PROFILES = st.lists(st.builds(Request, WORDS, st.lists(EVENTS, max_size=4), FEATURES), unique_by=lambda r: r.user_id)
TITLES = st.dictionaries(WORDS, WORDS, max_size=4)
CARDS = st.dictionaries(WORDS, WORDS | FLOATS | st.lists(WORDS, max_size=2), max_size=2)


def plain(event: Event) -> tuple[str, ...]:
    """NaN is equal to itself."""
    return (event.item_id, repr(event.value), event.event_type, repr(event.timestamp), repr(dict(event.features)))


@given(PROFILES, TITLES, TITLES, st.data())
@settings(max_examples=25)
def test_what_is_published_is_read(
    profiles: list[Request], titles: dict[str, str], later: dict[str, str], data: st.DataObject
) -> None:
    cards = {item: data.draw(CARDS) for item in titles if data.draw(st.booleans())}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "profiles.sqlite"
        write_profiles(path, profiles, titles, cards=cards)
        store = ProfileStore(path)
        assert list(store.user_ids()) == sorted((one.user_id for one in profiles), key=str.encode)
        for one in profiles:
            found = store.get(one.user_id, now=9)
            assert found.features == one.features and found.timestamp == 9
            assert list(map(plain, found.history)) == list(map(plain, one.history))
        had = [event.item_id for one in profiles for event in one.history]
        items = {item.item_id: item for item in store.items()}
        assert {name: item.title for name, item in items.items()} == titles
        assert {name: item.card for name, item in items.items()} == {name: cards.get(name) for name in titles}
        assert all(item.popularity == had.count(name) for name, item in items.items())
        update_items(path, later, {name: {"kind": "new"} for name in later})
        now = {item.item_id: item for item in ProfileStore(path).items()}
        assert {name: item.title for name, item in now.items()} == titles | later
        assert {name for name, item in now.items() if item.card} == set(later), "what is gone has no card"
        assert all(now[name].popularity == item.popularity for name, item in items.items())
        assert {item.item_id: item for item in store.items()} == items, "an open store stays as it was"


USERS = st.sampled_from(["u1", "u2", "guest"])
STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 9), USERS, st.sampled_from("ab")), max_size=4)),
    st.tuples(st.just("merge"), st.sampled_from(["u1", "u2"])),
    st.tuples(st.just("forget"), USERS),
)


def event(number: int, user: str, item: str) -> LiveEvent:
    kind = ("view", "like", "hide", "undo")[number % 4]
    return LiveEvent(str(number), user, kind, 1_700_002_800 + number, item_id=item, tags=("drama",))


@given(st.lists(STEPS, max_size=6))
@settings(max_examples=25)
def test_the_live_store_is_what_plain_lists_are(steps: list[tuple[str, Any]]) -> None:
    log: list[LiveEvent] = []
    with tempfile.TemporaryDirectory() as folder:
        store = LiveStore(pathlib.Path(folder) / "live.sqlite")
        for step, said in steps:
            if step == "append":
                events = [event(*one) for one in said]
                outcomes = store.append(events).result()
                for one, outcome in zip(events, outcomes, strict=True):
                    is_new = one.event_id not in {other.event_id for other in log}
                    log += [one] if is_new else []
                    assert outcome.accepted == is_new
            elif step == "merge":
                moved = [one for one in log if one.user_id == "guest"]
                assert store.merge("guest", said).result() == len(moved)
                kept = [one for one in log if one.user_id != "guest"]
                log = [*kept, *(LiveEvent(**vars(one) | {"user_id": said}) for one in moved)]
            else:
                gone = [one for one in log if one.user_id == said]
                assert store.forget(said).result() == len(gone)
                log = [one for one in log if one.user_id != said]
            for user in ("u1", "u2", "guest"):
                mine = [one for one in log if one.user_id == user]
                assert list(store.events(user)) == mine
                assert store.profile(user).encode() == fold(mine).encode()
                seen = {one.item_id for one in mine if one.type in ("view", "like")}
                last = {one.item_id: one.type for one in mine if one.type in ("hide", "undo")}
                assert store.excluded(user) == seen | {item for item, kind in last.items() if kind == "hide"}
        store.close()


@pytest.mark.parametrize("user", ["", "nobody", "u1' OR '1'='1"])
def test_who_is_unknown_has_done_nothing(user: str, tmp_path: pathlib.Path) -> None:
    store = LiveStore(tmp_path / "live.sqlite")
    store.append([event(0, "u1", "a")]).result()
    assert list(store.events(user)) == [] and store.excluded(user) == set() and store.profile(user).version == 0
    assert store.forget(user).result() == store.merge(user, "u2").result() == 0
    assert store.excluded("u1") == {"a"}
    store.close()
