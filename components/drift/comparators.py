"""What the comparators of schemas say matters."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Literal

from homefeed.components.drift.summary import Summary
from homefeed.schemas.features import read_schema

Comparators = Literal["drift_comparator", "skew_comparator"]


def comparator_kind(*sides: Summary) -> Comparators:
    """Skew is between training data and what is served, drift is everything else."""
    return "skew_comparator" if any(side.is_log for side in sides) else "drift_comparator"


def read_comparators(files: Iterable[pathlib.Path], kind: Comparators, table: str = "") -> dict[str, float]:
    """What the comparators of schemas say matters, by `table.column:measure`.

    Args:
        files: `<table>.pbtxt`, or a Schema artifact's `schema.pbtxt`, whose folder is named after the table.
        kind: which comparators.
        table: whose schemas they are, if not the files' names say it.
    """
    found = {}
    for file in files:
        table_of_file = table or (file.parent.name if file.stem == "schema" else file.stem)
        for feature in read_schema(file).feature:
            comparator, name = getattr(feature, kind), f"{table_of_file}.{feature.name}"
            if comparator.HasField("infinity_norm"):
                found[f"{name}:l_infinity"] = comparator.infinity_norm.threshold
            if comparator.HasField("jensen_shannon_divergence"):
                found[f"{name}:jensen_shannon"] = comparator.jensen_shannon_divergence.threshold
    return found
