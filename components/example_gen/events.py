"""The events of users: sorted, each counted once, split, and one row a user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.components.artifacts.types import SPLITS
from homefeed.components.example_gen.rows import no_nulls, one_each, take
from homefeed.components.example_gen.splits import Cuts, Ints, SplitRule, assign_splits


def retain(events: pa.RecordBatch, cuts: Cuts | None) -> pa.RecordBatch:
    """The events that are young enough to keep."""
    if cuts is None or cuts.since is None:
        return events
    return events.filter(pc.greater_equal(events["timestamp"], cuts.since))


def split_events(events: pa.RecordBatch, rule: SplitRule, cuts: Cuts | None) -> tuple[int, dict[str, pa.RecordBatch]]:
    """All events of some users → how many count, and of each split one row a user."""
    order, users, row_splits = sort_events(events)
    seconds = events["timestamp"].to_numpy()[order]
    assigned = assign_splits((user.as_py() for user in users), row_splits, seconds, rule, cuts)
    return len(order), {
        split: group_events(events, order, users, row_splits, np.flatnonzero(assigned == number))
        for number, split in enumerate(SPLITS)
    }


def sort_events(events: pa.RecordBatch) -> tuple[Ints, pa.Array, Ints]:
    """Sorts events by (user, timestamp, given order) and leaves out those that count already.

    Returns:
        [num_events] positions of events; the users `[num_users]`; and row splits `[num_users + 1]` of the positions.
    """
    coded = events["user_id"].dictionary_encode()
    alphabetical = pc.array_sort_indices(coded.dictionary)
    rank = np.empty(len(alphabetical), np.int64)
    rank[alphabetical] = np.arange(len(alphabetical))
    user, seconds = rank[coded.indices.to_numpy()], events["timestamp"].to_numpy()
    since = seconds - seconds.min(initial=0)
    order = np.argsort(user * (since.max(initial=0) + 1) + since, kind="stable")  # Fits: times are below 10^12.
    order = order[~(_repeats(events, order, user, seconds) | _ids_again(events, order, user))]
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
    bounds = np.searchsorted(chosen, row_splits)
    present = np.flatnonzero(np.diff(bounds))
    offsets = pa.array(np.append(bounds[present], len(chosen)), pa.int32())
    columns = {"user_id": one_each(users.take(pa.array(present)))}
    positions = pa.array(order[chosen])
    for name in events.schema.names:
        if name not in ("user_id", "event_id"):  # An event's name has done what it is for.
            columns[name] = pa.ListArray.from_arrays(offsets, no_nulls(events[name].take(positions)))
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _ids_again(events: pa.RecordBatch, order: Ints, user: Ints) -> npt.NDArray[np.bool_]:
    """[num_events] in that order: same user and `event_id` as an earlier one."""
    again = np.zeros(len(order), bool)
    named = np.flatnonzero(_has_id(events)[order])
    if len(named):
        ids = events["event_id"].take(pa.array(order[named])).dictionary_encode().indices.to_numpy()
        _, first = np.unique(np.stack([user[order[named]], ids]), axis=1, return_index=True)
        again[named] = True
        again[named[first]] = False
    return again


def _has_id(events: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """[num_events] whether an event has a name of its own."""
    if "event_id" not in events.schema.names:
        return np.zeros(events.num_rows, bool)
    return np.asarray(pc.is_valid(events["event_id"]).to_numpy(zero_copy_only=False), np.bool_)


def _repeats(events: pa.RecordBatch, order: Ints, user: Ints, seconds: Ints) -> npt.NDArray[np.bool_]:
    """[num_events] in that order: same user, second, item and event type as an earlier one, without names of theirs.

    Two events with an `event_id` each are two, however much they resemble each other.
    """
    repeats = np.zeros(len(order), bool)
    same = (np.diff(user[order]) == 0) & (np.diff(seconds[order]) == 0)
    crowded = np.flatnonzero((np.append(same, False) | np.insert(same, 0, False)) & ~_has_id(events)[order])
    if len(crowded):
        moment = np.cumsum(~np.insert(same, 0, False))[crowded]
        rows = take(events, order[crowded])
        what = rows["item_id"].dictionary_encode().indices.to_numpy().astype(np.int64)
        if "event_type" in events.schema.names:
            kind = rows["event_type"].fill_null("").dictionary_encode().indices.to_numpy()
            what = what * (int(kind.max()) + 1) + kind
        _, first = np.unique(np.stack([moment, what]), axis=1, return_index=True)
        repeats[crowded] = True
        repeats[crowded[first]] = False
    return repeats
