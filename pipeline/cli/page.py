"""`homefeed page`: what a page would be, step by step, what it was, and what other rules would change."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
from typing import Annotated, Any

import rich.table
import typer

from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home, Preview
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.policies import read_policy
from homefeed.serving.gateway.published import read_published
from homefeed.serving.gateway.replay import Difference, compare
from homefeed.serving.gateway.replay import replay as again
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.policy.arrangement import Steps
from homefeed.serving.policy.surfaces import HOME
from homefeed.serving.web.preview import draw

page_app = typer.Typer(no_args_is_help=True, help="See what a page would be, and what other rules would change.")
Rules = Annotated[pathlib.Path | None, typer.Option(help="YAML of rules that are in force; empty: none.")]
Surfaces = Annotated[pathlib.Path | None, typer.Option(help="YAML of surfaces; empty: the usual ones.")]
Picks = Annotated[pathlib.Path | None, typer.Option(help="The editors' choice: an item id a line.")]
MAX_LISTED = 10


@page_app.command()
def preview(
    root: Root,
    user: Annotated[str, typer.Option(help="Whose page.")],
    surface: Annotated[str, typer.Option(help="Which kind of page.")] = HOME,
    item: Annotated[str | None, typer.Option(help="The item that it is about.")] = None,
    query: Annotated[str, typer.Option(help="What is searched for.")] = "",
    k: Annotated[int | None, typer.Option("-k", min=1, max=50, help="Cards of a row.")] = None,
    models: Annotated[str, typer.Option(help="HOST:PORT of a model server's gRPC port; empty: none.")] = "",
    picks: Picks = None,
    rules: Rules = None,
    surfaces: Surfaces = None,
    experiments: Annotated[pathlib.Path | None, typer.Option(help="YAML of experiments; empty: none.")] = None,
    html: Annotated[pathlib.Path | None, typer.Option(help="File to draw it in.")] = None,
    as_json: Json = False,
) -> None:
    """Show a page as it would be now, with what each step did to its rows; nothing is recorded."""
    config = Config(
        RunRoot(root).pushed(),
        models,
        _chosen(picks),
        budget_seconds=5.0,
        rules=rules,
        surfaces=surfaces,
        experiments=experiments,
    )
    ask = Ask(user_id=user, surface=surface, item_id=item, query=query, k=k)
    found, titles = asyncio.run(_preview(config, ask))
    if html:
        html.write_text(draw(user, found.surface, found.served_by, found.rules_version, found.made, titles), "utf-8")
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        _show(found, titles)


async def _preview(config: Config, ask: Ask) -> tuple[Preview, dict[str, str]]:
    home = Home(config, Metrics())
    try:
        await home.learn()
        found = await home.preview(ask)
    finally:
        await home.stop()
    named = {one.item_id for steps in found.made.steps for one in steps.candidates}
    shown = {card["item_id"] for row in found.made.rows for card in row.cards}
    return found, {item_id: home.title(item_id) for item_id in named | shown}


def _show(found: Preview, titles: dict[str, str]) -> None:
    rules = f"rules {found.rules_version}" if found.rules_version else "no rules"
    console.print(f"{found.surface}, from {found.served_by}, {rules}")
    for name, told in (("set aside", found.made.set_aside), ("unmet", found.made.unmet)):
        if told:
            console.print(f"{name}: {', '.join(told)}")
    steps = {one.row: one for one in found.made.steps}
    for row in found.made.rows:
        names = ("place", "item", "title", "from", "candidate", "ruled", "diversified", "chance")
        table = rich.table.Table(*names, title=row.id)
        for place, card in enumerate(row.cards, 1):
            item_id = card["item_id"]
            places, chance = _places(steps[row.id], item_id), found.made.propensities.get(item_id, 1.0)
            table.add_row(str(place), item_id, titles[item_id], card["found_by"], *places, f"{chance:.3f}")
        console.print(table)
        refused = list(steps[row.id].refused.items())
        if refused:
            named = ", ".join(f"{item_id} ({rule})" for item_id, rule in refused[:MAX_LISTED])
            console.print(f"kept off by rules: {len(refused)} of {len(steps[row.id].candidates)}: {named}")


def _places(steps: Steps, item_id: str) -> list[str]:
    """Where an item stood after each step, from 1; "-": not there."""
    lists = ([one.item_id for one in steps.candidates], steps.ruled, steps.diversified)
    return [str(list(found).index(item_id) + 1) if item_id in found else "-" for found in lists]


@page_app.command()
def rules(
    root: Root,
    dry_run: Annotated[pathlib.Path, typer.Option(help="YAML of rules that are to be tried.")],
    rules: Rules = None,
    surfaces: Surfaces = None,
    picks: Picks = None,
    last: Annotated[int, typer.Option(min=1, help="Pages that are made again.")] = 1_000,
    as_json: Json = False,
) -> None:
    """Print what other rules would change on the pages that were served last."""
    serving_dir = RunRoot(root).pushed()
    published = read_published(serving_dir, _chosen(picks))
    before = read_policy(rules, surfaces, published)
    # In the place of the rules, the file would name lists that lie there.
    after = read_policy(dry_run, surfaces, published, folder=rules.parent if rules else None)
    found = compare(serving_dir, before, after, last)
    if as_json:
        print_json(_json(found))
        return
    set_aside = sum(bool(change.set_aside) for change in found.changes)
    console.print(
        f"{len(found.changes):,} of {found.pages:,} pages would be others; rules set aside on {set_aside:,}"
    )
    for verb, items in (("gone", found.gone), ("come", found.come)):
        for item_id, count in items.most_common(MAX_LISTED):
            console.print(f"{verb}  {count:6,}  {item_id}  {published.items.titles.get(item_id, '')}")


@page_app.command()
def replay(
    impression: Annotated[str, typer.Argument(help="The page's impression_id.")],
    root: Root,
    rules: Rules = None,
    surfaces: Surfaces = None,
    picks: Picks = None,
    as_json: Json = False,
) -> None:
    """Make a page again as it was served, by the same lots, and print whether it is the same, or why not."""
    serving_dir = RunRoot(root).pushed()
    published = read_published(serving_dir, _chosen(picks))
    found = again(serving_dir, read_policy(rules, surfaces, published), impression)
    if as_json:
        print_json(dataclasses.asdict(found))
    elif found.is_same:
        console.print(f"{impression} is the same page again, byte for byte")
    else:
        console.print(f"{impression} is another page now; changed since: {'; '.join(found.reasons)}")
        for row, (was, now) in found.rows.items():
            console.print(f"{row}  was {' '.join(was.get('items', ()))}")
            console.print(f"{row}  is  {' '.join(now.get('items', ()))}")
    if not found.is_same:
        raise typer.Exit(1)


def _chosen(picks: pathlib.Path | None) -> tuple[str, ...]:
    lines = picks.read_text(encoding="utf-8").splitlines() if picks else ()
    return tuple(filter(None, map(str.strip, lines)))


def _json(found: Difference) -> dict[str, Any]:
    return {
        "pages": found.pages,
        "changes": [dataclasses.asdict(change) for change in found.changes],
        "gone": dict(found.gone.most_common()),
        "come": dict(found.come.most_common()),
    }
