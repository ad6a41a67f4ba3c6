"""Who is related to whom: each pair once, and so many others of a user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.components.example_gen.rows import take

MAX_OTHERS = 50  # Of a user: a page reads what each of them did.
TO_ONESELF, OF_OTHER_KINDS = "to oneself", "of kinds that dataset.yaml does not ask for (`kinds`)"
BEYOND = f"beyond the last {MAX_OTHERS} of a user"


def keep_relations(rows: pa.RecordBatch, kinds: Collection[str] = ()) -> tuple[pa.RecordBatch, Counter[str]]:
    """The relations that count, by user, the last of the table first.

    Args:
        rows: [num_rows] `user_id`, `other_id` and perhaps `kind`, in the table's order; a later row for the same two
            replaces an earlier one.
        kinds: that count; empty: all.

    Returns:
        [num_kept] `user_id` and `other_id`. And what became of the rows: `written`, `duplicates`, and those that are
        not used, by reason.
    """
    user, other = (rows[name].dictionary_encode() for name in ("user_id", "other_id"))
    codes = np.stack([user.indices.to_numpy(), other.indices.to_numpy()])
    counts: Counter[str] = Counter()
    is_left = ~_is(pc.equal(rows["user_id"], rows["other_id"]))
    counts[TO_ONESELF] = int((~is_left).sum())
    left = np.flatnonzero(is_left)[::-1]
    last = left[np.sort(np.unique(codes[:, left], axis=1, return_index=True)[1])]
    counts["duplicates"] = len(left) - len(last)
    if kinds:
        is_asked_for = _is(pc.is_in(rows["kind"], value_set=pa.array(kinds, pa.string())))[last]
        counts[OF_OTHER_KINDS] = int((~is_asked_for).sum())
        last = last[is_asked_for]
    order = last[np.argsort(codes[0, last], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[0, order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    kept = order[place < MAX_OTHERS]
    counts[BEYOND], counts["written"] = len(order) - len(kept), len(kept)
    pairs = pa.RecordBatch.from_arrays([rows["user_id"], rows["other_id"]], ["user_id", "other_id"])
    return take(pairs, kept), counts


def _is(column: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)
