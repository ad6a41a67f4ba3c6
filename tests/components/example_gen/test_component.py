import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import ArtifactError
from homefeed.components.example_gen import component as example_gen
from homefeed.components.example_gen.component import Config, find_cuts
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, ITEMS, events, histories, ingest, write_dataset


def digests(folder: pathlib.Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_temporal_split_cuts_at_global_times(tmp_path: pathlib.Path) -> None:
    # Ten events, at seconds 1 … 10: 8 train, 1 eval, 1 test, whoever they belong to.
    rows = [(f"u{second % 2 + 1}", "ABC"[second % 3], second) for second in range(10, 0, -1)]
    outputs = ingest(write_dataset(tmp_path / "data", events(rows)), tmp_path / "out")
    # u1: even seconds 2 4 6 8 | 10; u2: odd seconds 1 3 5 7 | 9. Item of second s: "ABC"[s % 3].
    assert histories(outputs.interactions, "train") == {"u1": list("CBAC"), "u2": list("BACB")}
    assert histories(outputs.interactions, "eval") == {"u2": ["A"]}
    assert histories(outputs.interactions, "test") == {"u1": ["B"]}


def test_events_of_one_second_are_never_parted() -> None:
    cuts = find_cuts(np.array([10, 20, 30]), np.array([7, 2, 1]), Config())
    assert (cuts.eval, cuts.test) == (20, 30)  # Rank 8 of 10 is at 20, rank 9 at 30: 7 train, 2 eval, 1 test.
    cuts = find_cuts(np.array([10, 20]), np.array([9, 1]), Config())
    assert (cuts.eval, cuts.test) == (11, 20)  # Rank 8 is at 10, but the earliest second trains.
    cuts = find_cuts(np.array([5]), np.array([3]), Config())
    assert cuts.eval == 6


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
    found = [histories(outputs.interactions, split) for split in example_gen.SPLITS]
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
    counts = outputs.quarantine.read_json(example_gen.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["written"], counts["duplicates"], counts["quarantined"]) == (6, 4, 2, 0)
    assert histories(outputs.interactions, "train") == {"u1": ["A", "A", "A"], "u2": ["A"]}


def test_a_later_row_replaces_an_item(tmp_path: pathlib.Path) -> None:
    items = ITEMS + "A,Apricot,fruit\n"
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]), items)
    outputs = ingest(data, tmp_path / "out")
    titles = example_io.read_split(outputs.items, "all").to_pydict()["title"]
    assert titles == [[b"Bread"], ["茶".encode()], [b"Apricot"]]


def test_bytes_depend_on_the_data_alone(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"u{rng.integers(50)}", "ABC"[rng.integers(3)], rng.integers(1000)) for _ in range(2000)]
    data = write_dataset(tmp_path / "data", events(rows))
    ingest(data, tmp_path / "once")
    ingest(data, tmp_path / "twice", beam_options=("--direct_num_workers=2",))
    assert digests(tmp_path / "once") == digests(tmp_path / "twice")
    # The same rows in two files, read as two elements.
    lines = (data / "interactions.csv").read_text().splitlines(keepends=True)
    (data / "interactions-1.csv").write_text("".join(lines[:700]))
    (data / "interactions-2.csv").write_text("".join([lines[0], *lines[700:]]))
    (data / "interactions.csv").unlink()
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions-*.csv"))
    ingest(data, tmp_path / "parted")
    assert digests(tmp_path / "once") == digests(tmp_path / "parted")


def test_shards_hold_whole_users(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homefeed.schemas.tables import source

    monkeypatch.setattr(source, "COMPRESSION_RATIO", 40_000_000)  # Makes a small file look like many shards.
    rows = [(f"u{user}", item, second) for second, item in enumerate("ABC") for user in range(30)]
    data = write_dataset(tmp_path / "data", events(rows))
    import gzip

    (data / "interactions.csv.gz").write_bytes(gzip.compress((data / "interactions.csv").read_bytes()))
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions.csv.gz"))
    outputs = ingest(data, tmp_path / "out", split="leave_one_out")
    assert len(outputs.interactions.split_files("train")) > 100
    assert histories(outputs.interactions, "train") == {f"u{user}": ["A", "B", "C"] for user in range(30)}


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
    counts = outputs.quarantine.read_json(example_gen.COUNTS_FILE)["interactions"]
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


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: (d / "items.csv").unlink(), r"'items': no file at .*items.csv; .* holds dataset.yaml, inter"),
        (lambda d: (d / "users.csv").write_text("user_id\n"), "users is empty: users.csv has no rows"),
        (lambda d: (d / "users.csv").write_text(""), "has no column user_id. Columns there: none, it is empty"),
        (
            lambda d: (d / "items.csv").write_text("Item_ID,name\nA,Apple\n"),
            r"has no column item_id. Columns there: Item_ID, name. .*`items.columns: \{item_id: Item_ID\}`",
        ),
        (lambda d: (d / "dataset.yaml").unlink(), "dataset.yaml does not exist"),
        (
            lambda d: (d / "dataset.yaml").write_text(DESCRIPTION.replace("users.csv", "users.dat")),
            "no file at",
        ),
        (lambda d: (d / "users.csv").write_bytes(b"user_id,\xff\nu1,2\n"), "not a header in UTF-8"),
        (lambda d: (d / "users.csv").write_text("user_id,user_id\nu1,2\n"), "user_id are there more than once"),
    ],
)
def test_errors(tmp_path: pathlib.Path, break_it: object, message: str) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    break_it(data)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=message):
        ingest(data, tmp_path / "out")


def test_unknown_splits(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    with pytest.raises(DatasetError, match="Unknown split 'random', expected one of temporal, leave_one_out, hash"):
        ingest(data, tmp_path / "out", split="random")
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
    rows = [("zebra-user", "A", 0), ("zebra-user", "B", 8 * 86_400), ("zebra-user", "C", 10 * 86_400)]
    data = write_dataset(
        tmp_path / "data", events([*rows, ("zebra-user", "C", "soon")]), users="user_id\nzebra-user\n"
    )
    (data / "dataset.yaml").write_text(DESCRIPTION + "max_bad_fraction: 0.5\n")
    config = {"user_key": "env:USER_KEY", "retention_days": 7, "split": "leave_one_out"}
    outputs = ingest(data, tmp_path / "out", **config)
    ((user, items),) = histories(outputs.interactions, "train").items()
    assert (len(user), items) == (32, ["B", "C"])
    assert example_io.read_split(outputs.users, "all").to_pydict()["user_id"] == [[user.encode()]]
    counts = outputs.quarantine.read_json(example_gen.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["written"], counts["expired"], counts["quarantined"]) == (4, 2, 1, 1)
    import gzip

    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert b"zebra" not in content and b"0123456789abcdef" not in content, file


def test_no_row_of_two_hundred_mangled_files_is_lost(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    mangled = ["u,A", "u,A,soon", ",A,1", '"u,A,1', "u,A,1,2,3", "u,\udcff,1", 'u,"A"x,1', "u,,1", "u,A,9e99"]
    fine = [
        "u,A,{}",
        'u,"A, or\nB",{}',
        "用户,🙂 B,{}",
        '"say ""u""",C,{}',
        "u,A,1700000000123",
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
    counts = outputs.quarantine.read_json(example_gen.COUNTS_FILE)["interactions"]
    assert (counts["rows"], counts["quarantined"]) == (num_rows, num_bad)
    assert counts["written"] + counts["duplicates"] == num_rows - num_bad
    assert counts["written"] == sum(
        len(items) for split in example_gen.SPLITS for items in histories(outputs.interactions, split).values()
    )
    listed = (outputs.quarantine.path / "interactions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(listed) == num_bad == sum(counts["reasons"].values())


def test_another_runner_writes_the_same(tmp_path: pathlib.Path) -> None:
    rows = [(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)]
    data = write_dataset(tmp_path / "data", events(rows))
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", runner="BundleBasedDirectRunner")
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


@pytest.mark.parametrize(
    "config",
    [
        {},
        # Through Beam's portable API, as Flink and Spark are reached, with a server of jobs and one of workers.
        {"runner": "PortableRunner", "beam_options": ("--job_endpoint=embed", "--environment_type=LOOPBACK")},
    ],
    ids=["here", "portable"],
)
def test_workers_elsewhere_need_no_folder_but_the_shared_one(
    config: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.components import shop_file_system

    monkeypatch.setattr(shop_file_system, "ROOT", tmp_path / "shop")
    rows = [(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)] + [("u1", "A", "never")]
    description = DESCRIPTION + "max_bad_fraction: 0.1\n"
    data = write_dataset(tmp_path / "data", events(rows), description=description)
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", temp_dir="shop://between", **config)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    read = [(tmp_path / place / "q" / "interactions.jsonl").read_text() for place in ("here", "there")]
    assert read[0] == read[1] and "never" in read[0]
    assert not [path for path in (tmp_path / "shop").rglob("*") if path.is_file()]  # Nothing of the users stays.


def test_the_folder_between_the_steps_is_gone_at_the_end_even_of_a_failed_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homefeed.components.example_gen import beam as _ingest

    between = tmp_path / "between"
    between.mkdir()
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1), ("u2", "B", 2)]))
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", temp_dir=str(between))
    assert digests(tmp_path / "here") == digests(tmp_path / "there") and not any(between.iterdir())

    def full(source: str, target: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(_ingest, "_copy", full)
    with pytest.raises(Exception, match="no space left"):
        ingest(data, tmp_path / "failed", temp_dir=str(between))
    assert not any(between.iterdir())
