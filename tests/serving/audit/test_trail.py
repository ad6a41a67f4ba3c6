"""The audit trail: what was written is there after kill -9, whoever writes beside; who was forgotten is not named."""

from __future__ import annotations

import contextlib
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import orjson
import pytest

from homefeed.serving.audit import AuditError, Trail, Wanted
from homefeed.serving.audit.pages import pages
from homefeed.serving.audit.versions import history, note_in_force, version_of
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.profiles import Exposure
from homefeed.serving.profiles.store import LIVE_FILE_NAME, LiveStore
from tests.serving.crashes import crash_while_writing
from tests.serving.servers import eventually

WRITER = """
import pathlib, sys
from homefeed.serving.audit import Trail
trail = Trail(pathlib.Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    trail.add("promote", sys.argv[2], subject=str(number))
    print(number, flush=True)
"""


def write(path: pathlib.Path, who: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(path), who, str(count)]
    with (path.parent / who).open("wb") as told:
        return subprocess.Popen(command, stdout=told)


def test_several_processes_write_and_what_was_told_survives_kill_9(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "audit.sqlite"
    writers = [write(path, "anna", 100_000), write(path, "bao", 40)]
    eventually(lambda: (tmp_path / "anna").read_text().count("\n") > 20)
    writers[0].send_signal(signal.SIGKILL)
    writers[0].wait()
    told = (tmp_path / "anna").read_text().count("\n")
    assert writers[1].wait(60) == 0
    found = Trail(path).entries(Wanted(limit=100_000))
    numbers = {who: [int(one.subject) for one in reversed(found) if one.who == who] for who in ("anna", "bao")}
    assert numbers["bao"] == list(range(40))
    assert numbers["anna"] == list(range(len(numbers["anna"]))) and told <= len(numbers["anna"]) <= told + 1
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)


def test_what_a_writer_left_half_way_is_no_fault_of_the_trail(tmp_path: pathlib.Path) -> None:
    trail = Trail(tmp_path / "audit.sqlite")
    trail.add("promote", "anna", subject="3")
    crash_while_writing(tmp_path / "audit.sqlite")
    assert [one.subject for one in trail.entries()] == ["3"]


def test_times_are_cut_off_as_those_of_entries_are(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail(tmp_path / "audit.sqlite")
    for nanoseconds in (1_000_999_000, 1_001_900_000):
        monkeypatch.setattr("time.time_ns", lambda: nanoseconds)  # noqa: B023
        trail.add("promote", "anna", subject=str(nanoseconds))
    found = trail.entries(Wanted(since=1.0016))
    assert [one.subject for one in found] == ["1001900000"], "it came 0.3 ms later, and both are millisecond 1,001"
    assert [one.subject for one in trail.entries(Wanted(until=1.0016))] == ["1000999000"]


def test_entries_are_found_by_time_page_user_and_kind(tmp_path: pathlib.Path) -> None:
    trail = Trail(tmp_path / "audit.sqlite")
    assert trail.entries() == []
    trail.add("promote", "anna", subject="3", before=2)
    middle = time.time_ns() // 1_000_000 / 1000 + 0.001
    eventually(lambda: time.time() > middle)
    trail.add("why", "reader", subject="i1", user_id="u1", impression_id="p1", reasons=[{"en": "it is new"}])
    trail.add("why", "reader", subject="i2", user_id="u2", impression_id="p2")

    def subjects(**wanted: object) -> list[str]:
        return [one.subject for one in trail.entries(Wanted(**wanted))]

    assert subjects() == ["i2", "i1", "3"]
    assert subjects(since=middle) == ["i2", "i1"] and subjects(until=middle) == ["3"]
    assert subjects(users=["u1"]) == ["i1"] and subjects(impression_id="p2") == ["i2"]
    assert subjects(what=["promote"]) == ["3"] and subjects(limit=1) == ["i2"]
    assert trail.entries(Wanted(subject="3"))[0].details == {"before": 2}


def test_who_was_forgotten_is_named_by_a_hash_that_only_their_id_finds(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "audit.sqlite"
    trail = Trail(path)
    trail.add("why", "reader", subject="i1", user_id="guest:secret-name")
    trail.renamed("guest:secret-name", "secret-name")
    trail.add("look", "anna", user_id="other")
    with trail.forgetting(["secret-name"], "anna") as told:
        told["events"] = 3
    assert b"secret-name" not in path.read_bytes()
    (found,) = trail.entries(Wanted(users=["secret-name"]))
    assert (found.what, found.who, found.details) == ("forget", "anna", {"events": 3, "entries": 1})
    assert [one.what for one in trail.entries()] == ["forget", "look"]
    elsewhere = Trail(tmp_path / "other.sqlite")
    with elsewhere.forgetting(["secret-name"], "anna"):
        pass
    assert elsewhere.entries()[0].user_id != found.user_id  # The secret is of one file.


def test_entries_are_kept_for_a_time(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail, now = Trail(tmp_path / "audit.sqlite", kept_days=10), time.time_ns()

    def add(*days: int) -> None:
        for day in days:
            monkeypatch.setattr("time.time_ns", lambda: now + day * 86_400 * 10**9)  # noqa: B023
            trail.add("promote", "anna", subject=str(day))

    add(0, 0, 0, 5, 400, 400, 6)
    assert len(trail.entries()) == 7, "a clock was ahead, for two entries"
    add(16, 16, 17, 17)
    assert len(trail.entries()) == 11, "an entry of day 6 is among the newest five"
    add(17)
    assert [one.subject for one in trail.entries()][-2:] == ["5", "0"], "the two oldest went"
    add(17, 17)
    found = [one.subject for one in trail.entries()]
    assert found[:2] == ["400", "400"] and found[-2:] == ["16", "6"]


def test_a_change_is_written_before_it_is_made(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.sqlite"
    trail = Trail(path)
    with trail.change("promote", "anna", subject="3", before=2) as told:
        assert trail.entries()[0].details == {"before": 2, "outcome": "begun"}
        told["retired"] = [4]
    assert trail.entries()[0].details == {"before": 2, "retired": [4]}
    with pytest.raises(OSError, match="no room"), trail.change("roll back", "anna"):
        raise OSError("no room")
    assert trail.entries()[0].details == {"outcome": "failed: no room"}
    with trail.change("stop", "anna"):  # The disk is full from here on: the change is made, and so it is answered.
        path.rename(tmp_path / "aside")
        path.mkdir()
    with pytest.raises(AuditError, match="cannot be written"), trail.change("stop", "anna"):
        raise AssertionError("it was made, and nothing says so")
    with pytest.raises(AuditError, match="cannot be written"), trail.forgetting(["u"], "anna"):
        raise AssertionError("nobody may be forgotten where nothing says so")
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert trail.entries()[0].details == {"outcome": "begun"}


def test_who_is_forgotten_again_and_again_has_an_entry_a_day(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, now = Trail(tmp_path / "audit.sqlite"), time.time_ns()
    for hours in (0, 1, 2, 23, 25):
        monkeypatch.setattr("time.time_ns", lambda: now + hours * 3_600 * 10**9)  # noqa: B023
        for who in ("reader", "anna"):
            with trail.forgetting(["u"], who) as told:
                told["events"] = hours
    found = [(one.who, one.details) for one in trail.entries(Wanted(users=["u"]))]
    last, first = {"events": 25, "entries": 0}, {"events": 23, "entries": 0, "times": 4}
    assert found == [("anna", last), ("reader", last), ("anna", first), ("reader", first)]


def test_who_comes_by_does_not_have_the_whole_trail_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, path, connect, asked = Trail(tmp_path / "audit.sqlite"), tmp_path / "audit.sqlite", sqlite3.connect, []

    def traced(*place: Any, **options: Any) -> sqlite3.Connection:
        database = connect(*place, **options)
        database.set_trace_callback(asked.append)
        return database

    trail.add("look", "anna", user_id="u1")
    monkeypatch.setattr("sqlite3.connect", traced)
    trail.renamed("u1", "u2")
    with trail.forgetting(["u2"], "reader"):
        pass
    trail.entries(Wanted(users=["u2"]))
    trail.entries(Wanted(impression_id="p1"))
    monkeypatch.undo()
    with contextlib.closing(sqlite3.connect(path)) as database:
        about = [one for one in asked if re.match("SELECT|UPDATE|DELETE", one) and re.search("_id (=|IN) .*'", one)]
        plans = [str(database.execute(f"EXPLAIN QUERY PLAN {one}").fetchall()) for one in about]
    assert len(plans) == 5 and [one for one in plans if not re.search("INDEX trail_(users|pages)", one)] == [], about


def test_entries_of_one_millisecond_and_of_a_clock_that_was_ahead_are_in_one_order(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = Trail(tmp_path / "audit.sqlite")
    for subject, at in (("a", 5), ("b", 9), ("c", 5), ("d", 6)):
        monkeypatch.setattr("time.time_ns", lambda: at * 1_000_000)  # noqa: B023
        trail.add("promote", "anna", subject=subject)
    assert [one.subject for one in trail.entries()] == ["b", "d", "c", "a"]
    assert [one.subject for one in trail.entries(Wanted(until=0.009, limit=2))] == ["d", "c"]


def test_a_file_that_is_none_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "audit.sqlite"
    path.write_text("no database, but long enough for a header of one" * 40)
    for ask in (Trail(path).entries, lambda: Trail(path).add("promote", "anna")):
        with pytest.raises(AuditError, match=r"audit\.sqlite cannot be (read|written): .*; free the disk"):
            ask()


def test_versions_are_told_once_by_who_came_first(tmp_path: pathlib.Path) -> None:
    trail, path = Trail(tmp_path / "audit.sqlite"), tmp_path / "rules.yaml"
    path.write_text("a: {}\n")
    for _ in range(2):
        note_in_force(trail, "rules", path, version_of("a: {}\n"))
    trail.add("publish", "anna", subject="rules", version=version_of("b: {}\n"), text="b: {}\n")
    note_in_force(trail, "rules", path, version_of("b: {}\n"))  # The file does not say that.
    path.write_text("b: {}\n")
    note_in_force(trail, "rules", path, version_of("b: {}\n"))
    assert [(one.who, one.text) for one in history(trail, "rules")] == [("anna", "b: {}\n"), ("gateway", "a: {}\n")]
    assert [one.what for one in trail.entries()] == ["in force", "publish", "in force"]
    path.write_text("a: {}\n")
    note_in_force(trail, "rules", path, version_of("a: {}\n"))
    assert [one.text for one in history(trail, "rules")] == ["a: {}\n", "b: {}\n"]


def test_versions_of_rules_say_which_files_they_name(tmp_path: pathlib.Path) -> None:
    trail, path = Trail(tmp_path / "audit.sqlite"), tmp_path / "rules.yaml"
    path.write_text("a: {deny: {item_id: {file: lists/ids.txt}}}\n")
    (tmp_path / "lists").mkdir()
    for ids in ("i1", "i1", "i2"):
        (tmp_path / "lists" / "ids.txt").write_text(ids)
        rules = read_rules(path)
        note_in_force(trail, "rules", path, rules.version, rules.text_version, rules.lists)
    later, first = trail.entries()
    assert later.details["version"] == rules.version != first.details["version"]
    assert later.details["lists"] == {"lists/ids.txt": version_of("i2")} != first.details["lists"]
    (version,) = history(trail, "rules")
    assert (version.version, version.lists) == (version_of(path.read_text()), ("lists/ids.txt",))


def test_pages_are_found_by_time_without_reading_the_log(tmp_path: pathlib.Path) -> None:
    store = LiveStore(tmp_path / LIVE_FILE_NAME)
    for number in range(300):
        page = orjson.dumps({"surface": "home", "model_version": 7, "arms": {"e": "a"}, "candidates": ["i"] * 9})
        store.record(Exposure(f"p{number}", f"u{number % 3}", "", 1_000_000 + number * 1_000, page)).result()
    store.close()

    def names(**wanted: object) -> list[str]:
        return [one.impression_id for one in pages(tmp_path, Wanted(**wanted))]

    assert names(until=1_100.0, limit=3) == ["p99", "p98", "p97"]
    assert names(since=1_298.0) == ["p299", "p298"]
    assert names(until=1_000.0) == [] and names(until=10_000.0, limit=1) == ["p299"]
    assert names(users=["u1"], until=1_100.0, limit=2) == ["p97", "p94"]
    assert names(users=["u1"], limit=2) == ["p298", "p295"] and names(impression_id="p5") == ["p5"]
    (one,) = pages(tmp_path, Wanted(impression_id="p5"))
    assert one.user_id == "u2" and one.details["arms"] == {"e": "a"} and "candidates" not in one.details
    assert pages(tmp_path / "elsewhere", Wanted()) == []
