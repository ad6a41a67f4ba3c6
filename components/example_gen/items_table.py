"""The items table as it is now, as the Examples that ExampleGen would write, without a run."""

from __future__ import annotations

import pathlib
from collections import Counter

import pyarrow as pa

from homefeed.components.example_gen.counts import TableCounts, check_counts
from homefeed.components.example_gen.rows import join_batches, last_of_each, list_rows, titled
from homefeed.schemas import tables
from homefeed.schemas.dataset import KEYS, load_dataset


def read_items(data_dir: pathlib.Path) -> pa.RecordBatch:
    """Every usable row of the items table, the last of each id, in the form of Examples.

    Raises:
        DatasetError: there is no table, a column is missing, or too many of its rows are bad.
    """
    dataset = load_dataset(data_dir)
    source = tables.find_table(data_dir, dataset, "items")
    batches: list[pa.RecordBatch] = []
    reasons: Counter[str] = Counter()
    for batch in source.read():
        batches.append(batch.rows)
        reasons.update(row.reason for row in batch.bad)
    num_good, num_bad = sum(batch.num_rows for batch in batches), reasons.total()
    check_counts({"items": TableCounts(num_good + num_bad, num_good, num_bad, 0, 0, reasons)}, dataset)
    rows = join_batches(batches, tables.arrow_schema(source.features))
    return list_rows(titled(last_of_each(rows, KEYS["items"])))
