"""Drawings for our HTML pages, as inline SVG."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 320, 110
COLOURS = tuple(f"var(--c{number})" for number in range(6))  # The page says what they are, by day and by night.
LEFT, BOTTOM, TOP = 52, 34, 8  # Room for the axes and what is written at them.


def intervals(
    rows: Sequence[tuple[str, float, float, float]], written: Callable[[float], str], width: int = 640
) -> str:
    """One line a row: (label, value, low, high), a dot with its interval, and the value in figures; axis below."""
    if not rows:
        return ""
    low, high = min(0.0, *(row[2] for row in rows)), max(0.0, *(row[3] for row in rows))
    left, right, line = 230, 70, 22
    scale = (width - left - right) / ((high - low) or 1.0)
    zero = left + (0 - low) * scale
    tall = line * len(rows) + 6
    drawn = [_line(zero, 0, zero, tall), _line(left, tall, width - right, tall)]
    ends = sorted({low, 0.0, high})
    drawn += [_text(left + (end - low) * scale, tall + 14, f"{end:.3g}", "middle") for end in ends]
    for place, (label, value, from_, to) in enumerate(rows):
        y = line * place + line / 2 + 3
        x = left + (value - low) * scale
        drawn.append(
            _text(4, y + 4, label)
            + f'<line x1="{left + (from_ - low) * scale:.1f}" y1="{y:.1f}" x2="{left + (to - low) * scale:.1f}" '
            f'y2="{y:.1f}" stroke="{COLOURS[0]}" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[0]}"/>'
            + _text(width - right + 8, y + 4, written(value))
        )
    return _svg(width, tall + 20, drawn)


def bars(
    series: Sequence[tuple[str, Sequence[float]]],
    labels: Sequence[str],
    written: Callable[[float], str],
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Series of bars over each other with a common scale from 0 to the highest, and axes.

    Args:
        series: (CSS class, [num_bars] values); an empty class is none.
        labels: [num_bars] or more, the first ones of the bars; the first and the last are written below.
        written: a value in figures, at the axis and for people who point at its bar.
        width: of the bars, in pixels.
        height: of the bars, in pixels.
    """
    highest = max((max(values) for _, values in series), default=0) or 1.0
    drawn = _axes(width, height, written(highest), labels[0], labels[-1])
    for kind, values in series:
        step, class_ = width / len(values), f'class="{kind}" ' if kind else ""
        drawn += [
            f'<rect {class_}x="{LEFT + place * step:.1f}" y="{TOP + height * (1 - value / highest):.1f}" '
            f'width="{step * 0.9:.1f}" height="{height * value / highest:.1f}">'
            f"<title>{html.escape(labels[place])}: {written(value)}</title></rect>"
            for place, value in enumerate(values)
        ]
    return _svg(LEFT + width, TOP + height + BOTTOM, drawn)


def curves(lines: Sequence[Sequence[float]], width: int = WIDTH, height: int = HEIGHT) -> str:
    """Lines over 0, 1, 2, … with a common scale from 0 to the highest value, one colour each, and axes."""
    highest = max((value for line in lines for value in line), default=0) or 1.0
    drawn = _axes(width, height, f"{highest:.3g}", "oldest", "newest")
    for line, colour in zip(lines, COLOURS, strict=False):
        step = (width - 16) / max(len(line) - 1, 1)
        at = [(LEFT + 8 + place * step, TOP + height - height * value / highest) for place, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{value:.4g}</title></circle>'
            for (x, y), value in zip(at, line, strict=True)
        ]
    return _svg(LEFT + width + 8, TOP + height + BOTTOM, drawn)


def diagonal(points: Sequence[tuple[float, float, float]], size: int = 240) -> str:
    """A reliability diagram: (predicted, happened, weight) in 0 … 1, beside the diagonal where both agree."""
    heaviest = max((weight for _, _, weight in points), default=1) or 1
    drawn = [*_axes(size, size, "1", "0", "predicted: 1"), _line(LEFT, TOP + size, LEFT + size, TOP)]
    drawn.append(_text(LEFT + 4, TOP + 12, "happened"))
    drawn += [
        f'<circle cx="{LEFT + predicted * size:.1f}" cy="{TOP + size - happened * size:.1f}" '
        f'r="{3 + 7 * weight / heaviest:.1f}" fill="{COLOURS[0]}" fill-opacity=".6">'
        f"<title>predicted {predicted:.2f}, happened {happened:.2f}, {weight:.0f} events</title></circle>"
        for predicted, happened, weight in points
    ]
    return _svg(LEFT + size + 12, TOP + size + BOTTOM, drawn)


def _axes(width: int, height: int, highest: str, first: str, last: str) -> list[str]:
    """Below and left of a drawing, with what stands at their ends; long labels are cut."""
    bottom = TOP + height
    return [
        _line(LEFT, TOP, LEFT, bottom),
        _line(LEFT, bottom, LEFT + width, bottom),
        _text(LEFT - 4, TOP + 10, highest, "end"),
        _text(LEFT - 4, bottom, "0", "end"),
        _text(LEFT, bottom + 16, _cut(first)),
        _text(LEFT + width, bottom + 16 if first != last else bottom + 30, _cut(last), "end"),
    ]


def _cut(label: str, length: int = 20) -> str:
    return label if len(label) <= length else f"{label[: length - 1]}…"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="axis" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(width: float, height: float, drawn: Sequence[str]) -> str:
    """As wide as it is drawn, or as the page where that is narrower."""
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
