"""ExampleGen: from the user's three tables to train, eval and test Examples, batch-wise on Beam.

Interactions become one Example a user and split, the user's events in order of (timestamp, position in the
file). Items and users become one Example a row. Rows that cannot be used go to quarantine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import DatasetDir, Examples, Quarantine
from homefeed.schemas.dataset import TABLES, Dataset, DatasetError, load_dataset

if TYPE_CHECKING:
    import pyarrow as pa

    from homefeed.components.example_gen.beam import TableCounts

SplitMethod = Literal["temporal", "leave_one_out", "hash"]
Ints = npt.NDArray[np.int64]

SPLITS = ("train", "eval", "test")
ALL = "all"  # The one split of items and users.
COUNTS_FILE = "counts.json"
MIN_LEAVE_ONE_OUT = 5


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    dataset: DatasetDir


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    interactions: Examples  # Splits train, eval, test.
    items: Examples  # Split all, in the table's order; one shard's after the other's if there are many.
    users: Examples  # Split all.
    quarantine: Quarantine  # And `counts.json`: rows read, written, quarantined and duplicate.


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set."""

    split: SplitMethod = "temporal"  # By time; per user; or whole users.
    eval_fraction: float = 0.1  # Of the interactions (temporal) or users (hash).
    test_fraction: float = 0.1  # The same.
    spans: str = ""  # Of paths with {SPAN}: "7", "3:7", "3:", "last:3"; empty: all.
    retention_days: int = 0  # Events that are older than this, by the newest event, are left out; 0: none.
    user_key: str = ""  # `env:NAME` or `file:PATH` of a key: user ids become its HMACs; empty: they stay.
    shard_megabytes: int = 32  # Of input a shard, which is what one worker holds in memory at once.
    runner: str = "FnApiRunner"  # Beam's: FnApiRunner is in this process; DataflowRunner, FlinkRunner, SparkRunner.
    beam_options: tuple[str, ...] = ()  # Options passed to Beam, such as "--project=my-project".
    temp_dir: str = (
        ""  # Path or URI that all workers share, for rows between the steps; empty: all are on this machine.
    )


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Unix seconds: events before `eval` train, those before `test` are for eval, the rest for test."""

    eval: int
    test: int
    since: int | None = None  # Events before it are left out.


# --- Pure functions ---


def find_cuts(seconds: Ints, counts: Ints, config: Config) -> Cuts:
    """The instants that cut a log at the given fractions of its events.

    Args:
        seconds: [num_bins] Unix seconds, ascending.
        counts: [num_bins] events at each.

    Events of one second are never parted: they all go to the later split. The earliest second always trains.
    """
    since = int(seconds[-1]) - config.retention_days * 86_400 if config.retention_days else None
    if since is not None:
        seconds, counts = seconds[seconds >= since], counts[seconds >= since]
    before = np.cumsum(counts)
    fractions = (1 - config.eval_fraction - config.test_fraction, 1 - config.test_fraction)
    # The event at rank r (from 0) is the first one after the cut. Rounded: 0.8 is slightly more in binary.
    ranks = [int(round(fraction * before[-1], 6)) for fraction in fractions]
    at_eval, at_test = (int(seconds[np.searchsorted(before, rank, side="right")]) for rank in ranks)
    at_eval = max(at_eval, int(seconds[0]) + 1)
    return Cuts(at_eval, max(at_test, at_eval), since)


def assign_splits(
    user_ids: pa.Array, row_splits: Ints, timestamps: Ints, config: Config, cuts: Cuts | None
) -> npt.NDArray[np.int8]:
    """[num_events] positions in SPLITS.

    Args:
        user_ids: [num_users].
        row_splits: [num_users + 1], user u's events are `[row_splits[u] : row_splits[u + 1]]`, in order.
        timestamps: [num_events] Unix seconds.
        config: how to split.
        cuts: where, in `temporal`.
    """
    lengths = np.diff(row_splits)
    if not len(timestamps):  # Every row is in quarantine; `check_counts` says why.
        return np.zeros(0, np.int8)
    if config.split == "temporal":
        assert cuts is not None
        return np.digitize(timestamps, (cuts.eval, cuts.test)).astype(np.int8)
    if config.split == "leave_one_out":
        splits = np.zeros(len(timestamps), np.int8)
        last = row_splits[1:][lengths >= MIN_LEAVE_ONE_OUT] - 1
        splits[last], splits[last - 1] = 2, 1
        return splits
    where = np.array([_unit_hash(user_id) for user_id in user_ids.to_pylist()])
    edges = (1 - config.eval_fraction - config.test_fraction, 1 - config.test_fraction)
    return np.repeat(np.digitize(where, edges), lengths).astype(np.int8)


def retain(events: pa.RecordBatch, cuts: Cuts | None) -> pa.RecordBatch:
    """The events that are young enough to keep."""
    import pyarrow.compute as pc

    if cuts is None or cuts.since is None:
        return events
    return events.filter(pc.greater_equal(events["timestamp"], cuts.since))


def split_events(events: pa.RecordBatch, config: Config, cuts: Cuts | None) -> tuple[int, dict[str, pa.RecordBatch]]:
    """All events of some users → how many count, and of each split one row a user."""
    order, users, row_splits = sort_events(events)
    seconds = events["timestamp"].to_numpy()[order]
    assigned = assign_splits(users, row_splits, seconds, config, cuts)
    return len(order), {
        split: group_events(events, order, users, row_splits, np.flatnonzero(assigned == number))
        for number, split in enumerate(SPLITS)
    }


def sort_events(events: pa.RecordBatch) -> tuple[Ints, pa.Array, Ints]:
    """Sorts events by (user, timestamp, given order) and leaves out those that count already.

    Returns:
        [num_events] positions of events; the users `[num_users]`; and row splits `[num_users + 1]` of the positions.
    """
    import pyarrow.compute as pc

    coded = events["user_id"].dictionary_encode()
    alphabetical = pc.array_sort_indices(coded.dictionary)
    rank = np.empty(len(alphabetical), np.int64)
    rank[alphabetical] = np.arange(len(alphabetical))
    user, seconds = rank[coded.indices.to_numpy()], events["timestamp"].to_numpy()
    since = seconds - seconds.min(initial=0)
    order = np.argsort(user * (since.max(initial=0) + 1) + since, kind="stable")  # Fits: times are below 10^11.
    order = order[~_repeats(events, order, user, seconds)]
    row_splits = np.searchsorted(user[order], np.arange(len(rank) + 1))
    return order, coded.dictionary.take(alphabetical), row_splits


def group_events(
    events: pa.RecordBatch, order: Ints, users: pa.Array, row_splits: Ints, chosen: Ints
) -> pa.RecordBatch:
    """One row a user with at least one chosen event, its events as lists.

    Args:
        events: in any order.
        order: [num_events] positions of events, sorted by user.
        users: [num_users].
        row_splits: [num_users + 1] of `order`.
        chosen: [num_chosen] places in `order`, ascending.
    """
    import pyarrow as pa

    bounds = np.searchsorted(chosen, row_splits)
    present = np.flatnonzero(np.diff(bounds))
    offsets = pa.array(np.append(bounds[present], len(chosen)), pa.int32())
    columns = {"user_id": _one_each(users.take(pa.array(present)))}
    positions = pa.array(order[chosen])
    for name in events.schema.names:
        if name != "user_id":
            columns[name] = pa.ListArray.from_arrays(offsets, _no_nulls(events[name].take(positions)))
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def last_of_each(rows: pa.RecordBatch, key: str) -> pa.RecordBatch:
    """The rows without those that a later row with the same key replaces."""

    codes = rows[key].dictionary_encode().indices.to_numpy()
    _, from_end = np.unique(codes[::-1], return_index=True)
    return _take(rows, np.sort(len(codes) - 1 - from_end))


def list_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """One row each, every column a list: empty where the value is missing."""
    import pyarrow as pa

    columns = [
        column if pa.types.is_list(column.type) else _one_each(column) for column in map(_as_bytes, rows.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, rows.schema.names)


def check_counts(counts: dict[str, TableCounts], dataset: Dataset) -> None:
    """Refuses tables that are empty or lost too many rows.

    Raises:
        DatasetError: naming each such table, with the reasons counted.
    """
    faults = []
    for table, found in counts.items():
        if not found.rows:
            faults.append(f"{table} is empty: {dataset.table(table).path} has no rows.")  # type: ignore[arg-type]
        elif found.quarantined > dataset.max_bad_fraction * found.rows:
            reasons = sorted(found.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
            faults.append(
                f"{table}: {found.quarantined:,} of {found.rows:,} rows cannot be used, which is "
                f"{found.quarantined / found.rows:.1%}; at most {dataset.max_bad_fraction:.1%} may "
                "(`max_bad_fraction` in dataset.yaml). "
                + "; ".join(f"{count:,} × {reason}" for reason, count in reasons[:10])
                + "."
            )
    if faults:
        raise DatasetError("\n".join(faults))


def _unit_hash(user_id: str) -> float:
    """A place in [0, 1) that depends on nothing but the id."""
    digest = hashlib.blake2b(user_id.encode("utf-8"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _repeats(events: pa.RecordBatch, order: Ints, user: Ints, seconds: Ints) -> npt.NDArray[np.bool_]:
    """[num_events] in that order: same user, second, item and event type as an earlier one."""
    repeats = np.zeros(len(order), bool)
    same = (np.diff(user[order]) == 0) & (np.diff(seconds[order]) == 0)
    crowded = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if len(crowded):
        moment = np.cumsum(~np.insert(same, 0, False))[crowded]
        rows = _take(events, order[crowded])
        what = rows["item_id"].dictionary_encode().indices.to_numpy().astype(np.int64)
        if "event_type" in events.schema.names:
            kind = rows["event_type"].fill_null("").dictionary_encode().indices.to_numpy()
            what = what * (int(kind.max()) + 1) + kind
        _, first = np.unique(np.stack([moment, what]), axis=1, return_index=True)
        repeats[crowded] = True
        repeats[crowded[first]] = False
    return repeats


def _take(rows: pa.RecordBatch, positions: Ints) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [column.take(pa.array(positions)) for column in rows.columns], schema=rows.schema
    )


def _one_each(column: pa.Array) -> pa.Array:
    """[num_rows] lists of one value, empty where it is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _as_bytes(column)
    offsets = np.concatenate([[0], np.cumsum(pc.is_valid(column).to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.drop_null())


def _as_bytes(column: pa.Array) -> pa.Array:
    """tf.train.Example knows bytes, not strings."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.list_(pa.binary())) if column.type == pa.list_(pa.string()) else column


def _no_nulls(column: pa.Array) -> pa.Array:
    """Inside a list, a missing value needs a stand-in, so that lists stay aligned: "", NaN or 0."""
    import pyarrow as pa

    column = _as_bytes(column)
    stand_in = b"" if pa.types.is_binary(column.type) else np.nan if pa.types.is_floating(column.type) else 0
    return column.fill_null(stand_in)


# --- The component ---


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the tables and writes the Examples.

    Raises:
        DatasetError: a table or column is missing, a table is empty, or too many of its rows are bad.
    """
    from homefeed.components.example_gen import beam as _ingest

    if config.split not in typing.get_args(SplitMethod):
        raise DatasetError(
            f"Unknown split {config.split!r}, expected one of {', '.join(typing.get_args(SplitMethod))}."
        )
    dataset = load_dataset(inputs.dataset.path)
    sources = [_ingest.find_table(inputs.dataset.path, dataset, table, config.spans) for table in TABLES]
    destinations = {table: getattr(outputs, table) for table in TABLES}
    counts = _ingest.ingest(sources, destinations, outputs.quarantine, config)
    outputs.quarantine.write_json(COUNTS_FILE, {table: dataclasses.asdict(found) for table, found in counts.items()})
    check_counts(counts, dataset)
    if config.user_key:
        outputs.users.write_json(Examples.USER_KEY_FILE, config.user_key)
    quarantined = sum(found.quarantined for found in counts.values())
    return (
        f"{counts['interactions'].written:,} events, {counts['users'].written:,} users, "
        f"{counts['items'].written:,} items" + (f", {quarantined:,} rows quarantined" if quarantined else "")
    )
