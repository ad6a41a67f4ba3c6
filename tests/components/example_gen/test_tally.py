import pathlib
from collections import Counter

import pytest

from homefeed.components.example_gen import tally
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.tables import Source, find_table
from tests.components.ingested import DESCRIPTION, events, write_dataset

COLUMNS = "user_id,item_id,timestamp,stars"
ROWS = [("u1", "A", 1, 5), ("u1", "B", 2, ""), ("", "C", 3, 4), ("u2", "C", "soon", 4), ("u2", "C", "later", 1)]


@pytest.fixture
def source(tmp_path: pathlib.Path) -> Source:
    description = DESCRIPTION.replace("interactions.csv}", "interactions.csv, columns: {value: stars}}")
    data = write_dataset(tmp_path, events(ROWS, COLUMNS), description=description)
    return find_table(data, load_dataset(data), "interactions")


def test_a_batch_is_counted_by_row_fault_and_column(source: Source) -> None:
    (batch,) = source.read_file(0)
    counts = tally.count(source, batch)
    assert (counts["rows"], counts["quarantined"]) == (5, 3)
    bad = {name: count for name, count in counts.items() if name.startswith(tally.BAD)}
    assert bad[f"{tally.BAD}user_id is missing"] == 1 and sum(bad.values()) == 3
    # Of the two rows that are left one has a value, which the file calls stars.
    read = {name.removeprefix(tally.READ): count for name, count in counts.items() if name.startswith(tally.READ)}
    assert read == {"user_id": 2, "item_id": 2, "timestamp": 2, "stars": 1}


def test_counters_add_up_whoever_counted(source: Source) -> None:
    (batch,) = source.read_file(0)
    once = tally.count(source, batch)
    assert tally.add([once, once, Counter(written=0)]) == {**{name: 2 * n for name, n in once.items()}, "written": 0}
    assert "written" in tally.add([Counter(written=0)]) and tally.add([]) == {}


def test_counters_come_back_under_the_names_of_a_table(source: Source) -> None:
    counts = {
        "rows": 10,
        "written": 6,
        "duplicates": 1,
        "quarantined": 3,
        f"{tally.BAD}user_id is missing": 3,
        f"{tally.LOST}stars is not a number": 2,
        f"{tally.READ}stars": 4,
        f"{tally.BROKEN}b.csv ends in the middle": 1,
    }
    found = tally.table_counts(counts, source)
    assert (found.rows, found.written, found.quarantined, found.duplicates, found.expired) == (10, 6, 3, 1, 0)
    assert found.reasons == {"user_id is missing": 3} and found.lost_values == {"stars is not a number": 2}
    assert found.values == {"stars": 4} and found.broken == ("b.csv ends in the middle",)
    assert found.spans == () == found.skipped
