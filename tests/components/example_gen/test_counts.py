import dataclasses
import pathlib
import re

import pytest

from homefeed.components.example_gen.counts import TableCounts, check_counts
from homefeed.schemas.dataset import Dataset, DatasetError, load_dataset
from tests.components.ingested import DESCRIPTION

FINE = TableCounts(
    rows=1000, written=990, quarantined=10, duplicates=0, expired=0, reasons={"value is not a number": 10}
)


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> Dataset:
    (tmp_path / "dataset.yaml").write_text(DESCRIPTION)  # At most 1% may be lost, which is the default.
    return load_dataset(tmp_path)


def test_one_percent_may_be_lost(dataset: Dataset) -> None:
    check_counts({"interactions": FINE, "items": dataclasses.replace(FINE, quarantined=0, reasons={})}, dataset)
    one_more = dataclasses.replace(FINE, written=989, quarantined=11, reasons={"row is torn": 11})
    message = (
        "items: 11 of 1,000 rows cannot be used, which is 1.1%; at most 1.0% may (`max_bad_fraction` in "
        "dataset.yaml). 11 × row is torn."
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(message)}$"):
        check_counts({"interactions": FINE, "items": one_more}, dataset)


def test_an_empty_table_names_its_file(dataset: Dataset) -> None:
    empty = TableCounts(rows=0, written=0, quarantined=0, duplicates=0, expired=0, reasons={})
    with pytest.raises(DatasetError, match=r"^users is empty: users.csv has no rows\.$"):
        check_counts({"users": empty}, dataset)


def test_all_tables_are_named_at_once_with_the_most_frequent_reasons_first(dataset: Dataset) -> None:
    reasons = {f"reason {number:02d}": 1 + (number == 11) for number in range(12)}
    bad = TableCounts(rows=13, written=0, quarantined=13, duplicates=0, expired=0, reasons=reasons)
    with pytest.raises(DatasetError) as caught:
        check_counts({"interactions": bad, "users": bad}, dataset)
    first, second = str(caught.value).splitlines()
    assert first.startswith("interactions: 13 of 13 rows") and second.startswith("users: 13 of 13 rows")
    listed = first.partition("dataset.yaml). ")[2].rstrip(".").split("; ")
    assert listed == ["2 × reason 11", *(f"1 × reason {number:02d}" for number in range(9))]  # Ten of twelve.


def test_expired_and_duplicate_rows_are_no_loss(dataset: Dataset) -> None:
    check_counts({"interactions": TableCounts(100, 0, 0, 50, 50, {}, spans=("1", "2"))}, dataset)
