"""A comparison as one HTML page: every figure, and both distributions of every column over each other."""

from __future__ import annotations

import html
from collections.abc import Sequence

from homefeed.components.artifacts import html_page, svg
from homefeed.components.drift.bars import histograms, top_values
from homefeed.components.drift.findings import USER_ID, Finding, worst_first
from homefeed.components.drift.summary import Column, Summary

NUM_VALUES, NUM_BARS = 12, 24
STYLE = """
tr.drift { background: var(--alarm); } .key { display: inline-block; width: .8em; height: .8em; }
.b { fill: var(--c0); fill-opacity: .55; } .c { fill: var(--c1); fill-opacity: .55; }
.key.b { background: var(--c0); } .key.c { background: var(--c1); }
"""


def page(baseline: Summary, current: Summary, findings: Sequence[Finding]) -> str:
    """The verdict, every figure, and both distributions of every column."""
    drifted = {found.feature for found in findings if found.drifted}
    num_drifted = sum(found.drifted for found in findings)
    verdict = (
        f"<p><b>Drift</b> in {num_drifted} of {len(findings)} figures.</p>"
        if drifted
        else f"<p>Quiet: all {len(findings)} figures are within their limits.</p>"
    )
    if undecided := sum(not found.drifted and not found.can_fire for found in findings):
        verdict += f"<p>{undecided} figures are of too few values to tell drift from chance.</p>"
    sides = "".join(
        f'<li><span class="key {kind}"></span> {label}: {html.escape(side.name)} '
        f"({', '.join(f'{count:,} {table}' for table, count in side.num_rows.items())})</li>"
        for label, side, kind in (("baseline", baseline, "b"), ("current", current, "c"))
    )
    # Not of user ids: a picture of them would name people.
    shared = (baseline.columns.keys() & current.columns.keys()) - {USER_ID}
    names = sorted(shared, key=lambda name: (name not in drifted, name))
    figures = "".join(_figure(name, baseline.columns[name], current.columns[name]) for name in names)
    return html_page.document(
        "Drift",
        f"<h1>Drift report</h1>{verdict}<ul>{sides}</ul>"
        "<table><tr><th>feature<th>distance<th>value<th>by chance<th>limit<th>verdict<td></tr>"
        f"{''.join(map(_row, worst_first(findings)))}</table>"
        f"<h2>Distributions</h2><div class='grid'>{figures}</div>",
        STYLE,
    )


def _row(found: Finding) -> str:
    numbers = "".join(f'<td class="n">{value:.4f}' for value in (found.value, found.chance, found.threshold))
    return (
        f"<tr{' class=drift' if found.drifted else ''}><td>{html.escape(found.feature)}"
        f"<td>{found.measure.replace('_', ' ')}{numbers}<td>{found.verdict.lower()}"
        f"<td><small>{html.escape(found.detail)}</small></tr>"
    )


def _figure(name: str, before: Column, after: Column) -> str:
    if not before.num_values or not after.num_values:
        return ""
    labels, shares = _number_shares(before, after) if before.kind == "number" else _value_shares(before, after)
    drawing = svg.bars(list(zip("bc", shares, strict=True)), labels, "{:.2%}".format)
    return html_page.figure(name, drawing, "share of the values; blue: baseline, red: current")


def _value_shares(before: Column, after: Column) -> tuple[list[str], list[list[float]]]:
    top = top_values((before, after), NUM_VALUES)
    shares = [[side.values.get(value, 0) / side.num_values for value in top] for side in (before, after)]
    return [str(value) for value in top], shares


def _number_shares(before: Column, after: Column) -> tuple[list[str], list[list[float]]]:
    edges, counts = histograms((before, after), NUM_BARS)
    return [f"{edge:.4g}" for edge in edges], [(side / side.sum()).tolist() for side in counts]
