import bz2
import gzip
import pathlib

import pytest

from homefeed.schemas import tables
from homefeed.schemas.dataset import DatasetError, Table
from tests.components.ingested import events, write_dataset


def test_formats_and_compression_by_name() -> None:
    table = Table(path="x")
    assert tables.format_of("a/b.csv.gz", table) == "csv"
    assert tables.format_of("b.part-1.NDJSON", table) == "jsonl"
    assert tables.format_of("b", Table(path="b", format="tsv")) == "tsv"
    with pytest.raises(DatasetError, match=r"cannot be told from its name. Name it with one of .csv"):
        tables.format_of("b.data.zst", table)


def test_local_files(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([("u", "A", 1)]))
    assert [file.name for file in tables.local_files(data)] == ["interactions.csv", "items.csv", "users.csv"]
    (tmp_path / "items.csv").unlink()
    with pytest.raises(DatasetError, match=r"Table 'items': no file at .*items.csv"):
        tables.local_files(data)


def test_compressed_files_are_read_through_beam(tmp_path: pathlib.Path) -> None:
    from apache_beam.io.filesystems import FileSystems

    table = b"item_id,title\nA,Apple\n"
    for name, packed in (("a.csv.gz", gzip.compress(table)), ("a.csv.bz2", bz2.compress(table))):
        (tmp_path / name).write_bytes(packed)
        with FileSystems.open(str(tmp_path / name)) as stream:
            assert tables.column_names(stream, "csv") == ["item_id", "title"]
