"""The store: once by id, all or nothing, the same after a rebuild, and whole after kill -9 and a full disk."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import pathlib
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest

from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import LiveEvent, only_seen
from homefeed.serving.profiles.store import LiveStore, StoreBusy, StoreError, open_to_read
from homefeed.serving.profiles.transaction import Stop
from tests.serving.crashes import crash_while_writing
from tests.serving.profiles.folded import fold

T = 1_700_002_800


def event(event_id: str, user: str = "u1", kind: str = "view", item: str = "a", at: int = T) -> LiveEvent:
    return LiveEvent(event_id, user, kind, at, T * 1000, item, tags=("drama",), features={"device": "phone"})


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[LiveStore]:
    store = LiveStore(tmp_path / "live.sqlite")
    yield store
    store.close()


def test_an_event_counts_once(store: LiveStore) -> None:
    first = store.append([event("1"), event("2", item="b"), event("1")]).result()
    assert [tuple(outcome) for outcome in first] == [(True, 1), (True, 2), (False, 2)]
    again = store.append([event("2", item="c"), event("3", "u2")]).result()
    assert [tuple(outcome) for outcome in again] == [(False, 2), (True, 1)]
    assert store.profile("u1").tags == {"drama": 2.0}
    assert store.excluded("u1") == {"a", "b"} and store.excluded("u2") == {"a"}


def test_an_event_comes_back_whole(store: LiveStore) -> None:
    whole = LiveEvent(
        "1", "u1", "settings", T, 5, "咖啡", -0.5, "q", "t", "i", 3, ("a", "b"), {"personalised": False}, {"x": 1.5}
    )
    store.append([whole]).result()
    assert list(store.events("u1")) == [whole]


def test_a_log_that_cannot_be_read_is_a_fault_of_the_store(store: LiveStore, tmp_path: pathlib.Path) -> None:
    store.append([event("1")]).result()
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite")) as database:
        database.execute("ALTER TABLE events RENAME TO others")
    for read in (lambda: store.happened(0), lambda: list(store.log())):
        with pytest.raises(StoreError, match="cannot be read"):
            read()


def test_of_many_events_each_is_told_once(store: LiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homefeed.serving.profiles.store.HAPPENED_BATCH", 3)
    store.append([event(str(n), item=f"i{n}") for n in range(7)]).result()
    log = list(store.log())
    assert [item for _, batch in log for item, *_ in batch] == [f"i{n}" for n in range(7)]
    assert [mark for mark, _ in log] == [3, 6, 7, 7]
    assert store.happened(2) == (5, [(f"i{n}", T, "u1") for n in (2, 3, 4)])
    assert store.happened(7) == (7, [])


def test_what_comes_a_day_late_is_not_of_now(store: LiveStore) -> None:
    times = [T, T - 86_400, T - 86_401, 0]
    events = [dataclasses.replace(event(str(n), item=f"i{n}"), at=at) for n, at in enumerate(times)]
    store.append([dataclasses.replace(one, received_at=T * 1000) for one in events]).result()
    assert [item for item, *_ in store.happened(0)[1]] == ["i0", "i1"]


def test_a_profile_is_what_its_events_make(store: LiveStore) -> None:
    chance = random.Random(4)
    kinds = ["view", "like", "hide", "not_for_me", "undo", "search", "purchase"]
    for batch in range(60):
        events = [
            event(f"{batch}-{n}", f"u{chance.randrange(3)}", chance.choice(kinds), f"i{chance.randrange(9)}", T + n)
            for n in range(chance.randrange(1, 6))
        ]
        store.append(events).result()
        if batch % 20 == 19:
            store.merge("u2", "u0").result()
    for user in ("u0", "u1", "u2"):
        assert fold(store.events(user)).encode() == store.profile(user).encode()
        assert fold(store.events(user)).version == store.profile(user).version


def test_what_was_only_seen_among_the_newest_events(store: LiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["impression", "view", "impression", "impression", "like", "impression"]
    store.append([event(str(n), kind=kind, item=f"i{n}", at=T + n) for n, kind in enumerate(kinds)]).result()
    store.append([event("other", "u2", "impression", "x")]).result()
    log = [(one.item_id, one.type, one.at) for one in store.events("u1")]
    assert store.only_seen("u1") == only_seen(log) == [(f"i{n}", T + n) for n in (0, 2, 3, 5)]
    for module in ("store", "live"):
        monkeypatch.setattr(f"homefeed.serving.profiles.{module}.NEWEST_EVENTS", 3)
    assert store.only_seen("u1") == only_seen(log) == [("i3", T + 3), ("i5", T + 5)]


def test_a_guest_is_merged_once_and_retries_of_a_guest_stay_duplicates(store: LiveStore) -> None:
    store.append([event("1", "guest", item="g"), event("2", "u1", item="a")]).result()
    assert store.merge("guest", "u1").result() == 1
    assert store.merge("guest", "u1").result() == 0
    assert [recent.item_id for recent in store.profile("u1").recent] == ["a", "g"]
    assert store.profile("guest").version == 0
    assert not store.append([event("1", "guest", item="g")]).result()[0].accepted
    assert store.profile("u1").version == 2


def test_what_must_not_come_again_was_seen_or_is_hidden(store: LiveStore) -> None:
    kinds = [("view", "a"), ("hide", "b"), ("not_for_me", "c"), ("undo", "b"), ("search", ""), ("播放", "d")]
    store.append([event(str(n), kind=kind, item=item) for n, (kind, item) in enumerate(kinds)]).result()
    assert store.excluded("u1") == {"a", "c", "d"}


def test_a_full_disk_stores_nothing_and_is_recovered_from(store: LiveStore, tmp_path: pathlib.Path) -> None:
    store.append([event("0")]).result()
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    outcomes = collections.Counter()
    for n in range(40):
        try:
            store.append([event(f"{n}-{m}", f"user-{n}", item="x" * 120) for m in range(20)]).result()
            outcomes["stored"] += 1
        except StoreError as error:
            assert "database or disk is full" in str(error) and "free the disk" in str(error)
            outcomes["refused"] += 1
            assert store.profile(f"user-{n}").version == 0 and not list(store.events(f"user-{n}"))
    assert outcomes["refused"] > 30
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert store.append([event("later")]).result()[0] == (True, 2)
    assert fold(store.events("u1")).encode() == store.profile("u1").encode()


def test_who_finds_no_room_in_the_queue_is_told_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homefeed.serving.profiles.store.MAX_WAITING", 8)
    store = LiveStore(tmp_path / "live.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # Nobody else can write.
        futures = [store.append([event(str(n))]) for n in range(30)]
        refused = [future for future in futures if future.done()]
        assert len(refused) >= 30 - 8 - 9
        for future in refused:
            assert isinstance(future.exception(), StoreBusy)
        other.execute("ROLLBACK")
    assert sum(future.exception() is None for future in futures) == 30 - len(refused) == store.profile("u1").version
    store.close()


def test_one_that_cannot_be_stored_takes_no_other_with_it(store: LiveStore) -> None:
    futures = [store.append([event(str(n), item="\ud800" if n == 3 else "a")]) for n in range(6)]
    assert [future.exception() is None for future in futures] == [n != 3 for n in range(6)]
    assert store.profile("u1").version == 5


def test_who_is_forgotten_is_nowhere_in_the_files(store: LiveStore, tmp_path: pathlib.Path) -> None:
    store.append([event(f"{n}", user) for n, user in enumerate(["zebra-user", "other-user"])]).result()
    store.record(Exposure("i1", "zebra-user", "", T, b"{}")).result()
    assert any(b"zebra-user" in path.read_bytes() for path in tmp_path.iterdir())
    assert store.forget("zebra-user").result() == 1
    assert not any(b"zebra-user" in path.read_bytes() for path in tmp_path.iterdir())
    assert store.profile("other-user").version == 1 and store.profile("zebra-user").version == 0


def test_pages_are_followed_back_to_the_first_and_only_their_user_s(store: LiveStore) -> None:
    futures = [
        store.record(Exposure(f"p{n}", user, after, T, f"{n}".encode()))
        for n, (user, after) in enumerate([("u1", ""), ("u1", "p0"), ("u2", ""), ("u1", "p1")])
    ]
    assert store.scrolled("p3", "u1") == [b"3", b"1", b"0"]  # Whether they are on disk already or not.
    assert all(future.result() for future in futures)
    assert store.scrolled("p3", "u1") == [b"3", b"1", b"0"]
    assert store.scrolled("p3", "u2") == store.scrolled("nowhere", "u1") == []
    exposure = store.exposure("p3")
    assert exposure is not None and (exposure.user_id, exposure.after, exposure.page) == ("u1", "p1", b"3")
    assert store.exposure("nowhere") is None


def test_a_closed_store_has_written_everything_and_takes_no_more(tmp_path: pathlib.Path) -> None:
    store = LiveStore(tmp_path / "live.sqlite")
    futures = [store.append([event(str(n))]) for n in range(500)]
    store.close()
    assert all(future.result()[0].accepted for future in futures)
    with pytest.raises(StoreError, match="is closed"):
        store.append([event("x")]).result()


def test_a_profile_of_fifty_events_takes_less_than_two_kilobytes(store: LiveStore, tmp_path: pathlib.Path) -> None:
    for user in range(200):
        name, first = f"user-{user:06}", user * 50
        store.append([event(f"{first + n}", name, item=f"item-{n:05}", at=T + n) for n in range(50)]).result()
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite")) as database:
        database.execute("DROP TABLE events")
        database.execute("VACUUM")
    assert (tmp_path / "live.sqlite").stat().st_size / 200 < 2_000


CLIENT = """
import pathlib, sys
from homefeed.serving.profiles.live import LiveEvent
from homefeed.serving.profiles.store import LiveStore

store, start = LiveStore(pathlib.Path(sys.argv[1])), int(sys.argv[2])
for n in range(start, start + 100_000):
    events = [LiveEvent(f"{n}-{m}", f"u{m}", "view", 1_700_002_800 + n, item_id=f"i{n}") for m in range(4)]
    for future in [store.append([event]) for event in events]:
        future.result()
    print(n, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: pathlib.Path) -> None:
    path, known = tmp_path / "live.sqlite", -1
    for life in range(3):
        # The client of the next life sends the last batch again, whatever became of it.
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(path), str(max(known, 0))], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        for _ in range(10 + 7 * life):
            known = int(process.stdout.readline())
        process.kill()
        process.wait()
        process.stdout.close()
    store = LiveStore(path)
    for user in ("u0", "u1", "u2", "u3"):
        stored = [event.event_id for event in store.events(user)]
        assert len(stored) == len(set(stored)) == store.profile(user).version
        assert set(stored) >= {f"{n}-{user[1]}" for n in range(known + 1)}
        assert fold(store.events(user)).encode() == store.profile(user).encode()
    store.close()


def page_with(arms: dict[str, str], user: str = "u1", name: str = "p") -> Exposure:
    return Exposure(f"{name}-{user}", user, "", T * 1000, b"{}", arms)


def test_what_a_writer_left_half_way_is_no_fault_of_who_reads(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.sqlite"  # A copy of a log has no write-ahead log.
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE sealed AS SELECT 'a' AS span")
    crash_while_writing(path)
    with contextlib.closing(open_to_read(path)) as database:
        assert database.execute("SELECT span FROM sealed").fetchall() == [("a",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM sealed")


def test_arms_are_kept_go_over_to_the_user_and_are_forgotten(store: LiveStore) -> None:
    store.record(page_with({"a__0": "x", "b__0": "y"}, "guest:s")).result()
    store.record(page_with({"a__0": "z"})).result()
    store.record(page_with({}, name="later")).result()
    assert store.assigned("u1") == {"a__0": "z"}
    store.merge("guest:s", "u1").result()
    assert store.assigned("u1") == {"a__0": "z", "b__0": "y"} and store.assigned("guest:s") == {}
    store.append([event("1"), event("2")]).result()
    assert store.forget("u1").result() == 2 and store.assigned("u1") == {}


def test_the_last_stop_counts(store: LiveStore) -> None:
    assert store.stops() == []
    for arm in ("control", "canary"):
        store.stop(Stop("c__1", arm, "too slow", T)).result()
    assert store.stops() == [Stop("c__1", "canary", "too slow", T)]
