"""A report of an experiment as a page for people."""

from __future__ import annotations

import html

from homefeed.serving.experiments.metrics import METRICS, MetricName
from homefeed.serving.experiments.report import Arm, Comparison, Report

_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:2rem;max-width:72rem;color:#222;background:#fff}
table{border-collapse:collapse;display:block;overflow-x:auto;max-width:100%;margin:1rem 0}
th,td{text-align:right;padding:.2rem .6rem;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}caption{text-align:left;font-weight:600}
.broken{color:#b00020;font-weight:600}.verdict{font-size:1.15rem}
svg{width:12rem;height:1rem}line.zero{stroke:#999}line.span{stroke:#06c;stroke-width:3}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}.broken{color:#ff8a80}}
"""
_HALF = 100  # Half the width of a drawn interval.


def draw(found: Report, verdict: str) -> str:
    """An HTML page that takes nothing from elsewhere.

    Args:
        found: what came of it.
        verdict: what to make of it.
    """
    title = f"Experiment {found.name}"
    arms = "".join(_arm(name, one) for name, one in found.arms.items())
    heads = ["arm", "users", "expected", "pages", *(METRICS[metric].words for metric in METRICS)]
    tables = "".join(
        _table(f"{arm} beside {found.control}", _HEADS, "".join(map(_comparison, each, each.values())))
        for arm, each in found.comparisons.items()
    )
    split = f"p of the split of users: {found.sample_ratio:.2g}. Users of several arms, left out: {found.mixed:,}."
    split += f" Pages of other versions, left out: {found.left_out:,}." if found.left_out else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style>"
        f'<h1>{_text(title)}</h1><p class="verdict">{_text(verdict)}</p>{_table("Arms", heads, arms)}{tables}'
        f"<p>{_text(split)} Intervals hold whenever, and however often, one looks.</p></html>"
    )


_HEADS = ["metric", "difference", "95% interval", "", "p", "saved by the weeks before", "guardrail"]


def _arm(name: str, one: Arm) -> str:
    values = (f"{value:.4g}" for value in one.metrics.values())
    cells = (name, f"{one.users:,}", f"{one.expected:.0%}", f"{one.pages:,}", *values)
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _comparison(metric: MetricName, one: Comparison) -> str:
    guard = {None: "", True: '<span class="broken">broken</span>', False: "kept"}[one.is_broken]
    cells = [METRICS[metric].words, f"{one.difference:+.4g}"]
    if one.low is None or one.high is None:
        span, picture = "too few users", ""
    else:
        span, picture = f"{one.low:+.4g} … {one.high:+.4g}", _interval(one.low, one.high)
    rest = "".join(f"<td>{cell}</td>" for cell in (picture, _text(f"{one.p_value:.2g}"), f"{one.saved:.0%}", guard))
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in (*cells, span))}{rest}</tr>"


def _interval(low: float, high: float) -> str:
    """The interval around a line at 0."""
    most = max(abs(low), abs(high)) or 1.0
    begin, end = (_HALF + _HALF * value / most for value in (low, high))
    zero = f'<line class="zero" x1="{_HALF}" x2="{_HALF}" y1="0" y2="16"/>'
    span = f'<line class="span" x1="{begin:.1f}" x2="{end:.1f}" y1="8" y2="8"/>'
    return f'<svg viewBox="0 0 {2 * _HALF} 16" aria-hidden="true">{zero}{span}</svg>'


def _table(title: str, heads: list[str], body: str) -> str:
    head = "".join(f'<th scope="col">{_text(one)}</th>' if one else "<td></td>" for one in heads)
    return f"<table tabindex=0><caption>{_text(title)}</caption><tr>{head}</tr>{body}</table>"


def _text(said: str) -> str:
    return html.escape(said)
