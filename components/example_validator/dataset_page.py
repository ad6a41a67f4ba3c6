"""The page of a dataset: one HTML file without scripts."""

from __future__ import annotations

import html
import itertools
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.components.artifacts import html_page, svg
from homefeed.components.drift.bars import histograms, top_values
from homefeed.components.drift.findings import USER_ID
from homefeed.components.drift.sources.load import load
from homefeed.components.drift.summary import Column, Summary
from homefeed.schemas.columns import OPTIONAL

WIDTH, HEIGHT, NUM_BARS = 420, 120, 20
STYLE = "\nrect { fill: var(--c0); }\n"


def write_page(
    data: pathlib.Path | str,
    path: pathlib.Path,
    counts: Mapping[str, Mapping[str, Any]] | None = None,
    anomalies: Sequence[str] = (),
) -> None:
    """Draws a dataset.

    Args:
        data: folder of `dataset.yaml`, `DIR@SPANS` for some of its spans; or Examples.
        path: of the page.
        counts: ExampleGen's `counts.json`: what was quarantined and why.
        anomalies: ExampleValidator's reasons.

    Raises:
        DatasetError: the folder cannot be read.
    """
    path.write_text(page(load(data), counts or {}, anomalies), encoding="utf-8")


def page(summary: Summary, counts: Mapping[str, Mapping[str, Any]], anomalies: Sequence[str]) -> str:
    """Counts; activity per user and per item; time; every column's values and missing ones; what is wrong."""
    num_rows = {table: found["written"] for table, found in counts.items() if table in OPTIONAL} | summary.num_rows
    sizes = "".join(f"<li>{count:,} rows of {table}</li>" for table, count in num_rows.items())
    columns = summary.columns
    drawings = [
        _figure("events per day", *_days(summary.days)),
        _figure("events per user", *_long_tail(columns, USER_ID)),
        _figure("events per item", *_long_tail(columns, "interactions.item_id")),
        *(_figure(name, *_values(column)) for name, column in sorted(columns.items()) if _is_drawn(column)),
    ]
    return html_page.document(
        "Dataset",
        f"<h1>{html.escape(summary.name)}</h1><ul>{sizes}</ul>{_wrongs(counts, anomalies)}"
        f"<div class='grid'>{''.join(drawings)}</div><h2>Columns</h2>{_missing(columns)}",
        STYLE,
    )


def _wrongs(counts: Mapping[str, Mapping[str, Any]], anomalies: Sequence[str]) -> str:
    lines = [f"<li class=bad>{html.escape(reason)}</li>" for reason in anomalies]
    for table, found in counts.items():
        unused = found.get("unused", {})  # In counts of an earlier homefeed there are none.
        if found["quarantined"] or found["duplicates"] or unused:
            every = [*sorted(found["reasons"].items()), *sorted(unused.items())]
            reasons = "; ".join(f"{count:,} × {reason}" for reason, count in every)
            said = f", {sum(unused.values()):,} not used" if unused else ""
            lines.append(
                f"<li>{html.escape(table)}: {found['quarantined']:,} of {found['rows']:,} rows quarantined, "
                f"{found['duplicates']:,} duplicates{said}. <small>{html.escape(reasons)}</small></li>"
            )
    return f"<h2>What is wrong</h2><ul>{''.join(lines)}</ul>" if lines else ""


def _missing(columns: Mapping[str, Column]) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}<td>{column.kind}<td class=n>{column.missing.sum() / column.rows.sum():.1%}"
        f"<td class=n>{len(column.values):,}</tr>"
        for name, column in sorted(columns.items())
    ]
    return f"<table><tr><th>column<th>kind<th>missing<th>distinct</tr>{''.join(rows)}</table>"


def _is_drawn(column: Column) -> bool:
    return column.kind in ("category", "number", "text") and bool(column.values)


def _days(days: Counter[int]) -> tuple[list[str], list[float]]:
    """Events a day, or a number of days where there are very many."""
    if not days:
        return [], []
    first, last = min(days), max(days)
    width = -(-(last - first + 1) // (3 * NUM_BARS))
    bars = [0.0] * ((last - first) // width + 1)
    for day, count in days.items():
        bars[(day - first) // width] += count
    starts = np.datetime64(first, "D") + np.arange(len(bars)) * width
    return [str(start) for start in starts], bars


def _long_tail(columns: Mapping[str, Column], name: str) -> tuple[list[str], list[float]]:
    """How many users (items) have 1, 2–3, 4–7, … events."""
    if name not in columns:
        return [], []
    activity = np.array(list(columns[name].values.values()))
    bars = np.bincount(np.log2(activity).astype(int)).astype(float)
    labels = [f"{2**power:,}–{2 ** (power + 1) - 1:,}" if power else "1" for power in range(len(bars))]
    return labels, bars.tolist()


def _values(column: Column) -> tuple[list[str], list[float]]:
    """The most frequent values; of a number, bars of equal width over the middle 99%."""
    if column.kind != "number":
        top = top_values([column], NUM_BARS)
        return [str(value) for value in top], [float(column.values[value]) for value in top]
    edges, (bars,) = histograms([column], NUM_BARS)
    return [f"{a:.4g} to {b:.4g}" for a, b in itertools.pairwise(edges)], bars.tolist()


def _figure(title: str, labels: list[str], bars: list[float]) -> str:
    if not bars:
        return ""
    drawing = svg.bars([("", bars)], labels, "{:,.0f}".format, WIDTH, HEIGHT)
    return html_page.figure(title, drawing)
