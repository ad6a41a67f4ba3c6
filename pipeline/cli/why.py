"""`homefeed why`: why a card was on a page."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from homefeed.pipeline.cli.page import Rules, Surfaces
from homefeed.pipeline.cli.terminal import Json, Root, console, errors, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit import operator
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.web.texts import LANGUAGES


class WhyError(HomefeedError, LookupError):
    """There is nothing to tell reasons of."""

    exit_code = 2


def why(
    root: Root,
    impression: Annotated[str, typer.Argument(help="`impression_id` of the page.")],
    item: Annotated[str, typer.Argument(help="Item of the card.")],
    models: Annotated[str, typer.Option(help="HOST:PORT of a model server's gRPC port; empty: none.")] = "",
    store: Annotated[str, typer.Option(help="redis://HOST:PORT, as of the gateway; empty: a file.")] = "",
    language: Annotated[str, typer.Option(help="en or zh.")] = LANGUAGES[0],
    rules: Rules = None,
    surfaces: Surfaces = None,
    as_json: Json = False,
) -> None:
    """Tell why a card was on a page: reasons that were measured or recorded."""
    if language not in LANGUAGES:
        raise typer.BadParameter(f"expected one of {', '.join(LANGUAGES)}, got {language!r}")
    config = Config(RunRoot(root).pushed(), models, store=store, rules=rules, surfaces=surfaces)
    try:
        found = asyncio.run(_why(config, impression, item))
    except LookupError as error:
        raise WhyError(f"page {impression!r}: {error.args[0]}") from error
    if as_json:
        print_json(found)
        return
    console.print(f"{item}  {found['title']}  {found['row']}, from {found['found_by']}", markup=False)
    for reason in found["reasons"]:
        console.print(f"  {reason['text'][language]}", markup=False, soft_wrap=True)
    if found["instead"]:
        console.print(f"  {found['instead']['text'][language]}", markup=False, soft_wrap=True)
    for note in notes(found):
        errors.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


async def _why(config: Config, impression: str, item: str) -> dict[str, Any]:
    home = Home(config, Metrics())
    try:
        await home.learn()
        return await home.why(impression, item, None, operator())
    finally:
        await home.stop()


def notes(found: dict[str, Any]) -> list[str]:
    """What stands between an answer and the page that it is about; nothing: they are of the same inputs and model."""
    told = []
    if not found["is_as_recorded"]:
        told.append("what is known of the reader is no longer what it was then: nothing was measured")
    elif not found["is_measured"]:
        told.append("no model found this card then, or none that does answers now: these reasons are recorded ones")
    elif found["answered_by"] != found["model_version"]:
        told.append(f"version {found['answered_by']} answers; the page was made by {found['model_version']}")
    return told
