"""Rows between the steps: in files, by shard, and gone at the end."""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts.types import Examples
from homefeed.components.example_gen import spill
from homefeed.components.example_gen.spill import Chunk
from homefeed.schemas.tables import BadRow
from tests.components.ingested import digests, events, ingest, write_dataset


def table(*ids: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": list(ids), "n": list(range(len(ids)))})


def test_a_key_belongs_to_one_shard_for_ever() -> None:
    keys = pa.array(["a", "b", "茶", "a"])
    shards = spill.shard_of(keys, 5)
    # CRC-32 of "a" is 3904355907 and of "b" 1908338681, modulo 5.
    assert shards[:2].tolist() == [2, 1] and shards[3] == shards[0]
    assert spill.shard_of(keys, 1).tolist() == [0, 0, 0, 0]
    many = spill.shard_of(pa.array([f"user {number}" for number in range(5000)]), 5)
    assert np.bincount(many) == pytest.approx([1000] * 5, abs=120)


def test_shards_come_back_each_in_the_order_of_the_rows(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "rows.arrow")
    assert spill.spill(table("a", "b", "c", "d"), np.array([7, 2, 7, 2]), path) == [2, 7]
    second = spill.read_chunks([Chunk(0, 0, path, 1)], table("a").schema)
    assert second.to_pydict() == {"id": ["a", "c"], "n": [0, 2]}


def test_chunks_are_read_in_the_order_of_the_files(tmp_path: pathlib.Path) -> None:
    paths = [str(tmp_path / f"{name}.arrow") for name in ("z", "a", "m")]
    for name, path in zip("zam", paths, strict=True):
        spill.spill(table(name), np.array([0]), path)
    places = [(1, 0), (0, 10), (0, 2)]  # (file, number of the block in it).
    chunks = [Chunk(*place, path, 0) for place, path in zip(places, paths, strict=True)]
    assert spill.read_chunks(chunks, table("a").schema).to_pydict()["id"] == ["m", "a", "z"]


def test_a_shard_without_any_chunk_is_empty() -> None:
    assert spill.read_chunks([], table("a").schema).to_pydict() == {"id": [], "n": []}


def test_bad_rows_are_lines_that_say_where_they_were(tmp_path: pathlib.Path) -> None:
    bad = [BadRow(3, "value", "x", "is not a number", "u,\udcff"), BadRow(9, None, None, "expected 3 values", "茶")]
    path = spill.spill_bad(bad, "log.csv", str(tmp_path / "bad.jsonl"))
    text = pathlib.Path(path).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines() if "udcff" not in line]
    assert lines == [
        {"file": "log.csv", "line": 9, "column": None, "reason": "expected 3 values", "value": None, "raw": "茶"}
    ]
    assert text.splitlines()[0].endswith('"raw": "u,\\udcff"}')  # What is no UTF-8 is written down.


def test_without_a_shared_folder_rows_wait_in_the_systems_place() -> None:
    with spill.between_steps("") as folder:
        assert pathlib.Path(folder).is_dir()
    assert not pathlib.Path(folder).exists()


def test_a_shared_folder_is_kept_and_what_was_put_there_is_not(tmp_path: pathlib.Path) -> None:
    (tmp_path / "others.txt").write_text("of somebody else")
    with spill.between_steps(f"{tmp_path}/") as folder:
        assert folder.startswith(f"{tmp_path}/homefeed-")
        spill.copy(str(tmp_path / "others.txt"), f"{folder}/deep/copy.txt")
        with spill.between_steps(str(tmp_path)) as other:
            assert other != folder
    assert [path.name for path in tmp_path.iterdir()] == ["others.txt"]


def test_a_worker_delivers_and_we_fetch(tmp_path: pathlib.Path) -> None:
    examples = Examples(tmp_path / "far" / "items")
    with spill.delivered(examples, "items", str(tmp_path / "delivery")) as scratch:
        assert scratch.path != examples.path and isinstance(scratch, Examples)
        (scratch.path / "Split-all").mkdir()
        (scratch.path / "Split-all" / "data.gz").write_bytes(b"rows")
    assert not scratch.path.exists() and not examples.path.exists()
    spill.fetch(f"{tmp_path}/delivery/items", tmp_path / "here")
    assert (tmp_path / "here" / "Split-all" / "data.gz").read_bytes() == b"rows"
    with spill.delivered(examples, "items", "") as direct:
        assert direct is examples


def test_the_folder_between_the_steps_is_gone_at_the_end_even_of_a_failed_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = tmp_path / "between"
    between.mkdir()
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1), ("u2", "B", 2)]))
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", temp_dir=str(between))
    assert digests(tmp_path / "here") == digests(tmp_path / "there") and not any(between.iterdir())

    def full(source: str, target: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(spill, "copy", full)
    with pytest.raises(Exception, match="no space left"):
        ingest(data, tmp_path / "failed", temp_dir=str(between))
    assert not any(between.iterdir())
