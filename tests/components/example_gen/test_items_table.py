import pathlib

import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.example_gen.items_table import read_items
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, ITEMS, events, ingest, write_dataset


def test_items_are_those_that_a_run_would_write(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]), ITEMS + "A,Apricot,fruit\n")
    written = example_io.read_split(ingest(data, tmp_path / "out").items, "all").to_pydict()
    read = read_items(data).to_pydict()
    assert read["item_id"] == written["item_id"] == [[b"B"], [b"C"], [b"A"]]
    assert read["title"] == written["title"] == [[b"Bread"], ["茶".encode()], [b"Apricot"]]
    assert [cell or [] for cell in read["categories"]] == [cell or [] for cell in written["categories"]]


def test_items_of_several_files_come_in_their_order(tmp_path: pathlib.Path) -> None:
    description = DESCRIPTION.replace("items.csv", "items-*.csv")
    data = write_dataset(tmp_path, events([]), description=description)
    for number, (item, title) in enumerate((("Z", "Zebra"), ("A", "Apple"), ("Z", "Zoo"))):
        (data / f"items-{number}.csv").write_text(f"item_id,title\n{item},{title}\n")
    assert read_items(data).to_pydict()["title"] == [[b"Apple"], [b"Zoo"]]


def test_a_table_that_lost_too_many_rows_is_refused(tmp_path: pathlib.Path) -> None:
    broken = ITEMS + ",without an id,\n"
    data = write_dataset(tmp_path, events([]), broken)
    with pytest.raises(DatasetError, match=r"items: 1 of 4 rows cannot be used, which is 25.0%.*1 × is missing"):
        read_items(data)
    (data / "dataset.yaml").write_text(DESCRIPTION + "max_bad_fraction: 0.25\n")
    assert read_items(data).num_rows == 3
    (data / "items.csv").write_text("item_id,title\n")
    with pytest.raises(DatasetError, match="items is empty"):
        read_items(data)


def test_a_table_of_bad_rows_alone_is_no_crash(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([]), "item_id,title\n,nobody\n")
    (data / "dataset.yaml").write_text(DESCRIPTION + "max_bad_fraction: 1\n")
    assert read_items(data).num_rows == 0
