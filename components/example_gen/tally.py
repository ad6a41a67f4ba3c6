"""How workers count what they read: in counters that add up, whoever counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from homefeed.components.artifacts.types import SPLITS
from homefeed.components.example_gen.counts import TableCounts
from homefeed.components.example_gen.written import LIKED, OF_TYPE, OTHER_TYPES
from homefeed.schemas.tables import Batch, Source

BAD, LOST, READ, BROKEN, UNUSED = "bad:", "lost:", "read:", "broken:", "unused:"  # What names of counters begin with.


def count(source: Source, batch: Batch) -> Counter[str]:
    """What is in a batch: rows, those that cannot be used by reason, and of each column lost and good values."""
    counts = Counter(rows=len(batch.lines) + len(batch.bad), quarantined=len(batch.bad))
    counts.update(f"{BAD}{row.column or 'row'} {row.reason}" for row in batch.bad)
    counts.update(f"{LOST}{value.column} {value.reason}" for value in batch.lost)
    for name, column in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
        counts[f"{READ}{source.table.columns.get(name, name)}"] = len(column) - column.null_count
    return counts


def of_shard(counts: Mapping[str, int]) -> Counter[str]:
    """What became of the rows of a shard: written, duplicates and, by other reasons, not used."""
    plain = ("written", "duplicates")
    return Counter({name if name in plain else f"{UNUSED}{name}": count for name, count in counts.items()})


def add(counters: Iterable[Counter[str]]) -> Counter[str]:
    """All counters together, zeros too."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def table_counts(counts: Mapping[str, int], source: Source) -> TableCounts:
    """What was counted of a table, under its names."""

    def beginning(prefix: str) -> dict[str, int]:
        return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}

    plain = {name: counts.get(name, 0) for name in ("rows", "written", "quarantined", "duplicates", "expired")}
    return TableCounts(
        **plain,
        reasons=beginning(BAD),
        spans=source.spans,
        lost_values=beginning(LOST),
        values=beginning(READ),
        skipped=source.found.skipped,
        unread=source.unread,
        broken=tuple(beginning(BROKEN)),
        unused={reason: count for reason, count in beginning(UNUSED).items() if count},
        splits={
            name: n for name, n in counts.items() if name in (*SPLITS, LIKED, OTHER_TYPES) or name.startswith(OF_TYPE)
        },
    )
