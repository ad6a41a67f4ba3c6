"""What became of a table's rows, and whether too many of them were lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from homefeed.schemas.dataset import Dataset, DatasetError, TableName


@dataclasses.dataclass(frozen=True)
class TableCounts:
    """What became of a table's rows: rows = written + quarantined + duplicates + expired."""

    rows: int
    written: int
    quarantined: int
    duplicates: int
    expired: int
    reasons: dict[str, int]
    spans: tuple[str, ...] = ()


def check_counts(counts: Mapping[TableName, TableCounts], dataset: Dataset) -> None:
    """Refuses tables that are empty or lost too many rows.

    Raises:
        DatasetError: naming each such table, with the reasons counted.
    """
    faults = []
    for table, found in counts.items():
        if not found.rows:
            faults.append(f"{table} is empty: {dataset.table(table).path} has no rows.")
        elif found.quarantined > dataset.max_bad_fraction * found.rows:
            reasons = sorted(found.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
            faults.append(
                f"{table}: {found.quarantined:,} of {found.rows:,} rows cannot be used, which is "
                f"{found.quarantined / found.rows:.1%}; at most {dataset.max_bad_fraction:.1%} may "
                "(`max_bad_fraction` in dataset.yaml). "
                + "; ".join(f"{count:,} × {reason}" for reason, count in reasons[:10])
                + "."
            )
    if faults:
        raise DatasetError("\n".join(faults))
