"""A preview of a page, drawn: each row with its candidates, and what became of each."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from homefeed.serving.gateway.making import Made
from homefeed.serving.gateway.page import Row
from homefeed.serving.policy.arrangement import Steps

_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:2rem;max-width:72rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}tr.off td{color:#777}tr.on{background:#eef6ee}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}tr.on{background:#203020}
tr.off td{color:#999}}
"""
MAX_CANDIDATES = 40


def draw(user: str, surface: str, served_by: str, rules_version: str, made: Made, titles: Mapping[str, str]) -> str:
    """An HTML page that takes nothing from elsewhere.

    Args:
        user: whose page.
        surface: its name.
        served_by: the rung.
        rules_version: "": there are no rules.
        made: the page, with its steps.
        titles: item id → title.
    """
    rows = {row.id: row for row in made.rows}
    outcomes = (("set aside", made.set_aside), ("unmet", made.unmet))
    told = [f"{name}: {', '.join(names)}" for name, names in outcomes if names]
    facts = [surface, f"from {served_by}", f"rules {rules_version}" if rules_version else "no rules", *told]
    body = "".join(_row(rows.get(steps.row), steps, titles) for steps in made.steps)
    title = f"The page of {user}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
        f"<h1>{_text(title)}</h1><p>{_text('; '.join(facts))}</p>{body}</html>"
    )


def _row(row: Row | None, steps: Steps, titles: Mapping[str, str]) -> str:
    cards = {card["item_id"]: place for place, card in enumerate(row.cards if row else (), 1)}
    found_by = {one.item_id: one.found_by for one in steps.candidates}
    found_by |= {card["item_id"]: card["found_by"] for card in (row.cards if row else ())}
    listed = list(dict.fromkeys([*cards, *(one.item_id for one in steps.candidates[:MAX_CANDIDATES])]))
    places = [_places([one.item_id for one in steps.candidates]), _places(steps.ruled), _places(steps.diversified)]
    lines = []
    for item_id in listed:
        numbers = "".join(f'<td class="n">{found.get(item_id, "")}</td>' for found in (*places, cards))
        said = (titles.get(item_id, item_id), item_id, found_by.get(item_id, ""), steps.refused.get(item_id, ""))
        words = "".join(f"<td>{_text(one)}</td>" for one in said)
        lines.append(f'<tr class="{"on" if item_id in cards else "off"}">{numbers}{words}</tr>')
    names = ("candidate", "after rules", "after diversity", "card", "title", "item", "from", "kept off by")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    summary = f"{len(steps.candidates)} candidates, {len(steps.refused)} kept off by rules, {len(cards)} cards"
    return f"<h2>{_text(steps.row)}</h2><p>{summary}</p><table><tr>{head}</tr>{''.join(lines)}</table>"


def _places(item_ids: Sequence[str]) -> dict[str, int]:
    return {item_id: place for place, item_id in enumerate(item_ids, 1)}


def _text(said: str) -> str:
    return html.escape(said)
