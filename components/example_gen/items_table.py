"""The items table as it is now, as the Examples that ExampleGen would write, without a run."""

from __future__ import annotations

import pathlib
from collections import Counter

import pyarrow as pa

from homefeed.components.example_gen.counts import TableCounts, check_counts
from homefeed.components.example_gen.rows import join_batches, last_of_each, list_rows, titled
from homefeed.schemas import tables
from homefeed.schemas.columns import KEYS, TableName
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.tables import Source, find_table, is_there


def read_items(data_dir: pathlib.Path) -> pa.RecordBatch:
    """Every usable row of the items table, the last of each id, with the facts on it, in the form of Examples.

    Raises:
        DatasetError: there is no table, a column is missing, or too many of its rows are bad.
    """
    dataset = load_dataset(data_dir)
    wanted: tuple[TableName, ...] = ("items", "knowledge") if dataset.knowledge else ("items",)
    sources = [find_table(data_dir, dataset, name) for name in wanted if is_there(data_dir, dataset, name)]
    read = {source.name: _read(source) for source in sources}
    check_counts({name: counts for name, (_, counts) in read.items()}, dataset)
    items = titled(last_of_each(read["items"][0], KEYS["items"]))
    if "knowledge" in read:
        items, _ = tables.join_facts(items, read["knowledge"][0], tables.relation_names(dataset))
    return list_rows(items)


def _read(source: Source) -> tuple[pa.RecordBatch, TableCounts]:
    batches: list[pa.RecordBatch] = []
    reasons: Counter[str] = Counter()
    for batch in source.read():
        batches.append(batch.rows)
        reasons.update(row.reason for row in batch.bad)
    num_good, num_bad = sum(batch.num_rows for batch in batches), reasons.total()
    rows = join_batches(batches, tables.arrow_schema(source.features))
    return rows, TableCounts(num_good + num_bad, num_good, num_bad, 0, 0, reasons)
