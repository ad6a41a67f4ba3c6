"""What is done to the rows that were read: users get pseudonyms, and events of the future are refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.schemas import privacy, tables

USERS = ("user_id", "other_id")  # Columns that hold ids of users.
SLACK_SECONDS = 86_400  # By which a local time without its zone may be ahead.


def hide_users(batch: tables.Batch, key: bytes) -> tables.Batch:
    """The batch with pseudonyms for user ids, and without the text of bad rows, which may hold ids."""
    columns, places = batch.rows.columns, [batch.rows.schema.get_field_index(name) for name in USERS]
    if max(places) < 0:
        return batch
    for place in (place for place in places if place >= 0):
        coded = columns[place].dictionary_encode()
        names = pa.array([privacy.pseudonym(user, key) for user in coded.dictionary.to_pylist()], pa.string())
        columns[place] = names.take(coded.indices)
    rows = pa.RecordBatch.from_arrays(columns, schema=batch.rows.schema)
    bad, lost = (
        tuple(dataclasses.replace(row, value=None, raw="(withheld)") for row in listed)
        for listed in (batch.bad, batch.lost)
    )
    return tables.Batch(rows, batch.lines, bad, lost)


def shown_alone(batch: tables.Batch, shown: Sequence[str]) -> tables.Batch:
    """The exposures among interactions; their bad rows are the interactions', and are counted there."""
    is_shown = _is_shown(batch, shown)
    return tables.Batch(batch.rows.filter(pa.array(is_shown)), batch.lines[is_shown], ())


def without_shown(batch: tables.Batch, shown: Sequence[str], columns: Mapping[str, str]) -> tables.Batch:
    """The interactions without the rows that say what was shown; such a row without an impression is bad.

    Args:
        batch: of interactions.
        shown: types of events.
        columns: our name → the file's.
    """
    is_shown = _is_shown(batch, shown)
    if not is_shown.any():
        return batch
    stray = is_shown & pc.is_null(batch.rows["impression_id"]).to_numpy(zero_copy_only=False)
    reason = f"is missing in an event of type {' or '.join(shown)} (`shown` in dataset.yaml)"
    kept = _without(batch, stray, columns.get("impression_id", "impression_id"), lambda row: None, reason)
    is_rest = ~is_shown
    return dataclasses.replace(kept, rows=batch.rows.filter(pa.array(is_rest)), lines=batch.lines[is_rest])


def _is_shown(batch: tables.Batch, shown: Sequence[str]) -> npt.NDArray[np.bool_]:
    found = pc.is_in(batch.rows["event_type"], value_set=pa.array(shown, pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def without_future(batch: tables.Batch, now: int, column: str) -> tables.Batch:
    """The batch without the events that a wrong clock dates later than now.

    Args:
        batch: of interactions or exposures.
        now: Unix seconds.
        column: the file's name of the events' time.
    """
    is_future = pc.greater(batch.rows["timestamp"], now + SLACK_SECONDS).to_numpy(zero_copy_only=False)
    if not is_future.any():
        return batch
    return _without(batch, is_future, column, lambda row: str(row["timestamp"]), "is in the future")


def _without(
    batch: tables.Batch,
    wrong: npt.NDArray[np.bool_],
    column: str,
    value: Callable[[dict[str, Any]], str | None],
    reason: str,
) -> tables.Batch:
    """The batch, in which some rows are bad ones for the sake of a column."""
    rows = batch.rows.filter(pa.array(wrong)).to_pylist()
    bad = [
        tables.BadRow(line, column, value(row), reason, json.dumps(row, ensure_ascii=False))
        for line, row in zip(batch.lines[wrong].tolist(), rows, strict=True)
    ]
    in_order = tuple(sorted((*batch.bad, *bad), key=lambda row: row.line))
    return tables.Batch(batch.rows.filter(pa.array(~wrong)), batch.lines[~wrong], in_order, batch.lost)
