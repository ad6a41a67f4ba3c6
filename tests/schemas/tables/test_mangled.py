"""Every row of every table is either read as it is, or refused and counted."""

import pathlib
import random

import pytest

from homefeed.schemas import dataset as descriptions
from homefeed.schemas.tables import find_table, read_file
from tests.schemas.tables import mangled

NUM_QUICK, NUM_SLOW = 100, 2_000


def check(seed: int, folder: pathlib.Path) -> tuple[int, int]:
    """Reads a table; how many rows it has, and how many of the good ones were refused."""
    table = mangled.make(random.Random(seed))
    path = mangled.write(table, folder)
    description = descriptions.Dataset(name="x", interactions=descriptions.Table(path=path.name, **table.options))
    source = find_table(folder, description, "interactions")
    good: dict[int, tuple[object, ...]] = {}
    bad: set[int] = set()  # Lines of rows, and of all that a value in quotes might hold, if it is one.
    lost: set[tuple[int, str | None]] = set()
    for batch in read_file(source.files[0], source.table, source.features, source.units):
        columns = [batch.rows.column(batch.rows.schema.get_field_index(name)).to_pylist() for name in mangled.COLUMNS]
        good |= dict(zip(batch.lines.tolist(), zip(*columns, strict=True), strict=True))
        bad |= {row.line + more for row in batch.bad for more in range(row.raw.count("\n") + 1)}
        lost |= {(value.line, value.column) for value in batch.lost}
    refused = bad & table.good.keys()
    where = f"seed {seed}: {table.name} {table.options}"
    assert good == {line: values for line, values in table.good.items() if line not in refused}, where
    assert table.bad <= bad and bad & table.starts == table.bad | refused, where
    assert len(good) + len(bad & table.starts) == len(table.starts) == table.num_rows, where
    assert lost == {(line, column) for line, column in table.lost if line not in refused}, where
    assert not refused or not table.is_proper, where
    path.unlink()
    return table.num_rows, len(refused)


def check_all(seeds: range, folder: pathlib.Path) -> None:
    counts = [check(seed, folder) for seed in seeds]
    num_rows, num_refused = map(sum, zip(*counts, strict=True))
    assert num_refused <= 0.01 * num_rows  # Between stray quotes with broken rows among them.


def test_tables(tmp_path: pathlib.Path) -> None:
    check_all(range(NUM_QUICK), tmp_path)


@pytest.mark.slow
def test_many_tables(tmp_path: pathlib.Path) -> None:
    check_all(range(NUM_QUICK, NUM_QUICK + NUM_SLOW), tmp_path)
