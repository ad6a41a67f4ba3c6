"""What became of a table's rows, and whether too many of them were lost."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from homefeed.schemas import spans
from homefeed.schemas.columns import OF_EXPOSURES, OPTIONAL, TableName
from homefeed.schemas.dataset import Dataset, DatasetError
from homefeed.schemas.tables.facts import UNKNOWN_ITEM

if TYPE_CHECKING:
    from homefeed.components.example_gen.ids import Unmatched

VALUES = "_values"  # Ends the name of the quarantine of values, whose rows are kept.
MAX_SAID = 5  # Reasons of a table for which rows are not used; `counts.json` has all.
WHICH_MAY_BE_EMPTY: tuple[TableName, ...] = ("relations", "knowledge")  # Nobody is related yet, nothing is known yet.
MAX_EXAMPLES = 10_000  # Rows of quarantine that are searched for one of each fault.


@dataclasses.dataclass(frozen=True)
class TableCounts:
    """What became of a table's rows and values: rows = written + quarantined + duplicates + expired + unused."""

    rows: int
    written: int
    quarantined: int
    duplicates: int
    expired: int
    reasons: dict[str, int]
    spans: tuple[str, ...] = ()
    lost_values: dict[str, int] = dataclasses.field(default_factory=dict)  # Column and reason → how many.
    values: dict[str, int] = dataclasses.field(default_factory=dict)  # Column → how many rows have one.
    skipped: tuple[str, ...] = ()  # Hidden files.
    unread: tuple[str, ...] = ()  # Columns that dataset.yaml says nothing of.
    broken: tuple[str, ...] = ()  # Why files could not be read to their end, or their rows not be used at all.
    splits: dict[str, int] = dataclasses.field(default_factory=dict)  # As from `count_split`.
    unused: dict[str, int] = dataclasses.field(default_factory=dict)  # Good rows that nothing asks for, by reason.


def check_counts(
    counts: Mapping[TableName, TableCounts], dataset: Dataset, examples: Mapping[str, str] | None = None
) -> None:
    """Refuses tables that are empty, lost too many rows or most values of a column, or could not be read.

    Args:
        counts: of each table.
        dataset: for its limit.
        examples: of faults, as from `find_examples`.

    Raises:
        DatasetError: naming each such table, with the reasons counted.
    """
    faults: list[str] = []
    for table, found in counts.items():
        faults += found.broken
        if table in OPTIONAL and found.unused and not found.written and not _is_of_others(table, found, dataset):
            faults.append(f"{table}: none of its {found.rows:,} rows can be used. {_listed(found.unused, {})}.")
        if not found.rows and not found.broken and table not in WHICH_MAY_BE_EMPTY:
            faults.append(f"{table} is empty: {dataset.table(table).path} has no rows.")
        elif found.quarantined > dataset.max_bad_fraction * found.rows:
            faults.append(
                f"{table}: {found.quarantined:,} of {found.rows:,} rows cannot be used, which is "
                f"{found.quarantined / found.rows:.1%}; at most {dataset.max_bad_fraction:.1%} may "
                f"(`max_bad_fraction` in dataset.yaml). {_listed(found.reasons, examples or {})}."
            )
        for column, lost in _by_column(found).items():
            num_lost, num_read = sum(lost.values()), found.values[column]
            if num_lost > num_read:
                faults.append(
                    f"{table}: {num_lost:,} of {num_lost + num_read:,} values of {column} cannot be read, so it is "
                    f"something else than dataset.yaml says. {_listed(lost, examples or {})}."
                )
    if faults:
        raise DatasetError("\n".join(faults))


def _is_of_others(table: TableName, found: TableCounts, dataset: Dataset) -> bool:
    """Whether these are facts that come by span, and may be on items of other spans; their number is said."""
    is_by_span = table == "knowledge" and spans.SPAN in dataset.table(table).path
    return is_by_span and UNKNOWN_ITEM in found.unused


def _by_column(found: TableCounts) -> dict[str, dict[str, int]]:
    """Column → its faults, counted."""
    lost: dict[str, dict[str, int]] = {}
    for fault, count in found.lost_values.items():
        column = max((name for name in found.values if fault.startswith(f"{name} ")), key=len)
        lost.setdefault(column, {})[fault] = count
    return lost


def find_examples(quarantine: pathlib.Path) -> dict[str, str]:
    """Of each fault among the first in quarantine: a value, and where it is."""
    found: dict[str, str] = {}
    for path in sorted(quarantine.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for bad in map(json.loads, itertools.islice(lines, MAX_EXAMPLES)):
                what = f"{bad['value']!r} in " if bad["value"] else ""
                place = f"{what}{pathlib.PurePath(bad['file']).name} line {bad['line']}"
                found.setdefault(f"{bad['column'] or 'row'} {bad['reason']}", place)
    return found


def summarize(
    counts: Mapping[TableName, TableCounts],
    unmatched: Iterable[Unmatched] = (),
    derived: Collection[TableName] = (),
) -> str:
    """What was read, and what was not, in a line. `derived`: tables of which each event is a row."""
    names: dict[TableName, str] = {
        "interactions": "events",
        "users": "users",
        "items": "items",
        "exposures": "exposures",
        "relations": "relations",
        "knowledge": "facts",
    }
    said = [f"{counts[table].written:,} {name}" for table, name in names.items() if table in counts]
    if quarantined := sum(found.quarantined for found in counts.values()):
        said.append(f"{quarantined:,} rows quarantined")
    items = counts["items"]
    if items.values.get("title", 0) < items.rows - items.quarantined:
        said.append("items without a title go by their ids")
    without_use = [name for name in OF_EXPOSURES if counts["interactions"].values.get(name)]
    if without_use and "exposures" not in counts:
        said.append(f"{', '.join(without_use)} not used without exposures (`exposures` or `shown` in dataset.yaml)")
    for table, found in counts.items():
        said += [f"{count:,} × {table}.{fault}" for fault, count in (found.reasons | found.lost_values).items()]
        if found.duplicates and table not in derived:
            said.append(f"{found.duplicates:,} repeated rows of {table}")
        said += [f"{count:,} rows of {table} {reason}" for reason, count in _most_frequent(found.unused)[:MAX_SAID]]
        if rest := _most_frequent(found.unused)[MAX_SAID:]:
            said.append(f"{sum(count for _, count in rest):,} rows of {table} for {len(rest):,} reasons more")
        if found.expired:
            said.append(f"{found.expired:,} older events left out")
        if found.skipped:
            said.append(f"hidden files skipped: {_first(found.skipped)}")
        if found.unread:
            said.append(f"columns of {table} not read: {_first(found.unread)}")
    said += [f"{found.num_unmatched:,} events with an unknown {found.column}" for found in unmatched]
    return ", ".join(said)


def _first(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *["…"] * (len(names) > 3)])


def _most_frequent(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _listed(faults: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """The most frequent ones first."""
    ordered = _most_frequent(faults)[:10]
    return "; ".join(
        f"{count:,} × {fault}" + (f" ({examples[fault]})" if fault in examples else "") for fault, count in ordered
    )
