"""What was shown: each item of an impression once, split, and one row an impression."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts.types import SPLITS
from homefeed.components.example_gen.rows import no_nulls, one_each, take
from homefeed.components.example_gen.splits import Cuts, Ints, SplitRule, assign_splits
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.tables import Source

OF_IMPRESSION = ("impression_id", "user_id", "timestamp")  # One value an impression; of other columns one an item.


def check(sources: Iterable[Source], rule: SplitRule) -> None:
    """Refuses exposures of which nothing says whether they were taken, and those that would tell of other splits.

    Raises:
        DatasetError: they have no column `clicked`, and interactions no `impression_id`; or the split is random.
    """
    found = {source.name: source for source in sources}
    says: dict[TableName, str] = {"exposures": "clicked", "interactions": "impression_id"}
    if "exposures" in found and not any(column in found[table].features for table, column in says.items()):
        raise DatasetError(
            "exposures: nothing says what was taken of what was shown: give the table a column `clicked` (0 or 1), "
            "or interactions the `impression_id` in which they happened."
        )
    if "exposures" in found and rule.method == "random":
        raise DatasetError(
            "exposures: under example_gen.split=random events have no before and after, which exposures need: split "
            "by temporal, leave_one_out or hash, or leave them out of dataset.yaml."
        )


def split_impressions(
    exposures: pa.RecordBatch, rule: SplitRule, cuts: Cuts | None
) -> tuple[int, dict[str, pa.RecordBatch]]:
    """All exposures of some users → how many count, and of each split one row an impression.

    An impression is of the time of its first row. Under `leave_one_out` all are for training here; Transform, which
    knows each user's last events, moves those that would tell of them.
    """
    rows = _last_of_each(exposures)
    impression = _codes(rows, ("user_id", "impression_id"))
    seconds = rows["timestamp"].to_numpy()
    places = rows["position"].fill_null(np.inf).to_numpy() if "position" in rows.schema.names else np.zeros(len(rows))
    first_second = np.full(impression.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_second, impression, seconds)
    order = np.lexsort((places, impression, first_second[impression]))
    starts = np.flatnonzero(np.diff(impression[order], prepend=-1))
    begun = first_second[impression[order[starts]]]
    splits = _assign(take(rows, order[starts]), begun, rule, cuts)
    return len(rows), {
        split: _group(rows, order, starts, begun, splits == number) for number, split in enumerate(SPLITS)
    }


def _assign(impressions: pa.RecordBatch, seconds: Ints, rule: SplitRule, cuts: Cuts | None) -> npt.NDArray[np.int8]:
    """[num_impressions] positions in SPLITS."""
    if rule.method == "leave_one_out":
        return np.zeros(len(seconds), np.int8)
    return assign_splits(impressions["user_id"].to_pylist(), np.arange(len(seconds) + 1), seconds, rule, cuts)


def _group(
    rows: pa.RecordBatch, order: Ints, starts: Ints, seconds: Ints, chosen: npt.NDArray[np.bool_]
) -> pa.RecordBatch:
    """One row an impression.

    Args:
        rows: in any order.
        order: [num_rows] positions of rows, those of an impression side by side.
        starts: [num_impressions] places in `order` where each begins.
        seconds: [num_impressions] when.
        chosen: [num_impressions] which are wanted.
    """
    lengths = np.diff(starts, append=len(order))
    offsets = pa.array(np.append(0, np.cumsum(lengths[chosen])), pa.int32())
    items = pa.array(order[np.repeat(chosen, lengths)])
    first = pa.array(order[starts][chosen])
    columns = {
        name: one_each(rows[name].take(first))
        if name in OF_IMPRESSION
        else pa.ListArray.from_arrays(offsets, no_nulls(rows[name].take(items)))
        for name in rows.schema.names
        if name != "event_type"
    } | {"timestamp": one_each(pa.array(seconds[chosen], pa.int64()))}
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _last_of_each(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows without those that a later row on the same item of the same impression replaces."""
    codes = _codes(rows, ("user_id", "impression_id", "item_id"))
    _, from_end = np.unique(codes[::-1], return_index=True)
    return take(rows, np.sort(len(codes) - 1 - from_end))


def _codes(rows: pa.RecordBatch, names: tuple[str, ...]) -> Ints:
    """[num_rows] int64, equal where the columns are."""
    columns = np.stack([rows[name].dictionary_encode().indices.to_numpy() for name in names])
    return np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)
