"""A log is turned on, and off: each event and page comes into one span; who was forgotten, into none."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import time
from collections.abc import Iterator

import pytest

from homefeed.pipeline.forget import forget
from homefeed.serving.feedback.seal import SealError, seal
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.profiles import LiveStore, outbox_table
from homefeed.serving.profiles.outbox import read_record
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop
from tests.serving.feedback.test_seal import rows
from tests.serving.log.cluster import records, send

GUEST, USER = "guest:blue", "zebra-user"


@contextlib.contextmanager
def started(serving: pathlib.Path, logs: bool) -> Iterator[LiveStore]:
    """The store as a gateway has it."""
    store = LiveStore(serving / LIVE_FILE_NAME, logs=logs)
    store.begin().result()
    yield store
    store.close()


def pass_on(store: LiveStore, log: str, count: int = 1_000) -> None:
    """As a sender does, with the first of what waits."""
    entries = store.look(outbox_table.read_waiting)[:count]
    send(log, entries)
    if entries:
        store.sent(entries[-1].mark).result()


def sealed(data: pathlib.Path) -> dict[str, str]:
    """Event → whose it is in the spans; an event that is there twice fails."""
    found = rows(data, "interactions")
    by_name = {row["event_id"]: row["user_id"] for row in found}
    assert len(by_name) == len(found)
    return by_name


def clicks(store: LiveStore, user: str, *names: str) -> None:
    store.append([shop.event(name, user, "click", "a") for name in names]).result()


def show(store: LiveStore, user: str, *names: str) -> None:
    for name in names:
        store.record(shop.exposure(name, user, shop.NOW - 7_000, "a", "b")).result()


def test_turned_on_and_off_nothing_is_lost_and_nothing_comes_twice(log: str, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    with started(serving, logs=False) as store:
        clicks(store, GUEST, "1")
        show(store, GUEST, "page-1")
    seal(serving, data, shop.NOW - 6_000)
    with started(serving, logs=False) as store:
        clicks(store, GUEST, "2")
        show(store, "u", "page-2")
    with started(serving, logs=True) as store:
        store.merge(GUEST, "u").result()
        clicks(store, "u", "3")
        pass_on(store, log)
    with pytest.raises(SealError, match=r"goes to a log, and spans are written from there: name it by --log"):
        seal(serving, data, shop.NOW)
    seal(serving, data, shop.NOW, log=log)
    assert sealed(data) == {"1": GUEST, "2": "u", "3": "u"}
    with started(serving, logs=True) as store:
        clicks(store, "u", "4")
        pass_on(store, log)
    with started(serving, logs=False) as store:
        clicks(store, "u", "5")
    seal(serving, data, shop.NOW)
    assert sealed(data) == {"1": GUEST, "2": "u", "3": "u", "5": "u"}
    with started(serving, logs=True) as store:
        clicks(store, "u", "6")
        pass_on(store, log)
    seal(serving, data, shop.NOW, log=log)
    assert sealed(data) == {"1": GUEST, **dict.fromkeys("23456", "u")}
    shown = [row["impression_id"] for row in rows(data, "exposures")]
    assert sorted(shown) == ["page-1", "page-1", "page-2", "page-2"], "two cards each"


def test_a_span_that_was_begun_before_the_log_is_finished_first(log: str, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    with started(serving, logs=False) as store:
        clicks(store, "u", "1")
    seal(serving, data, shop.NOW)
    for file in data.rglob("1.parquet"):
        file.unlink()
    with contextlib.closing(sqlite3.connect(serving / LIVE_FILE_NAME)) as database, database:
        database.execute("UPDATE sealed SET is_done = 0")
    with started(serving, logs=True) as store:
        clicks(store, "u", "2")
        pass_on(store, log)
    with pytest.raises(SealError, match=r"span 1 of .* was begun before there was a log: finish it without --log"):
        seal(serving, data, shop.NOW, log=log)
    seal(serving, data, shop.NOW)
    seal(serving, data, shop.NOW, log=log)
    assert sealed(data) == {"1": "u", "2": "u"}


@pytest.mark.parametrize("sent", ["all", "all but the login", "nothing", "read, and not taken over"])
def test_who_is_forgotten_before_the_first_sealing_is_in_no_span(
    sent: str, log: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what they did as a guest, wherever it waits."""
    serving, data = shop.make(tmp_path / "root")
    with started(serving, logs=True) as store:
        clicks(store, GUEST, "1")
        show(store, GUEST, "page-1")
        clicks(store, USER, "2")
        clicks(store, "u", "3")
        store.merge(GUEST, USER).result()
        pass_on(store, log, {"all but the login": 4, "nothing": 0}.get(sent, 1_000))
        if sent.startswith("read"):
            with monkeypatch.context() as patch:
                patch.setattr("homefeed.serving.log.copy._take_over", _die)
                with pytest.raises(KeyboardInterrupt):
                    seal(serving, data, shop.NOW, log=log)
        done = forget(USER, root=tmp_path / "root")
        assert (serving / LOG_FILE_NAME).is_file()
        assert any("Kafka removes it when its retention ends" in trace for trace in done.traces)
        pass_on(store, log)
        assert not store.look(outbox_table.read_waiting)
    seal(serving, data, shop.NOW, log=log)
    assert sealed(data) == {"3": "u"} and not rows(data, "exposures")
    told = [read_record(record) for _, record in records(log)]
    assert USER in {getattr(one.said, "user_id", "") for one in told if one and "Forgotten" in str(one.said)}


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_a_guest_does_after_their_user_was_forgotten_counts(log: str, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path / "root")
    with started(serving, logs=True) as store:
        clicks(store, GUEST, "1")
        store.merge(GUEST, USER).result()
        forget(USER, root=tmp_path / "root")
        time.sleep(0.01)
        clicks(store, GUEST, "1", "2")
        pass_on(store, log)
    seal(serving, data, shop.NOW, log=log)
    assert sealed(data) == {"1": GUEST, "2": GUEST}


def test_where_the_log_was_turned_off_nothing_of_who_is_forgotten_waits(tmp_path: pathlib.Path) -> None:
    serving, _ = shop.make(tmp_path)
    with started(serving, logs=True) as store:
        clicks(store, GUEST, "1")
        clicks(store, USER, "2")
        clicks(store, "u", "3")
    with started(serving, logs=False) as store:
        store.merge(GUEST, USER).result()
        store.forget(USER).result()
        assert [entry.user_id for entry in store.look(outbox_table.read_waiting)] == ["u"]
    assert b"zebra" not in (serving / LIVE_FILE_NAME).read_bytes()
    forget(USER, root=tmp_path)  # Spans of the log may have had the guest.
    assert not any(name in (serving / LIVE_FILE_NAME).read_bytes() for name in (b"blue", b"zebra"))


def test_pages_wait_for_a_log_that_is_away_up_to_a_limit_and_events_always(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_table, "MAX_WAITING", 5)
    serving, _ = shop.make(tmp_path)
    with started(serving, logs=True) as store:
        told = [store.record(shop.exposure(f"page-{n}", "u", shop.NOW, "a")).result() for n in range(8)]
        assert told == [True] * 5 + [False] * 3
        clicks(store, "u", "1")
        assert len(store.look(outbox_table.read_waiting)) == 6 and len(store.pages("u", 9)) == 8
        oldest = store.look(outbox_table.read_waiting)[2].mark
        store.sent(oldest).result()
        assert store.record(shop.exposure("page-9", "u", shop.NOW, "a")).result()
