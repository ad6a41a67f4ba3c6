"""A copy of the log is sealed as the store of one gateway that took everything."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import shutil
import sqlite3
import time

import pytest

from homefeed.pipeline.forget import forget
from homefeed.serving.feedback.seal import seal
from homefeed.serving.log.address import LogError
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.outbox import Entry, event_record
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop
from tests.serving.feedback.test_seal import bytes_of, die, rows
from tests.serving.log import history
from tests.serving.log.cluster import Cluster, records, send

DAY = 86_400


def written(data: pathlib.Path) -> dict[str, bytes]:
    return {name: found for name, found in bytes_of(data).items() if name.endswith(".parquet")}


@pytest.mark.parametrize("seed", range(2))
def test_spans_are_those_of_one_gateway_byte_for_byte(
    seed: int, log: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was sent twice, whoever logged in or was forgotten in between, and how often anybody seals."""
    draw = random.Random(seed)
    (one, data_of_one), (many, data_of_many) = shop.make(tmp_path / "one"), shop.make(tmp_path / "many")
    store = LiveStore(one / LIVE_FILE_NAME, logs=True)
    told, sent = history.History(store, seed, monkeypatch), 0
    for _ in range(4):
        told.go_on(draw.randrange(40, 80))
        send(log, history.sent_twice(told.log[sent:], draw))
        sent = len(told.log)
        keep = draw.choice([0.2, 0.5, 30]) * DAY
        ones = seal(one, data_of_one, told.now + 1, keep_seconds=keep)
        manys = seal(many, data_of_many, told.now + 1, keep_seconds=keep, log=log)
        assert (manys.span, manys.rows, manys.files) == (ones.span, ones.rows, ones.files)
        assert written(data_of_many) == written(data_of_one)
    store.close()
    sealed = {row["event_id"] for table in ("interactions", "feedback") for row in rows(data_of_many, table)}
    assert len(sealed) > 200 and sealed <= told.acknowledged
    assert len(records(log)) > len(told.log), "some were sent twice"


def entry(record: bytes, user: str = "u") -> Entry:
    return Entry((1, 0), shop.NOW * 1000, user, record)


def test_what_is_none_of_ours_is_counted_and_left_out(log: str, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    foreign = [b"", b"\xff", b"[]", b'{"order": {"id": 1}}', b'{"event": {"event_id": "2"}}']
    foreign += [event_record(shop.event("3", "u", "click", "a")).replace(b'"click"', b"7")]
    send(log, [entry(one) for one in [*foreign, event_record(shop.event("1", "u", "click", "a"))]])
    done = seal(serving, data, shop.NOW, log=log)
    assert done.rows == {"interactions": 1}
    assert done.log and (done.log.records, done.log.unreadable, done.log.gone) == (7, 6, 0)


def test_who_is_forgotten_is_in_no_span_that_is_sealed_later(log: str, tmp_path: pathlib.Path) -> None:
    """Nobody had read what the log has of them; what comes later counts."""
    serving, data = shop.make(tmp_path / "root")
    now = int(time.time() * 1000)
    events = [shop.event(name, user, "click", "a") for name, user in (("1", "zebra-user"), ("2", "u"))]
    send(log, [Entry((0, n), now, one.user_id, event_record(one)) for n, one in enumerate(events)])
    seal(serving, data, 1.0, log=log)  # It reads them, and they are too young for a span.
    send(log, [Entry((0, 3), now, "zebra-user", event_record(shop.event("3", "zebra-user", "click", "b")))])
    done = forget("zebra-user", root=tmp_path / "root")
    assert done.removed[str(serving / LOG_FILE_NAME)] == 1
    assert [trace.partition("(")[2] for trace in done.traces] == [
        "Kafka removes it when its retention ends; no span will have it)"
    ]
    later = now + 60_000
    send(log, [Entry((0, 4), later, "zebra-user", event_record(shop.event("4", "zebra-user", "click", "c")))])
    seal(serving, data, shop.NOW, log=log)
    assert [row["event_id"] for row in rows(data, "interactions")] == ["2", "4"]


def test_what_was_sealed_of_a_guest_goes_with_who_they_turned_out_to_be(log: str, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path / "root")
    now = int(time.time() * 1000)
    guests = [shop.event(guest, guest, "click", "a") for guest in ("guest:0123456789", "guest:9876543210")]
    send(log, [Entry((0, n), now, one.user_id, event_record(one)) for n, one in enumerate(guests)])
    seal(serving, data, shop.NOW, keep_seconds=0, log=log)
    logged_in = dataclasses.replace(guests[0], user_id="zebra-user")
    send(log, [Entry((0, 2), now, "zebra-user", event_record(logged_in, guests[0].user_id))])
    seal(serving, data, shop.NOW, keep_seconds=0, log=log)
    assert {row["user_id"] for row in rows(data, "interactions")} == {one.user_id for one in guests}
    forget("zebra-user", data, tmp_path / "root")
    assert {row["user_id"] for row in rows(data, "interactions")} == {"guest:9876543210"}


def test_events_leave_the_store_of_the_gateway_when_the_log_is_sealed(
    log: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, data = shop.make(tmp_path)
    store = LiveStore(serving / LIVE_FILE_NAME, logs=True)
    told = history.History(store, 5, monkeypatch)
    told.go_on(40)
    before = {user: (store.profile(user), store.excluded(user)) for user in history.USERS}
    send(log, told.log)
    seal(serving, data, told.now + 1, keep_seconds=DAY / 5, log=log)
    kept = [event for user in [*history.USERS, *history.GUESTS] for event in store.events(user)]
    assert 0 < len(kept) < len(told.acknowledged) * 0.8
    assert before == {user: (store.profile(user), store.excluded(user)) for user in history.USERS}
    store.close()


def test_another_log_than_the_one_before_is_refused(
    log: str, cluster: Cluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, data = shop.make(tmp_path)
    send(log, [entry(b"x") for _ in range(9)])
    assert seal(serving, data, shop.NOW, log=log).span == ""
    with pytest.raises(LogError, match=r"what was sealed here so far is of .*; give that one, or remove log\.sqlite"):
        seal(serving, data, shop.NOW, log=cluster.new_log())
    with contextlib.closing(sqlite3.connect(serving / LOG_FILE_NAME)) as database, database:
        database.execute("UPDATE offsets SET next = next + 100, until = until + 100")
    with pytest.raises(LogError, match=r"ends at offset \d+ of partition 0, and \d+ were known: the topic was made"):
        seal(serving, data, shop.NOW, log=log)


def test_the_offsets_to_read_up_to_outlive_a_crash(log: str, tmp_path: pathlib.Path) -> None:
    """What comes after a copy was begun and broke off is for the next one."""
    serving, data = shop.make(tmp_path)
    send(log, [entry(event_record(shop.event("1", "u", "click", "a")))])
    assert seal(serving, data, shop.NOW - DAY, log=log).span == ""  # It has read it, and it came later than that.
    with contextlib.closing(sqlite3.connect(serving / LOG_FILE_NAME)) as database, database:
        database.execute("DELETE FROM events")
        database.execute("UPDATE offsets SET next = 0")  # As one leaves it who dies before the first record.
    send(log, [entry(event_record(shop.event("2", "u", "click", "b")))])
    first, second = seal(serving, data, shop.NOW, log=log), seal(serving, data, shop.NOW, log=log)
    assert [done.log and done.log.records for done in (first, second)] == [1, 1]
    assert [row["event_id"] for row in rows(data, "interactions")] == ["1", "2"]


def test_killed_at_any_step_the_spans_are_byte_for_byte_the_same(
    log: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, _ = shop.make(tmp_path / "made")
    store = LiveStore(tmp_path / "live.sqlite", logs=True)
    told = history.History(store, 7, monkeypatch)
    told.go_on(50)
    store.close()
    send(log, told.log)
    (serving / LIVE_FILE_NAME).unlink()
    calm = shutil.copytree(tmp_path / "made", tmp_path / "calm")
    at = told.now + 1
    steps = die(f"{calm}:0", log=log, at=at)
    assert len(steps) > 150
    folders = [shutil.copytree(tmp_path / "made", tmp_path / f"{number}") for number in range(8)]
    first = [steps[(len(steps) - 1) * number // (len(folders) - 1)] for number in range(len(folders))]
    draw = random.Random(1)
    die(*(f"{f}:{line}:{draw.choice(steps)}" for f, line in zip(folders, first, strict=True)), log=log, at=at)
    assert len({(folder / "data" / "interactions" / "1.parquet").exists() for folder in folders}) == 2
    for folder in folders:
        seal(folder / "serving", folder / "data", at, keep_seconds=5 * DAY, log=log)
        assert written(folder / "data") == written(calm / "data") != {}
        with contextlib.closing(sqlite3.connect(folder / "serving" / LOG_FILE_NAME)) as database:
            assert database.execute("SELECT count(*) FROM read").fetchone() == (0,)
