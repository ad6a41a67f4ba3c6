import gzip
import json
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import SPLITS, ArtifactError, Quarantine
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, ITEMS, events, histories, ingest, write_dataset


def test_temporal_split_cuts_at_global_times(tmp_path: pathlib.Path) -> None:
    # Ten events, at seconds 1 … 10: 8 train, 1 eval, 1 test, whoever they belong to.
    rows = [(f"u{second % 2 + 1}", "ABC"[second % 3], second) for second in range(10, 0, -1)]
    outputs = ingest(write_dataset(tmp_path / "data", events(rows)), tmp_path / "out")
    # u1: even seconds 2 4 6 8 | 10; u2: odd seconds 1 3 5 7 | 9. Item of second s: "ABC"[s % 3].
    assert histories(outputs.interactions, "train") == {"u1": list("CBAC"), "u2": list("BACB")}
    assert histories(outputs.interactions, "eval") == {"u2": ["A"]}
    assert histories(outputs.interactions, "test") == {"u1": ["B"]}


def test_leave_one_out_keeps_file_order_within_a_second(tmp_path: pathlib.Path) -> None:
    rows = [("u1", item, 7) for item in ("E", "D", "C", "B", "A")] + [("u2", item, 1) for item in "ABCD"]
    data = write_dataset(tmp_path / "data", events(rows))
    outputs = ingest(data, tmp_path / "out", split="leave_one_out")
    assert histories(outputs.interactions, "train") == {"u1": ["E", "D", "C"], "u2": list("ABCD")}
    assert histories(outputs.interactions, "eval") == {"u1": ["B"]}
    assert histories(outputs.interactions, "test") == {"u1": ["A"]}


def test_hash_split_keeps_users_whole(tmp_path: pathlib.Path) -> None:
    rows = [(f"user {user}", item, second) for user in range(200) for second, item in enumerate("ABC")]
    outputs = ingest(write_dataset(tmp_path / "data", events(rows)), tmp_path / "out", split="hash")
    found = [histories(outputs.interactions, split) for split in SPLITS]
    assert sum(map(len, found)) == 200
    assert all(items == ["A", "B", "C"] for split in found for items in split.values())
    assert [len(split) for split in found] == pytest.approx([160, 20, 20], abs=15)


def test_columns_of_an_example(tmp_path: pathlib.Path) -> None:
    text = events(
        [("u1", "A", 1, "click", 2.5, "red, round"), ("u1", "B", 2, "", "", "")],
        "user_id,item_id,timestamp,event_type,value,query",
    ).replace("red, round", '"red, round"')
    outputs = ingest(write_dataset(tmp_path / "data", text), tmp_path / "out", split="leave_one_out")
    (row,) = example_io.read_split(outputs.interactions, "train").to_pylist()
    assert row.pop("value") == [2.5, pytest.approx(np.nan, nan_ok=True)]
    assert row == {
        "user_id": [b"u1"],
        "item_id": [b"A", b"B"],
        "timestamp": [1, 2],
        "event_type": [b"click", b""],
        "query": [b"red, round", b""],
    }
    items = example_io.read_split(outputs.items, "all").to_pydict()
    assert items == {
        "item_id": [[b"A"], [b"B"], [b"C"]],
        "title": [[b"Apple"], [b"Bread"], ["茶".encode()]],
        "categories": [[b"fruit", b"red"], None, [b"drink"]],
    }


def test_duplicates_count_once(tmp_path: pathlib.Path) -> None:
    rows = [
        ("u1", "A", 1, "view"),
        ("u1", "A", 1, "click"),
        ("u1", "A", 1, "view"),
        ("u2", "A", 1, "view"),
        ("u1", "A", 2, "view"),
        ("u1", "A", 1, "view"),
    ]
    data = write_dataset(tmp_path / "data", events(rows, "user_id,item_id,timestamp,event_type"))
    outputs = ingest(data, tmp_path / "out", split="leave_one_out")
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["written"], counts["duplicates"], counts["quarantined"]) == (6, 4, 2, 0)
    assert histories(outputs.interactions, "train") == {"u1": ["A", "A", "A"], "u2": ["A"]}


def test_a_later_row_replaces_an_item(tmp_path: pathlib.Path) -> None:
    items = ITEMS + "A,Apricot,fruit\n"
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]), items)
    outputs = ingest(data, tmp_path / "out")
    titles = example_io.read_split(outputs.items, "all").to_pydict()["title"]
    assert titles == [[b"Bread"], ["茶".encode()], [b"Apricot"]]


def test_one_user(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]), users="user_id\nu1\n")
    for split in ("temporal", "leave_one_out"):
        outputs = ingest(data, tmp_path / split, split=split)
        assert histories(outputs.interactions, "train") == {"u1": ["A"]}
        assert histories(outputs.interactions, "test") == {}


def broken_rows(num_rows: int, num_broken: int) -> str:
    rows: list[tuple[object, ...]] = [("u1", "A", second) for second in range(num_rows)]
    for row in range(num_broken):
        rows[row * (num_rows // num_broken)] = (("u1", "A", "soon"), ("", "A", 1), ("u1", "A"))[row % 3]
    return events(rows)


def test_few_bad_rows_are_listed(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", broken_rows(1000, 5))
    outputs = ingest(data, tmp_path / "out")
    lines = (outputs.quarantine.path / "interactions.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [(row["line"], row["column"], row["reason"], row["raw"]) for row in found] == [
        (2, "timestamp", "is not a time in Unix seconds or ISO 8601", "u1,A,soon"),
        (202, "user_id", "is missing", ",A,1"),
        (402, None, "expected 3 values, found 2", "u1,A"),
        (602, "timestamp", "is not a time in Unix seconds or ISO 8601", "u1,A,soon"),
        (802, "user_id", "is missing", ",A,1"),
    ]
    assert {row["file"] for row in found} == {str(data / "interactions.csv")}
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["written"], counts["quarantined"]) == (1000, 995, 5)


def test_many_bad_rows_stop_the_run(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", broken_rows(100, 20))
    with pytest.raises(DatasetError) as caught:
        ingest(data, tmp_path / "out")
    assert "interactions: 20 of 100 rows cannot be used, which is 20.0%; at most 1.0% may" in str(caught.value)
    assert "7 × timestamp is not a time in Unix seconds or ISO 8601 ('soon' in interactions.csv line 2); " in str(
        caught.value
    )
    assert "7 × user_id is missing (interactions.csv line 7); " in str(caught.value)


def test_a_table_of_bad_rows_alone_is_no_crash(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", "soon"), ("u2", "B", "later")]))
    with pytest.raises(DatasetError, match="2 of 2 rows cannot be used"):
        ingest(data, tmp_path / "out")


def test_unknown_splits(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    outputs = ingest(data, tmp_path / "out")
    with pytest.raises(ArtifactError, match=r"No split 'validation' in .* Splits there: eval, test, train"):
        outputs.interactions.split_files("validation")


def test_items_outside_the_catalogue_stay(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "nowhere", 1)]))
    outputs = ingest(data, tmp_path / "out")
    assert histories(outputs.interactions, "train") == {"u1": ["nowhere"]}


def test_spans(tmp_path: pathlib.Path) -> None:
    data = write_dataset(
        tmp_path / "data", "", description=DESCRIPTION.replace("interactions.csv", "'day-{SPAN}/v{VERSION}/log.csv'")
    )
    for span, version, item in ((1, 1, "A"), (2, 1, "B"), (2, 2, "C"), (10, 1, "A")):
        folder = data / f"day-{span}" / f"v{version}"
        folder.mkdir(parents=True)
        (folder / "log.csv").write_text(events([("u1", item, span)]))
    everything = ingest(data, tmp_path / "all", split="leave_one_out")
    assert histories(everything.interactions, "train") == {"u1": ["A", "C", "A"]}
    some = ingest(data, tmp_path / "some", split="leave_one_out", spans="last:2")
    assert histories(some.interactions, "train") == {"u1": ["C", "A"]}
    with pytest.raises(DatasetError, match="No span 3 at"):
        ingest(data, tmp_path / "none", spans="3")


def test_pseudonyms_and_retention(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    days = [1_700_000_000 + day * 86_400 for day in (0, 8, 10)]
    rows = [("zebra-user", item, time) for item, time in zip("ABC", days, strict=True)]
    data = write_dataset(
        tmp_path / "data", events([*rows, ("zebra-user", "C", "soon")]), users="user_id\nzebra-user\n"
    )
    (data / "dataset.yaml").write_text(DESCRIPTION + "max_bad_fraction: 0.5\n")
    config = {"user_key": "env:USER_KEY", "retention_days": 7, "split": "leave_one_out"}
    outputs = ingest(data, tmp_path / "out", **config)
    ((user, items),) = histories(outputs.interactions, "train").items()
    assert (len(user), items) == (32, ["B", "C"])
    assert example_io.read_split(outputs.users, "all").to_pydict()["user_id"] == [[user.encode()]]
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["written"], counts["expired"], counts["quarantined"]) == (4, 2, 1, 1)
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert b"zebra" not in content and b"0123456789abcdef" not in content, file


def test_no_row_of_two_hundred_mangled_files_is_lost(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    mangled = [
        "u,A",
        "u,A,soon",
        ",A,1",
        "nan,A,1",
        "u,A,1,2,3",
        "u,\udcff,1",
        "u,,1",
        "u,A,9e99",
        "u,A,1700000000123",
    ]
    fine = [
        "u,A,{}",
        'u,"A, or\nB",{}',
        "用户,🙂 B,{}",
        '"say ""u""",C,{}',
        '"u,A,{}',
        'u,"A"x,{}',
        "u,A,2024-05-06T07:08:09Z",
    ]
    data = write_dataset(tmp_path / "data", "", description=DESCRIPTION.replace("interactions.csv", "logs/*.csv"))
    (data / "dataset.yaml").write_text((data / "dataset.yaml").read_text() + "max_bad_fraction: 1\n")
    (data / "logs").mkdir()
    num_rows = num_bad = 0
    for file in range(200):
        rows = ["user_id,item_id,timestamp"]
        for row in range(int(rng.integers(1, 30))):
            bad = rng.random() < 0.3
            rows.append(str(rng.choice(mangled if bad else fine)).format(row))
            num_rows, num_bad = num_rows + 1, num_bad + bad
        ends = "\n" if rng.random() < 0.5 else ""
        content = ("\n".join(rows) + ends).encode("utf-8", "surrogateescape")
        (data / "logs" / f"{file:03d}.csv").write_bytes(content)
    outputs = ingest(data, tmp_path / "out")
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["quarantined"]) == (num_rows, num_bad)
    assert counts["written"] + counts["duplicates"] == num_rows - num_bad
    assert counts["written"] == sum(
        len(items) for split in SPLITS for items in histories(outputs.interactions, split).values()
    )
    listed = (outputs.quarantine.path / "interactions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(listed) == num_bad == sum(counts["reasons"].values())
