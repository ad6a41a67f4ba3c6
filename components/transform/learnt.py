"""What training events teach: counted shard by shard; and what all counts together give: vocabularies and inputs."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform.arrays import of_kinds, vocabulary
from homefeed.components.transform.counts import Counts
from homefeed.components.transform.events import Events
from homefeed.components.transform.users import those, trained_on
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import Dataset
from homefeed.schemas.features import serving_inputs

ITEMS, TRAINED_ITEMS, QUERIES = "items", "trained_items", "queries"
SEARCHES, COLUMNS, NUMBERS = "searches", "columns", "numbers"
_EVENT, _USER = "interactions.", "users."  # Begin the names of columns.


def count(log: Events, people: pa.RecordBatch, dataset: Dataset) -> Counts:
    """Counts a shard.

    Args:
        log: the events of some users.
        people: the same users' rows of their table.
        dataset: says which columns models read.

    Returns:
        ITEMS and TRAINED_ITEMS: item → events, and those of training. QUERIES: what was searched for in training.
        SEARCHES: "" → the events of any split that have a query. COLUMNS: a table's column → rows. NUMBERS: column →
        finite values in training. And of each column of categories how often a value is there in training.
    """
    train = log.in_train
    trained = those(people, trained_on(people, log.trained_on))
    counts = _count_events(log, train, dataset) | _count_users(trained, dataset)
    counts[ITEMS], counts[TRAINED_ITEMS] = log.item_id.counts(), log.item_id[train].counts()
    counts[QUERIES] = log.strings("query")[train].counts()
    counts[SEARCHES] = Counter({b"": int((~log.strings("query").is_in([b""])).sum())})
    counts[COLUMNS] = Counter({f"{_EVENT}{name}".encode(): len(log.user) for name in log.columns})
    users = [name for name in people.schema.names if example_io.ragged(people, name) is not None]
    counts[COLUMNS] += Counter({f"{_USER}{name}".encode(): people.num_rows for name in users})
    counts[NUMBERS] = _finite(_EVENT, _numbers_of_events(log, train, dataset))
    counts[NUMBERS] += _finite(_USER, _numbers_of_users(trained, dataset))
    return counts


def _count_events(log: Events, train: npt.NDArray[np.bool_], dataset: Dataset) -> Counts:
    names = of_kinds(dataset.event_features, "category")
    return {f"{_EVENT}{name}": log.strings(name)[train].counts() for name in names}


def _count_users(trained: pa.RecordBatch, dataset: Dataset) -> Counts:
    names = of_kinds(dataset.features("users"), "category", "categories")
    found = {name: example_io.ragged(trained, name) for name in names}
    return {f"{_USER}{name}": Coded.of(column[0]).counts() for name, column in found.items() if column}


def _numbers_of_events(log: Events, train: npt.NDArray[np.bool_], dataset: Dataset) -> dict[str, Any]:
    return {name: log.numbers(name)[train] for name in of_kinds(dataset.event_features, "number")}


def _numbers_of_users(trained: pa.RecordBatch, dataset: Dataset) -> dict[str, Any]:
    names = of_kinds(dataset.features("users"), "number", "embedding")
    found = {name: example_io.ragged(trained, name) for name in names}
    return {name: column[0] for name, column in found.items() if column}


def _finite(prefix: str, columns: dict[str, Any]) -> Counter[bytes]:
    return Counter({f"{prefix}{name}".encode(): int(np.isfinite(array).sum()) for name, array in columns.items()})


def request_fields(counts: Counts, dataset: Dataset, min_count: int) -> dict[str, Any]:
    """What a request to a model of this data holds, as fields of Sequences: all declared that training has values of.

    Args:
        counts: of all shards.
        dataset: the declaration.
        min_count: a category seen less often in training gets no place in its vocabulary.
    """

    def learnt(column: str) -> tuple[str, ...]:
        return vocabulary(counts[column], min_count)

    events = {name: learnt(f"{_EVENT}{name}") for name in of_kinds(dataset.event_features, "category")}
    users = {
        name: learnt(f"{_USER}{name}")
        for name in of_kinds(dataset.features("users"), "category", "categories")
        if f"{_USER}{name}".encode() in counts[COLUMNS]
    }
    events = {name: values for name, values in events.items() if values}
    numbers = [name.decode() for name, number in counts[NUMBERS].items() if number]
    columns = [*numbers, *(f"{_EVENT}{name}" for name in events), *(f"{_USER}{name}" for name in users)]
    columns += [f"{_EVENT}query"] if has_queries(counts) else []
    present = {(cast(TableName, table), name) for table, _, name in (column.partition(".") for column in columns)}
    return {
        "inputs": serving_inputs(dataset, present),
        "objectives": dataset.objectives,
        "vocabularies": users,
        "event_vocabularies": events,
        "time_zone": dataset.time_zone or "",
        "guards": tuple(name for name, feature in dataset.features("users").items() if feature.guard),
    }


def has_queries(counts: Counts) -> bool:
    """Whether anybody ever searched."""
    return counts[SEARCHES].total() > 0


def names_pages(counts: Counts) -> bool:
    """Whether events can say of which page they came."""
    return f"{_EVENT}impression_id".encode() in counts[COLUMNS]


def training_queries(counts: Counts) -> list[str]:
    """What was searched for in training, each query once."""
    return [query.decode() for query in sorted(counts[QUERIES]) if query]
