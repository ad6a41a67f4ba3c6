"""Drawings for our HTML pages, as inline SVG."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 320, 110
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def intervals(rows: Sequence[tuple[str, float, float, float]], width: int = 640) -> str:
    """One line a row: (label, value, low, high), a dot with its interval, and the value in figures."""
    if not rows:
        return ""
    low, high = min(0.0, *(row[2] for row in rows)), max(row[3] for row in rows)
    left, right, line = 230, 70, 22
    scale = (width - left - right) / ((high - low) or 1.0)
    zero = left + (0 - low) * scale
    tall = line * len(rows) + 6
    drawn = [f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{tall}" stroke="#bbb"/>']
    for place, (label, value, from_, to) in enumerate(rows):
        y = line * place + line / 2 + 3
        x = left + (value - low) * scale
        drawn.append(
            f'<text x="4" y="{y + 4:.1f}" font-size="13">{html.escape(label)}</text>'
            f'<line x1="{left + (from_ - low) * scale:.1f}" y1="{y:.1f}" x2="{left + (to - low) * scale:.1f}" '
            f'y2="{y:.1f}" stroke="{COLOURS[0]}" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[0]}"/>'
            f'<text x="{width - right + 8}" y="{y + 4:.1f}" font-size="13">{value:+.4f}</text>'
        )
    return f'<svg width="{width}" height="{tall}" role="img">{"".join(drawn)}</svg>'


def bars(
    series: Sequence[tuple[str, Sequence[float]]],
    labels: Sequence[str],
    written: Callable[[float], str],
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Series of bars over each other with a common scale from 0 to the highest.

    Args:
        series: (CSS class, [num_bars] values); an empty class is none.
        labels: [num_bars] or more, the first ones of the bars.
        written: a value in figures, for people who point at its bar.
        width: in pixels.
        height: in pixels.
    """
    highest = max((max(values) for _, values in series), default=0) or 1.0
    drawn = []
    for kind, values in series:
        step, class_ = width / len(values), f'class="{kind}" ' if kind else ""
        drawn += [
            f'<rect {class_}x="{place * step:.1f}" y="{height * (1 - value / highest):.1f}" '
            f'width="{step * 0.9:.1f}" height="{height * value / highest:.1f}">'
            f"<title>{html.escape(labels[place])}: {written(value)}</title></rect>"
            for place, value in enumerate(values)
        ]
    return f'<svg width="{width}" height="{height}" role="img">{"".join(drawn)}</svg>'


def curves(lines: Sequence[Sequence[float]], width: int = WIDTH, height: int = HEIGHT) -> str:
    """Lines over 0, 1, 2, … with a common scale from 0 to the highest value, one colour each."""
    highest = max((value for line in lines for value in line), default=0) or 1.0
    drawn = []
    for line, colour in zip(lines, COLOURS, strict=False):
        step = (width - 16) / max(len(line) - 1, 1)
        at = [(8 + place * step, height - 8 - (height - 16) * value / highest) for place, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{value:.4g}</title></circle>'
            for (x, y), value in zip(at, line, strict=True)
        ]
    return f'<svg width="{width}" height="{height}" role="img">{"".join(drawn)}</svg>'


def diagonal(points: Sequence[tuple[float, float, float]], size: int = 240) -> str:
    """A reliability diagram: (predicted, happened, weight) in 0 … 1, beside the diagonal where both agree."""
    heaviest = max((weight for _, _, weight in points), default=1) or 1
    drawn = [f'<line x1="0" y1="{size}" x2="{size}" y2="0" stroke="#bbb"/>']
    drawn += [
        f'<circle cx="{predicted * size:.1f}" cy="{size - happened * size:.1f}" r="{3 + 7 * weight / heaviest:.1f}" '
        f'fill="{COLOURS[0]}" fill-opacity=".6"><title>predicted {predicted:.2f}, happened {happened:.2f}, '
        f"{weight:.0f} events</title></circle>"
        for predicted, happened, weight in points
    ]
    return f'<svg width="{size}" height="{size}" role="img">{"".join(drawn)}</svg>'
