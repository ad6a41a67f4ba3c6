# mypy: disable-error-code="no-untyped-call"
"""What drift can be judged on: data folders, Examples, TFDV's statistics, and logs of requests that were served."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.components.drift import summary as _summaries
from homefeed.components.drift.summary import NUM_GROUPS, Column, Summary
from homefeed.schemas import tables
from homefeed.schemas.dataset import (
    FILE_NAME,
    STANDARD_COLUMNS,
    TABLES,
    Dataset,
    DatasetError,
    Feature,
    TableName,
    load_dataset,
)

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_SIZE = 1000
BUCKET_POINTS = 100


def load(path: pathlib.Path | str) -> Summary:
    """The counts of what lies at a path.

    Args:
        path: a data folder, or `DIR@SPANS` for some of its spans; Examples: ExampleGen's folder of three tables, one
            table or one split; statistics: `FeatureStats.pb` or the folder of one split's; or a TFRecord file (or
            folder of them) of PredictionLogs, as model servers log requests and keep them for warm-up.

    Raises:
        DatasetError: it is none of these, or does not say what drift is judged on.
    """
    path, spans = split_spans(path)
    if (path / FILE_NAME).is_file():
        return summarize(path, spans)
    if (path / ExampleStatistics.FILE).is_file():
        return from_statistics(path / ExampleStatistics.FILE)
    if path.suffix == ".pb" and path.is_file():
        return from_statistics(path)
    if statistics := sorted(path.glob(f"Split-*/{ExampleStatistics.FILE}")):
        if len(statistics) == 1:
            return from_statistics(statistics[0])
        raise DatasetError(f"{path} holds the statistics of several splits. Name one, as {statistics[0].parent}.")
    if examples := _example_files(path):
        return from_examples(path, examples)
    if files := _record_files(path):
        return from_log(path, files)
    raise DatasetError(
        f"{path} is neither a data folder (it has no {FILE_NAME}) nor Examples (no Split-<name>/*.gz) nor a split's "
        f"statistics (no {ExampleStatistics.FILE}) nor a log of requests (TFRecords of PredictionLog)."
    )


def split_spans(path: pathlib.Path | str) -> tuple[pathlib.Path, str]:
    """`DIR@SPANS` as the data folder and its spans; any other path with no spans."""
    data_dir, _, spans = str(path).rpartition("@")
    if data_dir and (pathlib.Path(data_dir) / FILE_NAME).is_file():
        return pathlib.Path(data_dir), spans
    return pathlib.Path(path), ""


# --- Data folders ---


def summarize(data_dir: pathlib.Path | str, spans: str = "") -> Summary:
    """Reads the three tables of a data folder; rows that cannot be used do not count.

    Raises:
        DatasetError: the folder holds no dataset, or one of its tables is missing.
    """
    from homefeed.components.example_gen import beam as _ingest

    data_dir = pathlib.Path(data_dir)
    dataset = load_dataset(data_dir)
    parts: dict[TableName, Iterable[pa.RecordBatch]] = {
        table: _read_table(data_dir, dataset, table, spans) for table in TABLES
    }
    each = _ingest.find_table(data_dir, dataset, "interactions", spans).spans
    events_per_user: collections.Counter[int] = collections.Counter()
    if len(each) > 1:
        logs = (_read_table(data_dir, dataset, "interactions", span) for span in each)
        parts["interactions"] = _log_by_log(logs, events_per_user)
    name = f"{data_dir}@{spans}" if spans else str(data_dir)
    summary = _summaries.summarize_batches(name, parts, {table: dataset.features(table) for table in TABLES})
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


def _read_table(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted: str) -> Iterator[pa.RecordBatch]:
    from apache_beam.io.filesystems import FileSystems

    from homefeed.components.example_gen import beam as _ingest

    source = _ingest.find_table(data_dir, dataset, name, wanted)
    for path, file_format in source.files:
        with FileSystems.open(path) as stream:
            for batch in tables.read_batches(stream, file_format, source.table, source.features):
                yield batch.rows


# --- Examples ---


def _example_files(path: pathlib.Path) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Folder of a table → its shards, of all splits; of one split, if the path is a split's folder."""
    if path.name.startswith("Split-"):
        return {path: files} if (files := sorted(path.glob("*.gz"))) else {}
    folders = [path, *(path / table for table in TABLES)]
    found = {
        folder: [file for split in Examples(folder).splits for file in Examples(folder).split_files(split)]
        for folder in folders
    }
    return {folder: files for folder, files in found.items() if files}


def from_examples(path: pathlib.Path, files: dict[pathlib.Path, list[pathlib.Path]]) -> Summary:
    """Counts Examples that ExampleGen wrote. Columns that homefeed does not know are taken for what they look like.

    Raises:
        DatasetError: they are of none of the three tables.
    """
    features: dict[TableName, dict[str, Feature]] = {}
    parts: dict[TableName, Iterable[pa.RecordBatch]] = {}
    for folder, shards in files.items():
        names = {name for shard in shards for rows in _decoded(shard) for name in rows.schema.names}
        table = _table_of(names)
        if table is None:
            raise DatasetError(
                f"{folder} holds Examples of none of the tables: {', '.join(sorted(names)) or 'none'}."
            )
        features[table] = {}
        parts[table] = _flat_batches(shards, table, features[table])
    return _summaries.summarize_batches(str(path), parts, features)


def _decoded(shard: pathlib.Path) -> Iterator[pa.RecordBatch]:
    from homefeed.components.artifacts import example_io

    return example_io.read_batches(shard, BATCH_SIZE)


def _table_of(columns: set[str]) -> TableName | None:
    keys: dict[TableName, set[str]] = {
        "interactions": {"user_id", "item_id", "timestamp"},
        "items": {"item_id"},
        "users": {"user_id"},
    }
    return next((table for table, wanted in keys.items() if wanted <= columns), None)


def _flat_batches(
    shards: Iterable[pathlib.Path], table: TableName, features: dict[str, Feature]
) -> Iterator[pa.RecordBatch]:
    """One row an event, item or user; adds to the features what is found."""
    import pyarrow as pa

    for shard in shards:
        for rows in _decoded(shard):
            columns: dict[str, pa.Array] = {}
            lengths = rows["item_id"].value_lengths().to_numpy() if table == "interactions" else None
            for name, column in zip(rows.schema.names, rows.columns, strict=True):
                feature = STANDARD_COLUMNS[table].get(name) or features.get(name) or _guess(column)
                if feature is not None:
                    features[name] = feature
                    columns[name] = _flat(column, name, feature, lengths)
            yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _guess(column: pa.Array) -> Feature | None:
    """What a column looks like; None where that cannot be told (no value) or is not judged (embeddings)."""
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return None
    longest = max(column.value_lengths().fill_null(0).to_pylist(), default=0)
    if pa.types.is_floating(column.type.value_type):
        return Feature(kind="embedding", size=longest) if longest > 1 else Feature(kind="number")
    if pa.types.is_integer(column.type.value_type):
        return Feature(kind="timestamp")
    return Feature(kind="categories" if longest > 1 else "category")


def _flat(column: pa.Array, name: str, feature: Feature, lengths: npt.NDArray[np.int64] | None) -> pa.Array:
    """[num_rows] values, null where missing; of interactions (`lengths` events a row) one for each event."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from homefeed.schemas.values import arrow_type

    wanted = arrow_type(feature.kind)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column) if lengths is None else int(lengths.sum()), wanted)
    counts = column.value_lengths().fill_null(0).to_numpy()
    values = column.flatten()
    if pa.types.is_list(wanted):
        ends = np.cumsum(counts)
        offsets = pa.array(np.append(ends - counts, ends[-1:]), pa.int32(), mask=np.append(counts == 0, False))
        return pa.ListArray.from_arrays(offsets, _as(values, wanted.value_type))
    if name == "user_id" and lengths is not None:
        values = values.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    elif lengths is None:
        values = values.take(pa.array(np.cumsum(counts) - counts, mask=counts == 0))  # The first of each row.
    values = _as(values, wanted)
    if pa.types.is_string(wanted):
        return pc.if_else(pc.equal(values, ""), pa.scalar(None, wanted), values)
    return pc.if_else(pc.is_nan(values), pa.scalar(None, wanted), values) if pa.types.is_floating(wanted) else values


def _as(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Strings come as bytes."""
    import pyarrow as pa

    return values.cast(pa.binary()).cast(wanted) if pa.types.is_string(wanted) else values.cast(wanted)


# --- Logs of requests ---


def _record_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Files that may hold TFRecords."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*") if file.is_file()) if path.is_dir() else []


def from_log(path: pathlib.Path, files: list[pathlib.Path]) -> Summary:
    """Counts what the requests of a log carry: histories as interactions, user features as users.

    Requests do not say whose they are; those whose histories begin with the same item are taken for one user's where
    it matters, which is in how sure a share is.

    Raises:
        DatasetError: a file is no TFRecord file of PredictionLogs, or no request in it has an input that is known.
    """
    batches: dict[tuple[str, ...], _Requests] = collections.defaultdict(_Requests)  # By the inputs that they have.
    for inputs in _logged_inputs(files):
        batches[tuple(sorted(inputs))].add(inputs)
    features: dict[TableName, dict[str, Feature]] = {"interactions": {}, "users": {}}
    parts: dict[TableName, list[pa.RecordBatch]] = {"interactions": [], "users": []}
    for requests in batches.values():
        for table, columns in requests.tables.items():
            for name, values in columns.items():
                features[table].setdefault(name, _logged_feature(table, name, values))
            parts[table].append(_record_batch(columns, features[table]))
    found = {table: rows for table, rows in parts.items() if any(batch.num_columns > 1 for batch in rows)}
    if not found:
        raise DatasetError(f"No request in {path} has the input history, or a user's feature (user_…).")
    summary = _summaries.summarize_batches(str(path), found, features)
    summary.columns.pop("interactions.user_id", None)
    summary.events_per_user = sum((requests.lengths for requests in batches.values()), collections.Counter[int]())
    summary.is_log = True
    return summary


class _Requests:
    """Requests with the same inputs, as columns."""

    def __init__(self) -> None:
        self.tables: dict[TableName, dict[str, list[Any]]] = {
            "interactions": collections.defaultdict(list),
            "users": collections.defaultdict(list),
        }
        self.lengths: collections.Counter[int] = collections.Counter()  # Of histories.

    def add(self, inputs: dict[str, npt.NDArray[Any]]) -> None:
        """Adds the rows of one request's batch; an input that is the same for all rows may come once."""
        for row in range(max(map(len, inputs.values()))):
            self._add({name: values[min(row, len(values) - 1)] for name, values in inputs.items() if len(values)})

    def _add(self, cells: dict[str, Any]) -> None:
        events, users = self.tables["interactions"], self.tables["users"]
        history = cells.get("history", ())
        present = [place for place, item in enumerate(history) if item]  # The others pad.
        sender = str(_cell(history[present[0]])) if present else ""
        if present:
            self.lengths[len(present)] += 1
            events["user_id"] += [sender] * len(present)
        for name, column in HISTORY_INPUTS.items():
            if name in cells:
                events[column] += [_cell(cells[name][place]) for place in present]
        users["user_id"].append(sender)
        for name, value in cells.items():
            if name.startswith("user_"):
                users[name.removeprefix("user_")].append(_cell(value))


def _record_batch(columns: dict[str, list[Any]], features: dict[str, Feature]) -> pa.RecordBatch:
    import pyarrow as pa

    from homefeed.schemas.values import arrow_type

    arrays = [pa.array(values, arrow_type(features[name].kind)) for name, values in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


HISTORY_INPUTS = {"history": "item_id", "history_value": "value", "history_event_type": "event_type"}


def _logged_inputs(files: Iterable[pathlib.Path]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The inputs of each Predict request that describe a user, [batch_size, …]."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    for file in files:
        records = tf.data.TFRecordDataset(str(file), "GZIP" if file.suffix == ".gz" else "")
        try:
            for record in records.as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                if log.WhichOneof("log_type") is None:
                    raise DatasetError(f"{file} holds TFRecords, but of something else than PredictionLog.")
                inputs = {
                    name: tf.make_ndarray(tensor)
                    for name, tensor in log.predict_log.request.inputs.items()
                    if name in HISTORY_INPUTS or name.startswith("user_")
                }
                if any(values.ndim for values in inputs.values()):
                    yield {name: values for name, values in inputs.items() if values.ndim}
        except (DecodeError, tf.errors.DataLossError) as error:
            raise DatasetError(f"{file} is no TFRecord file of PredictionLogs: {error}") from error


def _cell(value: Any) -> str | float | list[Any] | None:
    if isinstance(value, np.ndarray):
        return [cell for cell in map(_cell, value) if cell is not None] or None
    if isinstance(value, bytes):
        return value.decode() or None
    return None if np.isnan(value) else float(value)


def _logged_feature(table: TableName, name: str, values: list[Any]) -> Feature:
    known = STANDARD_COLUMNS[table].get(name)
    if known is not None:
        return known
    example = next((value for value in values if value is not None), None)
    if isinstance(example, list):
        is_text = isinstance(example[0], str)
        return Feature(kind="categories") if is_text else Feature(kind="embedding", size=len(example))
    return Feature(kind="category" if isinstance(example, str) else "number")


# --- Statistics ---


def from_statistics(file: pathlib.Path) -> Summary:
    """What TFDV's statistics of a table know. Numbers are as coarse as their quantiles.

    Raises:
        DatasetError: a string feature has more values than were kept: its distance would be wrong both ways.
    """
    from homefeed.components.artifacts.quiet_tfdv import tfdv

    (statistics,) = tfdv.load_stats_binary(str(file)).datasets
    summary = Summary(str(file), {}, collections.Counter(), {"statistics": statistics.num_examples})
    cut = []
    for feature in statistics.features:
        name = f"statistics.{feature.path.step[0]}"
        if feature.HasField("string_stats"):
            strings = feature.string_stats
            counts = {bucket.label: int(bucket.sample_count) for bucket in strings.rank_histogram.buckets}
            if len(counts) < strings.unique:
                cut.append(f"{name} ({len(counts):,} of {strings.unique:,} values)")
            column = Column.empty("category")
            column.grouped = {value: _in_one_group(count) for value, count in counts.items()}
            column.values.update(counts)
            common = strings.common_stats
        elif name.endswith(".timestamp"):
            continue
        else:
            column, common = Column.empty("number"), feature.num_stats.common_stats
            numbers = feature.num_stats
            (quantiles,) = [h for h in numbers.histograms if h.type == h.QUANTILES]
            for bucket in quantiles.buckets:
                # As if a bucket's values were spread evenly.
                places = _summaries.bins(np.linspace(bucket.low_value, bucket.high_value, BUCKET_POINTS)).tolist()
                column.values.update(dict.fromkeys(places, 0))
                for place in places:
                    column.values[place] += bucket.sample_count / BUCKET_POINTS
            column.coarseness = 1 / len(quantiles.buckets)
            count, mean = common.tot_num_values, numbers.mean
            column.sums[:, 0] = count, count * mean, count * (numbers.std_dev**2 + mean**2)
        column.rows = _in_one_group(common.num_non_missing + common.num_missing)
        column.missing = _in_one_group(common.num_missing)
        summary.columns[name] = column
    if cut:
        raise DatasetError(
            f"{file} keeps only the most frequent values of {', '.join(cut)}; their drift cannot be judged from "
            "it. Compare the data folders, or make statistics with more `num_rank_histogram_buckets`."
        )
    return summary


def _in_one_group(count: int) -> npt.NDArray[np.int64]:
    return np.bincount([0], [count], NUM_GROUPS).astype(np.int64)
