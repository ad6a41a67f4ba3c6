"""What is done to the rows that were read: users get pseudonyms, and events of the future are refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.schemas import privacy, tables

SLACK_SECONDS = 86_400  # By which a local time without its zone may be ahead.


def hide_users(batch: tables.Batch, key: bytes) -> tables.Batch:
    """The batch with pseudonyms for user ids, and without the text of bad rows, which may hold ids."""
    place = batch.rows.schema.get_field_index("user_id")
    if place < 0:
        return batch
    coded = batch.rows.column(place).dictionary_encode()
    names = pa.array([privacy.pseudonym(user, key) for user in coded.dictionary.to_pylist()], pa.string())
    columns = batch.rows.columns
    columns[place] = names.take(coded.indices)
    rows = pa.RecordBatch.from_arrays(columns, schema=batch.rows.schema)
    bad, lost = (
        tuple(dataclasses.replace(row, value=None, raw="(withheld)") for row in listed)
        for listed in (batch.bad, batch.lost)
    )
    return tables.Batch(rows, batch.lines, bad, lost)


def without_future(batch: tables.Batch, now: int, column: str) -> tables.Batch:
    """The batch without the events that a wrong clock dates later than now.

    Args:
        batch: of interactions.
        now: Unix seconds.
        column: the file's name of the events' time.
    """
    is_future = pc.greater(batch.rows["timestamp"], now + SLACK_SECONDS).to_numpy(zero_copy_only=False)
    if not is_future.any():
        return batch
    rows = batch.rows.filter(pa.array(is_future)).to_pylist()
    bad = [
        tables.BadRow(line, column, str(row["timestamp"]), "is in the future", json.dumps(row, ensure_ascii=False))
        for line, row in zip(batch.lines[is_future].tolist(), rows, strict=True)
    ]
    in_order = tuple(sorted((*batch.bad, *bad), key=lambda row: row.line))
    kept = batch.rows.filter(pa.array(np.logical_not(is_future)))
    return tables.Batch(kept, batch.lines[~is_future], in_order, batch.lost)
