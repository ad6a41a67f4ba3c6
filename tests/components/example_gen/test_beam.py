import gzip
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts.types import Examples, Quarantine
from homefeed.components.example_gen import batches, beam
from homefeed.components.example_gen.counts import TableCounts
from homefeed.components.example_gen.shards import Options
from homefeed.components.example_gen.splits import SplitRule
from homefeed.schemas import privacy, tables
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import DatasetError, load_dataset
from homefeed.schemas.tables import source
from tests.components.ingested import DESCRIPTION, digests, events, histories, ingest, write_dataset


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
    monkeypatch.setattr(source, "COMPRESSION_RATIO", 40_000_000)  # Makes a small file look like many shards.
    rows = [(f"u{user}", item, second) for second, item in enumerate("ABC") for user in range(30)]
    data = write_dataset(tmp_path / "data", events(rows))
    (data / "interactions.csv.gz").write_bytes(gzip.compress((data / "interactions.csv").read_bytes()))
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions.csv.gz"))
    outputs = ingest(data, tmp_path / "out", split="leave_one_out")
    assert len(outputs.interactions.split_files("train")) > 100
    assert histories(outputs.interactions, "train") == {f"u{user}": ["A", "B", "C"] for user in range(30)}


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


def ingest_into(data: pathlib.Path, out: pathlib.Path, **options: Any) -> dict[str, TableCounts]:
    dataset = load_dataset(data)
    chosen = {"rule": SplitRule("leave_one_out", 0.1, 0.1, 0), "user_key": "", "shard_megabytes": 32, "temp_dir": ""}
    chosen |= {"positive": dataset.positive, "shown": dataset.shown or (), "now": 2_000_000_000}
    return beam.ingest(  # type: ignore[return-value]
        [tables.find_table(data, dataset, table) for table in TABLES],
        {table: Examples(out / table) for table in TABLES},
        Quarantine(out / "q"),
        Options(**chosen | options),
        "FnApiRunner",
        (),
    ).counts


def test_every_row_is_accounted_for(tmp_path: pathlib.Path) -> None:
    rows = [("u1", "A", 0), ("u1", "A", 0), ("u1", "B", 86_400 * 10), ("u1", "B", "soon"), ("u2", "C", 86_400 * 9)]
    data = write_dataset(tmp_path / "data", events(rows))
    rule = SplitRule("leave_one_out", 0.1, 0.1, retention_days=5)
    found = ingest_into(data, tmp_path / "out", rule=rule)
    assert found["interactions"] == TableCounts(
        rows=5,
        written=2,
        quarantined=1,
        duplicates=0,  # Both of the same second are too old.
        expired=2,
        reasons={"timestamp is not a time in Unix seconds or ISO 8601": 1},
        values={"user_id": 4, "item_id": 4, "timestamp": 4},
        splits={"train": 2},
    )
    assert found["items"] == TableCounts(
        rows=3,
        written=3,
        quarantined=0,
        duplicates=0,
        expired=0,
        reasons={},
        values={"item_id": 3, "title": 3, "categories": 2},
    )
    assert found["users"].written == 2


def test_a_key_that_is_not_there_is_missed_before_any_work(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    with pytest.raises(DatasetError, match="NO_SUCH_KEY"):
        ingest_into(data, tmp_path / "out", user_key="env:NO_SUCH_KEY")
    assert not (tmp_path / "out").exists()


def test_pseudonyms_take_the_place_of_user_ids_and_bad_rows_say_nothing() -> None:
    key = b"0123456789abcdef"
    rows = pa.RecordBatch.from_pydict({"item_id": ["A", "B", "C"], "user_id": ["ann", "bo", "ann"]})
    bad = tables.BadRow(4, "timestamp", "soon", "is not a time", "ann,C,soon")
    batch = tables.Batch(rows, np.array([1, 2, 3]), (bad,))
    hidden = batches.hide_users(batch, key)
    ann, bo = (privacy.pseudonym(user, key) for user in ("ann", "bo"))
    assert hidden.rows.to_pydict() == {"item_id": ["A", "B", "C"], "user_id": [ann, bo, ann]}
    assert hidden.bad == (tables.BadRow(4, "timestamp", None, "is not a time", "(withheld)"),)
    assert hidden.lines.tolist() == [1, 2, 3] and hidden.rows.schema == rows.schema


def test_a_table_without_users_has_nothing_to_hide() -> None:
    batch = tables.Batch(pa.RecordBatch.from_pydict({"item_id": ["A"]}), np.array([1]), ())
    assert batches.hide_users(batch, b"0123456789abcdef") is batch
