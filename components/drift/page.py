"""The drift report as one HTML page: no script, no file beside it, drawings in SVG."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from homefeed.components.drift import summary as _summaries

if TYPE_CHECKING:
    from homefeed.components.drift.compare import DriftReport, Finding
    from homefeed.components.drift.summary import Column

NUM_BARS = 12
WIDTH, HEIGHT = 320, 110
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } tr.drift { background: #fde8e4; }
.grid { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } figcaption { font-weight: 600; }
.b { fill: #4477aa; fill-opacity: .55; } .c { fill: #ee6677; fill-opacity: .55; }
.key { display: inline-block; width: .8em; height: .8em; } svg { background: #fafafa; } small { color: #666; }
"""


def page(report: DriftReport) -> str:
    """The page: the verdict, every figure, and both distributions of every column over each other."""
    drifted = report.drifted
    verdict = (
        f"<p><b>Drift</b> in {len(drifted)} of {len(report.findings)} figures.</p>"
        if drifted
        else f"<p>Quiet: all {len(report.findings)} figures are within their limits.</p>"
    )
    sides = "".join(
        f'<li><span class="key" style="background:{colour}"></span> {label}: {html.escape(side.name)} '
        f"({', '.join(f'{count:,} {table}' for table, count in side.num_rows.items())})</li>"
        for label, side, colour in (
            ("baseline", report.baseline, "#4477aa"),
            ("current", report.current, "#ee6677"),
        )
    )
    rows = "".join(map(_row, sorted(report.findings, key=lambda f: (not f.drifted, f.feature, f.measure))))
    # Not of user ids: a picture of them would name people.
    shared = (report.baseline.columns.keys() & report.current.columns.keys()) - {"interactions.user_id"}
    names = sorted(shared, key=lambda n: (all(f.feature != n for f in drifted), n))
    figures = "".join(_figure(name, report.baseline.columns[name], report.current.columns[name]) for name in names)
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Drift</title><style>{STYLE}</style>'
        f"<h1>Drift report</h1>{verdict}<ul>{sides}</ul>"
        "<table><tr><th>feature<th>distance<th>value<th>by chance<th>limit<th>verdict<th></tr>"
        f"{rows}</table><h2>Distributions</h2><div class='grid'>{figures}</div></html>\n"
    )


def _row(found: Finding) -> str:
    numbers = "".join(f'<td class="n">{value:.4f}' for value in (found.value, found.chance, found.threshold))
    return (
        f"<tr{' class=drift' if found.drifted else ''}><td>{html.escape(found.feature)}"
        f"<td>{found.measure.replace('_', ' ')}{numbers}<td>{'drift' if found.drifted else 'quiet'}"
        f"<td><small>{html.escape(found.detail)}</small></tr>"
    )


def _figure(name: str, before: Column, after: Column) -> str:
    if not before.num_values or not after.num_values:
        return ""
    labels, shares = _number_bars(before, after) if before.kind == "number" else _value_bars(before, after)
    return (
        f"<figure><figcaption>{html.escape(name)}</figcaption>{_bars(labels, shares)}"
        f"<br><small>{html.escape(labels[0])} … {html.escape(labels[-1])}</small></figure>"
    )


def _value_bars(before: Column, after: Column) -> tuple[list[str], list[list[float]]]:
    """The most frequent values of both together."""
    together = before.values + after.values
    top = sorted(together, key=lambda value: (-together[value], str(value)))[:NUM_BARS]
    shares = [[side.values.get(value, 0) / side.num_values for value in top] for side in (before, after)]
    return [str(value) for value in top], shares


def _number_bars(before: Column, after: Column) -> tuple[list[str], list[list[float]]]:
    """Bars of equal width over the middle 99% of both together."""
    bins = np.array(sorted(before.values.keys() | after.values.keys()))
    counts = [np.array([side.values.get(int(place), 0) for place in bins], float) for side in (before, after)]
    numbers = _summaries.bin_values(bins)
    mass = np.cumsum(counts[0] + counts[1]) / (counts[0] + counts[1]).sum()
    low, high = (float(numbers[min(int(np.searchsorted(mass, part)), len(bins) - 1)]) for part in (0.005, 0.995))
    edges = np.linspace(low, high if high > low else low + 1, 25)
    shares = [np.histogram(np.clip(numbers, low, high), edges, weights=side / side.sum())[0] for side in counts]
    return [f"{edge:.4g}" for edge in edges], [side.tolist() for side in shares]


def _bars(labels: Sequence[str], shares: list[list[float]]) -> str:
    tallest = max(map(max, shares)) or 1.0
    step = WIDTH / len(shares[0])
    drawn = []
    for kind, side in zip("bc", shares, strict=True):
        for place, share in enumerate(side):
            tall = HEIGHT * share / tallest
            title = f"<title>{html.escape(labels[place])}: {share:.2%}</title>"
            drawn.append(
                f'<rect class="{kind}" x="{place * step:.1f}" y="{HEIGHT - tall:.1f}" '
                f'width="{step * 0.9:.1f}" height="{tall:.1f}">{title}</rect>'
            )
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(drawn)}</svg>'
