"""`homefeed items`: what waits for a verdict, and the verdict."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import rich.table
import typer

from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.words import near, one_line
from homefeed.serving.audit import Trail, operator
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.published import read_published
from homefeed.serving.policy.reviews import Verdict, read_reviews, write_reviews
from homefeed.serving.policy.rules import Rules, read_rules

items_app = typer.Typer(no_args_is_help=True, help="Review items that rules hold.")
Described = Annotated[pathlib.Path, typer.Option("--rules", help="YAML of rules, some of which `hold` items.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of items.")]
Why = Annotated[str, typer.Option(help="Is written down beside the verdict.")]


class Held(NamedTuple):
    """An item that a rule holds.

    Attributes:
        item_id: which one.
        title: as it is published.
        rule: that holds it.
        verdict: what was decided last; "": nothing.
    """

    item_id: str
    title: str
    rule: str
    verdict: str


@items_app.command()
def review(root: Root, rules: Described, as_json: Json = False) -> None:
    """Print the items that wait: they are held, and nobody has decided."""
    described, published = _read(root, rules)
    waiting = [one for one in _held(described, published) if not one.verdict]
    if as_json:
        print_json([one._asdict() for one in waiting])
        return
    table = rich.table.Table("item", "title", "held by")
    for one in waiting:
        table.add_row(*map(rich.markup.escape, (one.item_id, one_line(one.title), one.rule)))
    console.print(table if waiting else "no item waits")


@items_app.command()
def accept(items: Ids, root: Root, rules: Described, why: Why = "", as_json: Json = False) -> None:
    """Let items be shown: by gateways within seconds, by models after the next refresh of the index."""
    _decide(items, root, rules, "accepted", why, as_json)


@items_app.command()
def refuse(items: Ids, root: Root, rules: Described, why: Why = "", as_json: Json = False) -> None:
    """Keep items off for good: they wait no longer."""
    _decide(items, root, rules, "refused", why, as_json)


def _read(root: pathlib.Path, path: pathlib.Path) -> tuple[Rules, Items]:
    serving_dir = RunRoot(root).pushed()
    described = read_rules(path)
    if not described.reviews:
        raise typer.BadParameter(
            f"{path} has no rule that holds items, such as new: {{hold: all, reviews: seen.jsonl}}"
        )
    published = read_published(serving_dir, ()).items
    described.require_columns(published.columns)
    return described, published


def _held(rules: Rules, items: Items) -> Iterator[Held]:
    for name, path in rules.reviews.items():
        verdicts, condition = read_reviews(path), rules.by_name[name].condition
        for item_id, card in items.cards.items():
            if condition and condition.holds(card):
                yield Held(item_id, card["title"], name, verdicts.get(item_id, ""))


def _decide(
    ids: Sequence[str], root: pathlib.Path, path: pathlib.Path, verdict: Verdict, why: str, as_json: bool
) -> None:
    described, published = _read(root, path)
    for item_id in ids:
        if item_id not in published.cards:
            raise typer.BadParameter(f"there is no item {item_id!r}{near(item_id, published.cards)}"[:300])
    found = [one for one in _held(described, published) if one.item_id in set(ids)]
    if free := [item_id for item_id in ids if item_id not in {one.item_id for one in found}]:
        raise typer.BadParameter(f"no rule of {path} holds {', '.join(free)}")
    trail = Trail.beside(RunRoot(root).pushed())
    with trail.change("review", operator(), one_line(", ".join(ids)), verdict=verdict, reason=one_line(why)):
        for name, file in described.reviews.items():
            write_reviews(file, [one.item_id for one in found if one.rule == name], verdict, one_line(why))
    if as_json:
        print_json([one._replace(verdict=verdict)._asdict() for one in found])
        return
    after = "; models find them after `homefeed index refresh`" if verdict == "accepted" else ""
    console.print(f"{len(ids)} {verdict}{after}", soft_wrap=True)
