"""Facts on items, as columns of the items: one a relation, with all values that an item has in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import Dataset

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN_ITEM, UNDECLARED = "on an unknown item", "of the undeclared relation"
Ints = npt.NDArray[np.int64]


def relation_names(dataset: Dataset) -> dict[str, str]:
    """The declared relations, and what the table calls them."""
    columns = dataset.knowledge.columns if dataset.knowledge else {}
    return {name: columns.get(name, name) for name in dataset.facts}


def join_facts(
    items: pa.RecordBatch, facts: pa.RecordBatch, relations: Mapping[str, str]
) -> tuple[pa.RecordBatch, Counter[str]]:
    """Items with a column for each relation.

    Args:
        items: [num_items]; of an item that is there more than once, the last row counts for what is counted.
        facts: [num_facts] `item_id`, `relation` and `value`.
        relations: as they are declared → as `facts` calls them; each becomes a column.

    Returns:
        The items, with lists of strings in the order of the facts, null where there are none. And what became of the
        facts: `written`, `duplicates`, and those that are not used, by reason.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = items["item_id"].unique()
    item = _numbers(pc.index_in(facts["item_id"], ids))
    relation = _numbers(pc.index_in(facts["relation"], pa.array(relations.values(), pa.string())))
    keys = np.stack([item, relation, facts["value"].dictionary_encode().indices.to_numpy()])
    used = np.flatnonzero((item >= 0) & (relation >= 0))
    kept = used[np.sort(np.unique(keys[:, used], axis=1, return_index=True)[1])]
    order = kept[np.argsort(item[kept], kind="stable")]
    columns = dict(zip(items.schema.names, items.columns, strict=True))
    rows = pc.index_in(items["item_id"], ids)
    for number, name in enumerate(relations):
        mine = order[relation[order] == number]
        columns[name] = _lists(item[mine], facts["value"].take(pa.array(mine)), len(ids)).take(rows)
    counts = Counter(written=len(kept), duplicates=len(used) - len(kept))
    counts += _unused(facts, item, relation)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), counts


def _lists(owner: Ints, values: pa.Array, size: int) -> pa.Array:
    """[size] lists of the values of each owner, who are sorted; null where there are none."""
    import pyarrow as pa

    counts = np.bincount(owner, minlength=size)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(counts == 0))


def _unused(facts: pa.RecordBatch, item: Ints, relation: Ints) -> Counter[str]:
    """Reason → facts; of one with two reasons, the relation's."""
    import pyarrow as pa

    undeclared = facts["relation"].filter(pa.array(relation < 0)).value_counts().to_pylist()
    counts = Counter({f"{UNDECLARED} {one['values']!r}": one["counts"] for one in undeclared})
    counts[UNKNOWN_ITEM] = int(((item < 0) & (relation >= 0)).sum())
    return counts


def _numbers(found: pa.Array) -> Ints:
    """[num] int64, -1 where nothing was found."""
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
