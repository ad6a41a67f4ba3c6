"""The three tables of a data folder, or of some of its spans."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from homefeed.components.drift.summary import Summary, summarize_batches
from homefeed.schemas.columns import STANDARD_COLUMNS, TABLES, TableName
from homefeed.schemas.dataset import Dataset, load_dataset
from homefeed.schemas.tables import arrow_schema, find_files, find_table, is_there, join_facts, relation_names

FACTS = arrow_schema(STANDARD_COLUMNS["knowledge"])


def summarize(data_dir: pathlib.Path | str, spans: str = "") -> Summary:
    """Reads the three tables of a data folder; rows that cannot be used do not count.

    Raises:
        DatasetError: the folder holds no dataset, or one of its tables is missing.
    """
    data_dir = pathlib.Path(data_dir)
    dataset = load_dataset(data_dir)
    parts: dict[TableName, Iterable[pa.RecordBatch]] = {
        table: _read_table(data_dir, dataset, table, spans) for table in TABLES
    }
    if dataset.knowledge and is_there(data_dir, dataset, "knowledge", spans):
        facts = pa.Table.from_batches(_read_table(data_dir, dataset, "knowledge", spans), FACTS).combine_chunks()
        parts["items"] = _with_facts(parts["items"], facts.to_batches(), relation_names(dataset))
    each = find_files(data_dir, dataset.interactions, "interactions", spans).spans
    events_per_user: collections.Counter[int] = collections.Counter()
    if len(each) > 1:
        logs = (_read_table(data_dir, dataset, "interactions", span) for span in each)
        parts["interactions"] = _log_by_log(logs, events_per_user)
    name = f"{data_dir}@{spans}" if spans else str(data_dir)
    summary = summarize_batches(name, parts, {table: dataset.features(table) for table in TABLES})
    if len(each) > 1:  # A user has more events in a week of spans than in the one that it is compared with.
        summary.events_per_user = events_per_user
    return summary


def _log_by_log(
    logs: Iterable[Iterable[pa.RecordBatch]], events_per_user: collections.Counter[int]
) -> Iterator[pa.RecordBatch]:
    """All batches; on the way it counts, log by log, how many users have how many events."""
    for log in logs:
        users: collections.Counter[str] = collections.Counter()
        for rows in log:
            users.update(rows.column(rows.schema.get_field_index("user_id")).to_pylist())
            yield rows
        events_per_user.update(users.values())


def _with_facts(
    items: Iterable[pa.RecordBatch], facts: Sequence[pa.RecordBatch], relations: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """The items with their facts, which are one batch or, if there are none, no batch."""
    for rows in items:
        yield join_facts(rows, facts[0], relations)[0] if facts else rows


def _read_table(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted: str) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in find_table(data_dir, dataset, name, wanted).read())
