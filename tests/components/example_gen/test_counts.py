import dataclasses
import json
import pathlib
import re

import pytest

from homefeed.components.example_gen.counts import TableCounts, check_counts, find_examples
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


def test_a_column_may_lose_half_of_its_values(dataset: Dataset) -> None:
    lost = {"price is not a number": 3, "price net is not a number": 1, "price is outside [0, 1]": 2}
    found = dataclasses.replace(FINE, lost_values=lost, values={"price": 5, "price net": 1})
    check_counts({"items": found}, dataset)
    with pytest.raises(DatasetError) as caught:
        check_counts({"items": dataclasses.replace(found, values={"price": 4, "price net": 1})}, dataset)
    assert str(caught.value) == (
        "items: 5 of 9 values of price cannot be read, so it is something else than dataset.yaml says. "
        "3 × price is not a number; 2 × price is outside [0, 1]."
    )


def test_a_file_that_breaks_off_is_no_empty_table(dataset: Dataset) -> None:
    nothing = TableCounts(0, 0, 0, 0, 0, {}, broken=("a.csv.gz cannot be read: it ends.",))
    with pytest.raises(DatasetError, match=r"^a.csv.gz cannot be read: it ends\.$"):
        check_counts({"items": nothing}, dataset)


def test_examples_of_faults(tmp_path: pathlib.Path, dataset: Dataset) -> None:
    rows = [
        {"file": "/d/a.csv", "line": 7, "column": "value", "value": "x", "reason": "is not a number"},
        {"file": "/d/a.csv", "line": 9, "column": "value", "value": "y", "reason": "is not a number"},
        {"file": "/d/a.csv", "line": 8, "column": None, "value": None, "reason": "is torn"},
    ]
    (tmp_path / "interactions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = find_examples(tmp_path)
    assert examples == {"value is not a number": "'x' in a.csv line 7", "row is torn": "a.csv line 8"}
    bad = TableCounts(9, 0, 9, 0, 0, {"value is not a number": 8, "row is torn": 1})
    with pytest.raises(DatasetError, match=r"8 × value is not a number \('x' in a.csv line 7\); 1 × row is torn \(a"):
        check_counts({"interactions": bad}, dataset, examples)
