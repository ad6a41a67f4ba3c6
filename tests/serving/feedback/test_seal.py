"""Sealing: each event in one span, whenever it was killed; profiles stay what they were."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fcntl
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.schemas.dataset import DatasetError
from homefeed.serving.feedback import seal as seal_module
from homefeed.serving.feedback.layout import STAGING
from homefeed.serving.feedback.seal import SealError, seal
from homefeed.serving.profiles import LiveStore, write_profiles
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop
from tests.serving.profiles.folded import fold

DAY = 86_400


def rows(data: pathlib.Path, table: str) -> list[dict[str, Any]]:
    return [row for file in sorted((data / table).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def bytes_of(data: pathlib.Path) -> dict[str, bytes]:
    files = (path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def made(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    return shop.make(tmp_path)


@contextlib.contextmanager
def opened(serving: pathlib.Path) -> Any:
    store = LiveStore(serving / LIVE_FILE_NAME)
    try:
        yield store
    finally:
        store.close()


def test_interactions_exposures_and_the_rest_together_are_all_that_was_acknowledged(
    made: tuple[pathlib.Path, pathlib.Path],
) -> None:
    serving, data = made
    log = shop.busy(serving, 1)
    done = seal(serving, data, shop.NOW)
    assert done.span == "1" and done.rows["interactions"] + done.rows["feedback"] == len(log)
    acted, rest = rows(data, "interactions"), rows(data, "feedback")
    assert sorted(row["event_id"] for row in [*acted, *rest]) == sorted(event.event_id for event in log)
    assert {row["event_type"] for row in acted} == {"click", "purchase", "like"}
    assert {row["type"] for row in rest} >= {"impression", "search", "undo", "hide"}
    assert all(row["impression_id"] == f"page-{row['event_id']}" for row in acted)
    seen = {(event.impression_id, event.item_id) for event in log if event.type not in ("search", "undo")}
    shown = collections.Counter((row["impression_id"], row["item_id"]) for row in rows(data, "exposures"))
    told = {page for page, _ in seen}
    assert {card for card in shown if card[0] in told} >= seen
    assert seal(serving, data, shop.NOW).span == "" and not list(data.glob(f"{STAGING}*"))


def test_seen_three_times_is_seen_once(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    """The denominator of the click rate is exact, whoever repeats what."""
    serving, data = made
    with opened(serving) as store:
        store.record(shop.exposure("p", "u", shop.NOW - 7_200, "a", "b", "c", "d")).result()
        seen = [shop.event(f"seen-{item}", "u", "impression", item, page="p") for item in "abc"]
        for _ in range(3):
            store.append(seen).result()
        again = [shop.event(f"again-{item}", "u", "impression", item, page="p") for item in "abc"]
        store.append([*again, shop.event("c", "u", "click", "b", page="p")]).result()
    seal(serving, data, shop.NOW)
    assert [row["item_id"] for row in rows(data, "exposures")] == ["a", "b", "c"]
    (click,) = rows(data, "interactions")
    assert (click["impression_id"], click["item_id"]) == ("p", "b")


def test_two_equal_events_of_a_second_are_two_and_one_sent_again_is_one(
    made: tuple[pathlib.Path, pathlib.Path],
) -> None:
    serving, data = made
    with opened(serving) as store:
        events = [shop.event(name, "u", "click", "a") for name in ("1", "2", "1")]
        assert [outcome.accepted for outcome in store.append(events).result()] == [True, True, False]
    seal(serving, data, shop.NOW)
    with opened(serving) as store:
        assert not store.append([shop.event("2", "u", "click", "a")]).result()[0].accepted
        store.append([shop.event("3", "u", "click", "a")]).result()
    assert seal(serving, data, shop.NOW).span == "2"
    assert [row["event_id"] for row in rows(data, "interactions")] == ["1", "2", "3"]


def test_what_comes_later_is_for_the_next_span_and_young_pages_wait(
    made: tuple[pathlib.Path, pathlib.Path],
) -> None:
    serving, data = made
    with opened(serving) as store:
        for name, at in (("old", shop.NOW - 7_200), ("young", shop.NOW - 60)):
            store.record(shop.exposure(name, "u", at, "a", "b")).result()
        store.append([
            shop.event("1", "u", "click", "a", at=shop.NOW - 50, page="young"),
            shop.event("2", "u", "click", "b", at=shop.NOW + 50, page="old"),
        ]).result()  # fmt: skip
    assert seal(serving, data, shop.NOW).rows == {"exposures": 2, "interactions": 1}
    assert seal(serving, data, shop.NOW + DAY).rows == {"exposures": 1, "interactions": 1}
    assert [(row["impression_id"], row["item_id"]) for row in rows(data, "exposures")] == [
        ("old", "a"),  # A page of which nobody had told: all of it may have been seen.
        ("old", "b"),
        ("young", "a"),
    ]


def test_a_guest_who_logs_in_after_sealing_is_not_sealed_again(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event("1", "guest:g", "click", "a"), shop.event("2", "u", "click", "b")]).result()
    seal(serving, data, shop.NOW)
    with opened(serving) as store:
        assert store.merge("guest:g", "u").result() == 1
        store.append([shop.event("3", "u", "click", "c")]).result()
    assert seal(serving, data, shop.NOW, keep_seconds=0).rows == {"interactions": 1}
    assert [row["event_id"] for row in rows(data, "interactions")] == ["1", "2", "3"]
    with opened(serving) as store:
        assert store.excluded("u") == {"a", "b", "c"} and not list(store.events("u"))
        assert store.merge("u", "other").result() == 0 and store.excluded("other") == {"a", "b", "c"}


def test_profiles_stay_what_they_were_when_events_leave(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    log = shop.busy(serving, 2, num_events=60)
    users = sorted({event.user_id for event in log})
    with opened(serving) as store:
        before = {user: (store.profile(user), store.excluded(user)) for user in users}
    done = seal(serving, data, shop.NOW, keep_seconds=20 * DAY)
    assert 0 < done.left < len(log)
    for keep in (20 * DAY, 5 * DAY, 0):
        seal(serving, data, shop.NOW, keep_seconds=keep)
        with opened(serving) as store:
            for user in users:
                assert (store.profile(user), store.excluded(user)) == before[user]
                base = store.base(user)
                assert fold(store.events(user), base.profile).encode() == store.profile(user).encode()
                assert fold(store.events(user), base.profile).version == store.profile(user).version
            store.append([shop.event(f"more-{keep}-{user}", user, "view", "i99") for user in users]).result()
            before = {user: (store.profile(user), store.excluded(user)) for user in users}
            base_of_first = store.base(users[0])
            assert fold(store.events(users[0]), base_of_first.profile) == store.profile(users[0])


def test_the_disk_gets_back_what_has_left(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    shop.busy(serving, 2)
    seal(serving, data, shop.NOW, keep_seconds=60 * DAY)
    before = (serving / LIVE_FILE_NAME).stat().st_size
    assert seal(serving, data, shop.NOW, keep_seconds=0).left
    with contextlib.closing(sqlite3.connect(serving / LIVE_FILE_NAME)) as database:
        assert database.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert (serving / LIVE_FILE_NAME).stat().st_size < before - 20_000


def test_who_is_forgotten_leaves_no_base(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    shop.busy(serving, 3, num_users=2)
    seal(serving, data, shop.NOW, keep_seconds=0)
    with opened(serving) as store:
        assert store.excluded("u0")
        store.forget("u0").result()
        assert store.base("u0").profile.version == 0 and not store.excluded("u0") and store.excluded("u1")


def test_feedback_that_was_taken_back_teaches_nothing(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    kinds = [("1", "like", "a"), ("2", "like", "b"), ("3", "undo", "a"), ("4", "like", "a"), ("5", "undo", "c")]
    with opened(serving) as store:
        store.append([shop.event(name, "u", kind, item) for name, kind, item in kinds]).result()
    seal(serving, data, shop.NOW)
    assert [row["event_id"] for row in rows(data, "interactions")] == ["2", "4"]


# --- Kills ---


def die(*jobs: str, log: str = "", at: int = shop.NOW) -> list[int]:
    command = [sys.executable, "-m", "tests.serving.feedback.die_sealing", str(at), str(5 * DAY), log, *jobs]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(number) for number in said.split()]


@pytest.mark.parametrize("times", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_step_the_spans_are_byte_for_byte_the_same(times: int, tmp_path: pathlib.Path) -> None:
    log = shop.busy(shop.make(tmp_path / "made")[0], 4, num_users=6, num_events=12)
    calm = shutil.copytree(tmp_path / "made", tmp_path / "calm")
    steps = die(f"{calm}:0")
    assert len(steps) > 150
    folders = [shutil.copytree(tmp_path / "made", tmp_path / f"{number}") for number in range(times)]
    first = [steps[len(steps) * number // times] for number in range(times)]
    draw = random.Random(times)
    # Two are killed one after the other, the second perhaps where it only carries on.
    die(*(f"{folder}:{line}:{draw.choice(steps)}" for folder, line in zip(folders, first, strict=True)))
    ends = collections.Counter((folder / "data" / "interactions" / "1.parquet").exists() for folder in folders)
    assert len(ends) == 2, "some died before the span was in its place, and some after"
    with opened(calm / "serving") as store:
        kept = {user: (list(store.events(user)), store.base(user), store.profile(user)) for user in shop.users(log)}
    for folder in folders:
        seal(folder / "serving", folder / "data", shop.NOW, keep_seconds=5 * DAY)
        assert bytes_of(folder / "data") == bytes_of(calm / "data")
        assert len(rows(folder / "data", "interactions")) + len(rows(folder / "data", "feedback")) == len(log)
        with opened(folder / "serving") as store:
            for user, known in kept.items():
                assert (list(store.events(user)), store.base(user), store.profile(user)) == known


def test_what_comes_after_a_kill_is_for_the_next_span(tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    log = shop.busy(serving, 5, num_users=3)
    with contextlib.closing(sqlite3.connect(serving / LIVE_FILE_NAME)) as database, database:
        plan = ("1", shop.NOW * 1000, 0, 20, 0, 20)  # As one leaves it that was killed.
        database.execute(
            "INSERT INTO sealed (span, at, events_after, events_to, pages_after, pages_to) VALUES (?, ?, ?, ?, ?, ?)",
            plan,
        )
    first = seal(serving, data, shop.NOW)
    second = seal(serving, data, shop.NOW)
    assert first.rows["interactions"] + first.rows["feedback"] == 20
    assert (first.span, second.span) == ("1", "2")
    assert sorted(row["event_id"] for table in ("interactions", "feedback") for row in rows(data, table)) == sorted(
        event.event_id for event in log
    )


# --- What cannot be sealed ---


def test_types_that_the_data_do_not_know_are_said_before_anything_is_planned(
    made: tuple[pathlib.Path, pathlib.Path],
) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event("1", "u", "播放", "a")]).result()
    with pytest.raises(
        DatasetError,
        match=r"100% of the users sent events of type 播放, and .*domain` has click, purchase",
    ):
        seal(serving, data, shop.NOW)
    (data / "dataset.yaml").write_text(shop.DATASET.replace("view]", "view, 播放]"), encoding="utf-8")
    assert seal(serving, data, shop.NOW).rows == {"interactions": 1}


def test_a_few_events_of_unknown_types_stop_nothing_and_teach_nothing(
    made: tuple[pathlib.Path, pathlib.Path],
) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event(str(n), f"u{n}", "click", "a") for n in range(199)]).result()
        store.append([shop.event(f"odd-{n}", "joker", "odd", "a") for n in range(500)]).result()
    done = seal(serving, data, shop.NOW)
    assert (done.rows, done.unknown) == ({"feedback": 500, "interactions": 199}, {"odd": 500})


def test_values_that_the_data_do_not_admit_are_left_out_and_counted(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    text = shop.DATASET.replace("event_type:", "value: {kind: number, min: 0, max: 5}\n    event_type:")
    (data / "dataset.yaml").write_text(text, encoding="utf-8")
    with opened(serving) as store:
        values = [None, 3.0, 1e308, -1.0]
        plain = [shop.event(str(n), "u", "click", f"i{n}") for n in range(len(values))]
        store.append([dataclasses.replace(one, value=v) for one, v in zip(plain, values, strict=True)]).result()
    done = seal(serving, data, shop.NOW)
    assert (done.rows, done.left_out) == ({"interactions": 4}, {"value": 2})
    assert [row["value"] for row in rows(data, "interactions")] == [None, 3.0, None, None]


def test_a_place_on_another_disk(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event("1", "u", "click", "a")]).result()
    elsewhere = tempfile.mkdtemp(dir="/dev/shm")
    try:
        (data / "interactions").symlink_to(elsewhere)
        if os.stat(elsewhere).st_dev == data.stat().st_dev:
            pytest.skip("there is one disk only")
        assert seal(serving, data, shop.NOW).rows == {"interactions": 1}
        assert os.listdir(elsewhere) == ["1.parquet"]
    finally:
        shutil.rmtree(elsewhere)


def test_a_store_of_an_older_version_is_sealed(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event("1", "u", "click", "a")]).result()
    with contextlib.closing(sqlite3.connect(serving / LIVE_FILE_NAME)) as database, database:
        for column in ("attributed", "moved"):
            database.execute(f"ALTER TABLE events DROP COLUMN {column}")
    assert seal(serving, data, shop.NOW).rows == {"interactions": 1}


def test_a_store_that_is_broken_is_said_in_one_line(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    with opened(serving):
        pass
    with (serving / LIVE_FILE_NAME).open("r+b") as file:
        file.write(b"no database" * 100)
    with pytest.raises(SealError, match=r"live\.sqlite: .*; mend the file or its disk"):
        seal(serving, data, shop.NOW)


def test_one_at_a_time_of_users_with_their_own_ids_and_of_a_store(tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    write_profiles(serving / "profiles.sqlite", [], {}, f"file:{key}")
    with pytest.raises(SealError, match="pseudonyms"):
        seal(serving, data)
    (serving / LIVE_FILE_NAME).unlink()
    with pytest.raises(SealError, match="`homefeed gateway` makes it"):
        seal(serving, data)


def test_fewer_events_than_asked_for_wait(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    with opened(serving) as store:
        store.append([shop.event(str(n), "u", "click", "a") for n in range(3)]).result()
        store.append([shop.event("seen", "u", "impression", "a")]).result()
    assert seal(serving, data, shop.NOW, min_events=4).span == ""
    assert seal(serving, data, shop.NOW, min_events=3).span == "1"


def test_nothing_that_is_there_is_overwritten(
    made: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """Of another live store, of an earlier one, or delivered by others."""
    serving, data = made
    for table in ("exposures", "feedback"):
        (data / table).mkdir()
    names = ["impression_id", "user_id", "item_id", "timestamp"]
    pq.write_table(pa.table([["p"], ["u"], ["i"], [shop.NOW]], names), data / "exposures" / "4.parquet")
    (data / "feedback" / "6.parquet").write_bytes(b"of an earlier live store")
    before = bytes_of(data)
    shop.busy(serving, 1)
    assert seal(serving, data, shop.NOW).span == "7"
    assert bytes_of(data).items() >= before.items()


@pytest.mark.parametrize("step", ["_carry_out", "_move"])
def test_two_stores_of_one_folder_lose_nothing(
    made: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The first plans a span, writes it perhaps, and dies; meanwhile the second takes the same name."""
    serving, data = made
    other, _ = shop.make(tmp_path / "other")
    logs = shop.busy(serving, 1), shop.busy(other, 2)
    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(f"homefeed.serving.feedback.seal.{step}", lambda *_: {}["died"])
        seal(serving, data, shop.NOW)
    assert seal(other, data, shop.NOW).span == "1"
    before = bytes_of(data)
    assert seal(serving, data, shop.NOW).span == "2" and not list(data.glob(f"{STAGING}*"))
    assert bytes_of(data).items() >= before.items()
    sealed = [row["event_id"] for table in ("interactions", "feedback") for row in rows(data, table)]
    assert sorted(sealed) == sorted(event.event_id for log in logs for event in log)
    with opened(serving) as store:
        assert store.merge("u1", "u2").result(), "what moves now is of the span that has the new name"
    assert seal(serving, data, shop.NOW).span == ""


def test_a_span_that_moved_in_part_meets_a_file_of_others(
    made: tuple[pathlib.Path, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, data = made
    shop.busy(serving, 1)
    move, moved = seal_module._move, list[pathlib.Path]()

    def die_at_the_second(path: pathlib.Path, place: pathlib.Path) -> None:
        moved.append(place)
        move(path, place) if len(moved) == 1 else {}["died"]

    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(seal_module, "_move", die_at_the_second)
        seal(serving, data, shop.NOW)
    (data / "interactions").mkdir()
    pq.write_table(
        pa.table({"user_id": ["u"], "item_id": ["i"], "timestamp": [1], "event_type": ["view"]}),
        data / "interactions/1.parquet",
    )
    before = bytes_of(data)
    with pytest.raises(SealError, match=r"interactions/1.parquet is there, and is not of this live store"):
        seal(serving, data, shop.NOW)
    assert bytes_of(data).items() >= {name: of for name, of in before.items() if STAGING not in name}.items()


def test_one_seals_into_a_folder_at_a_time(made: tuple[pathlib.Path, pathlib.Path]) -> None:
    serving, data = made
    handle = os.open(data, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(SealError, match="somebody else is sealing"):
            seal(serving, data, shop.NOW)
    finally:
        os.close(handle)


@pytest.mark.parametrize("table", ["exposures", "interactions"])
def test_tables_that_would_be_the_same_files_take_no_spans(tmp_path: pathlib.Path, table: str) -> None:
    serving, data = shop.make(tmp_path, shop.DATASET.replace(f"{table}/{{SPAN}}", "feedback/{SPAN}"))
    shop.busy(serving, 1)
    with pytest.raises(DatasetError, match="would be the same files"):
        seal(serving, data, shop.NOW)
    assert sorted(bytes_of(data)) == ["dataset.yaml"]


def test_values_that_the_data_do_not_admit_are_left_out(tmp_path: pathlib.Path) -> None:
    """One visitor's rating of -5 would close the gate on a span for good."""
    declared = "view]}\n    value: {kind: number, min: 1, max: 5}\n    dwell: {kind: number}\n"
    declared += "    device: {kind: category, domain: [phone, tv]}"
    serving, data = shop.make(tmp_path, shop.DATASET.replace("view]}", declared))
    said = [(-5.0, {"dwell": "lots", "device": "fridge"}), (4.0, {"dwell": 3.5, "device": "tv"})]
    with opened(serving) as store:
        for number, (value, features) in enumerate(said):
            one = shop.event(str(number), "u", "click", "i")
            store.append([dataclasses.replace(one, value=value, features=features)]).result()
    seal(serving, data, shop.NOW)
    found = [(row["event_type"], row["value"], row["dwell"], row["device"]) for row in rows(data, "interactions")]
    assert found == [("click", None, None, None), ("click", 4.0, "3.5", "tv")]


def test_a_table_may_lie_elsewhere(tmp_path: pathlib.Path) -> None:
    dataset = shop.DATASET.replace("interactions/{SPAN}.*", f"'{tmp_path}/elsewhere/{{SPAN}}.*'")
    serving, data = shop.make(tmp_path, dataset)
    shop.busy(serving, 1)
    done = seal(serving, data, shop.NOW)
    assert "../elsewhere/1.parquet" in done.files and (tmp_path / "elsewhere" / "1.parquet").is_file()
