# mypy: disable-error-code="no-untyped-call"
"""Whether the ids of two tables meet: how many events are on items, or by users, that their own table lacks."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from homefeed.schemas.columns import KEYS, TableName
from homefeed.schemas.dataset import Dataset

REFERS: dict[TableName, str] = {"items": "item_id", "users": "user_id"}  # Table → the events' column of its ids.
MAX_COMPARED = 1000  # Ids for which it is tried what would make them meet.
UNSEEN = ("Cc", "Cf")  # Unicode's categories of control characters and of those such as zero-width spaces.

Rewrite = Callable[[str], str]
REWRITES: dict[str, Rewrite] = {
    "without spaces and quotes around them": lambda text: re.sub(r"^[\s\"'\ufeff]+|[\s\"'\ufeff]+$", "", text),
    "without characters that nobody sees": lambda text: "".join(
        c for c in text if unicodedata.category(c) not in UNSEEN
    ),
    "in one case": str.casefold,
    "without leading zeros": lambda text: text.lstrip("0") or "0",
    "as whole numbers": lambda text: re.sub(r"\.0+$", "", text),
    "with one code for each letter": lambda text: unicodedata.normalize("NFKC", text),
    "without what stands before them": lambda text: re.split(r"[_:/#-]", text)[-1],
}
"""What programs do to ids on their way into one table and not into the other."""


def _rewrite_all(text: str) -> str:
    for rewrite in REWRITES.values():
        text = rewrite(text)
    return text


def count_ids(table: TableName, examples: pa.RecordBatch) -> Iterator[tuple[str, pa.Table]]:
    """(column, how often each id is there) of Examples of a table; columns `id` and `count`."""
    for column in columns_of_ids(table):
        found = examples[column].flatten()
        counted = pc.value_counts(found)
        ids, counts = counted.field(0), counted.field(1)
        if (table, column) == ("interactions", "user_id"):  # One row each.
            ids, counts = found, examples["item_id"].value_lengths().cast(pa.int64())
        yield column, pa.table({"id": ids.cast(pa.string()), "count": counts})


def add_ids(parts: Iterable[pa.Table]) -> pa.Table:
    """Counts together."""
    counted = pa.concat_tables(parts).group_by("id").aggregate([("count", "sum")])
    return pa.table({"id": counted["id"], "count": counted["count_sum"]})


def columns_of_ids(table: TableName) -> tuple[str, ...]:
    """The columns of a table whose ids are to meet those of another one."""
    if table in ("exposures", "knowledge"):  # Transform counts those of unknown items; the join of facts does.
        return ()
    if table == "relations":
        return ("other_id",)
    return tuple(REFERS.values()) if table == "interactions" else (KEYS[table],)


@dataclasses.dataclass(frozen=True)
class Unmatched:
    """Events whose ids a table lacks."""

    table: TableName
    num_events: int
    num_unmatched: int
    example: str  # Of the events.
    known: str  # An id of the table.
    hint: str  # What would make them meet; empty: nothing that is known.

    @property
    def column(self) -> str:
        """Of the events."""
        return REFERS[self.table]

    @property
    def share(self) -> float:
        """Of all events."""
        return self.num_unmatched / self.num_events

    def fault(self, limit: float) -> str:
        """What is wrong, and how to mend it."""
        return (
            f"interactions: {self.num_unmatched:,} of {self.num_events:,} events ({self.share:.1%}) have an unknown "
            f"{self.column}: the table {self.table} has no {self.example!r}, but ids such as {self.known!r}; at most "
            f"{limit:.1%} may (`max_unmatched_fraction` in dataset.yaml).{self.hint}"
        )


def find_unmatched(counts: Mapping[tuple[TableName, str], pa.Table]) -> list[Unmatched]:
    """Of each table that both it and the events have ids of: the events whose ids are not in it, if there are any.

    Args:
        counts: (table, column) → as from `count_ids`.
    """
    found = []
    for table, column in REFERS.items():
        events, known = counts.get(("interactions", column)), counts.get((table, column))
        if events is None or known is None:
            continue
        absent = events.filter(pc.invert(pc.is_in(events["id"], value_set=known["id"].combine_chunks())))
        if absent.num_rows:
            absent = absent.sort_by([("count", "descending"), ("id", "ascending")])
            num_events, num_absent = (pc.sum(side["count"]).as_py() for side in (events, absent))
            ids = sorted(known["id"].to_pylist())
            example = absent["id"][0].as_py()
            found.append(Unmatched(table, num_events, num_absent, example, ids[0], _hint(absent, ids)))
    return found


def count_strangers(counts: Mapping[tuple[TableName, str], pa.Table]) -> int:
    """The relations to people of whom nothing is known: no event, and no row of the users table."""
    others = counts.get(("relations", "other_id"))
    if others is None:
        return 0
    places: tuple[tuple[TableName, str], ...] = (("interactions", "user_id"), ("users", "user_id"))
    known = [counts[place]["id"].combine_chunks() for place in places if place in counts]
    is_known = pc.is_in(others["id"], value_set=pa.concat_arrays(known))
    return int(pc.sum(others.filter(pc.invert(is_known))["count"]).as_py() or 0)


def check_ids(unmatched: Iterable[Unmatched], dataset: Dataset) -> list[str]:
    """The faults of tables that lack the ids of too many events."""
    limit = dataset.max_unmatched_fraction
    return [found.fault(limit) for found in unmatched if found.share > limit]


def _hint(absent: pa.Table, known: list[str]) -> str:
    """The rewriting of both sides by which most of the events would meet the table."""
    counts = dict(zip(*(column.to_pylist() for column in absent.slice(0, MAX_COMPARED).columns), strict=True))
    best, words = 0, ""
    for name, rewrite in {**REWRITES, "after all of these: " + ", ".join(REWRITES): _rewrite_all}.items():
        there = {rewrite(text): text for text in reversed(known)}
        meeting = {text: there[rewrite(text)] for text in counts if rewrite(text) in there}
        num_events = sum(counts[text] for text in meeting)
        if num_events > best:
            best, (mine, yours) = num_events, next(iter(meeting.items()))
            words = f" Compared {name}, {num_events:,} of them would meet, as {mine!r} and {yours!r}."
    return words
