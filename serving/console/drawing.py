"""Drawings of the console, as SVG in the page; their colours are the style sheet's."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import markupsafe

from homefeed.serving.gateway.clicks import Rate

WIDTH = 640
BOX, ROW, GAP = (136, 34), 52, 20  # A box of a graph; from one to the next below; between columns.


def shares(parts: Sequence[tuple[str, float]]) -> markupsafe.Markup:
    """One bar, cut into parts.

    Args:
        parts: (name, share), which add up to 1.
    """
    drawn, left = [], 0.0
    for place, (name, share) in enumerate(parts):
        width = share * WIDTH
        drawn.append(  # Also of none: the colours are those of the table's lines.
            f'<rect class="c{place % 6}" x="{left:.1f}" y="0" width="{width:.1f}" height="24">'
            f"<title>{html.escape(name)}: {share:.1%}</title></rect>"
        )
        left += width
    return _svg(WIDTH, 24, drawn)


def interval(rate: Rate) -> markupsafe.Markup:
    """A rate with its interval, on a line from 0 to a little above it; nothing, where there is no interval."""
    if rate.low is None or rate.high is None:
        return markupsafe.Markup("")
    most = min(1.0, rate.high * 1.25) or 1.0
    from_, at, to = (8 + one / most * (WIDTH - 16) for one in (rate.low, rate.value, rate.high))
    drawn = [
        f'<line class="axis" x1="8" y1="12" x2="{WIDTH - 8}" y2="12"/>',
        f'<line class="span" x1="{from_:.1f}" y1="12" x2="{to:.1f}" y2="12"/>',
        f'<circle class="c0" cx="{at:.1f}" cy="12" r="6"/>',
        f'<text x="8" y="32">0</text><text x="{WIDTH - 8}" y="32" text-anchor="end">{most:.1%}</text>',
    ]
    return _svg(WIDTH, 40, drawn)


class Node(NamedTuple):
    """A box of a graph of lineage.

    Attributes:
        key: tells it from others.
        title, detail: what stands in it.
        depth: steps to what was made last.
    """

    key: str
    title: str
    detail: str
    depth: int


def lineage(traced: Mapping[str, Any]) -> tuple[list[Node], list[tuple[str, str]]]:
    """Boxes and arrows of what an artifact was made from; a component that made several things is one box.

    Args:
        traced: as `homefeed lineage --json` tells it.

    Returns:
        Boxes, what was made last first, and arrows as keys from source to what was made of it.
    """
    nodes, arrows = dict[str, Node](), dict[tuple[str, str], None]()

    def visit(one: Mapping[str, Any], depth: int) -> str:
        made = one.get("made_by")
        name = made["component"] if made else one["type"]
        version = f"version {one['version']}" if one.get("version") else str(one["digest"])[:12]
        key = f"{name} {made['finished_at']}" if made else f"{name} {one['digest']}"
        detail = str(made["summary"]) if made else version
        if key not in nodes or nodes[key].depth < depth:
            nodes[key] = Node(key, name, detail, depth)
            for source in (made or {}).get("inputs", {}).values():
                arrows[visit(source, depth + 1), key] = None
        return key

    visit(traced, 0)
    return sorted(nodes.values(), key=lambda node: node.depth), list(arrows)


def graph(nodes: Sequence[Node], arrows: Sequence[tuple[str, str]]) -> markupsafe.Markup:
    """Boxes in columns, from what came first at the left to what was made last at the right."""
    deepest = max(node.depth for node in nodes)
    columns = itertools.groupby(nodes, key=lambda node: node.depth)
    at = {
        node.key: ((deepest - depth) * (BOX[0] + GAP), (row + depth % 3) * ROW)  # Arrows pass between boxes.
        for depth, column in columns
        for row, node in enumerate(column)
    }
    drawn = [_arrow(at[source], at[made]) for source, made in arrows]
    drawn += [_box(node, *at[node.key]) for node in nodes]
    width = (deepest + 1) * (BOX[0] + GAP) - GAP
    return _svg(width, max(y for _, y in at.values()) + BOX[1] + 2, drawn, "graph")


def _box(node: Node, x: float, y: float) -> str:
    words = html.escape(node.title)
    return (
        f'<g><title>{words}: {html.escape(node.detail)}</title><rect class="box" x="{x + 1}" y="{y + 1}" '
        f'width="{BOX[0] - 2}" height="{BOX[1]}" rx="6"/><text x="{x + BOX[0] / 2}" y="{y + 22}" '
        f'text-anchor="middle">{words}</text></g>'
    )


def _arrow(source: tuple[float, float], made: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = source, made
    begin, end, bend = x1 + BOX[0], x2, GAP / 2
    up, down = y1 + BOX[1] / 2, y2 + BOX[1] / 2
    return f'<path class="arrow" d="M{begin} {up}C{begin + bend} {up} {end - bend} {down} {end} {down}"/>'


def _svg(width: float, height: float, drawn: Sequence[str], kind: str = "bar") -> markupsafe.Markup:
    """A drawing that a table beside it says in words."""
    body = "".join(drawn)
    return markupsafe.Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'aria-hidden="true">{body}</svg>'
    )
