"""`homefeed feedback`: what came to the home page becomes training data."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Data, Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import times

feedback_app = typer.Typer(no_args_is_help=True, help="Make training data of what came to the home page.")
DAY_SECONDS = 86_400


@feedback_app.command("seal")
def seal(
    root: Root,
    data: Data,
    at: Annotated[str, typer.Option(help="A time; what came later is for another span. Empty: now.")] = "",
    min_events: Annotated[int, typer.Option(min=1, help="Wait until so many events have come.")] = 1,
    keep_days: Annotated[
        float,
        typer.Option(
            min=0, max=36_500, help="How long sealed events stay in the live store, and are known if sent again."
        ),
    ] = 7,
    log: Annotated[
        str, typer.Option(help="kafka://HOST:PORT/TOPIC, which gateways write; empty: the live store of one.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write what came to the home page as the next span of the data, each event once; again after a crash."""
    from homefeed.serving.feedback.seal import seal  # pyarrow comes with it.

    moment = times.moment(at) if at else None
    if at and moment is None:
        raise typer.BadParameter(f"{at!r} is no time such as 2024-01-31T18:00")
    ahead = max(0.0, moment - time.time()) if moment else 0.0  # What is kept is kept by the clock.
    done = seal(RunRoot(root).pushed(), data.resolve(), moment, min_events, keep_days * DAY_SECONDS + ahead, log)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    if done.span:
        told = ", ".join(f"{count:,} {table}" for table, count in done.rows.items())
        console.print(f"span {done.span}: {told}", soft_wrap=True)
        for file in done.files:
            console.print(f"  {data / file}", soft_wrap=True)
    else:
        console.print("nothing to seal: fewer events than --min-events have come since the last span")
    for kind, count in done.unknown.items():
        console.print(f"{count:,} events of type {kind!r} are not learnt from: no event type of dataset.yaml")
    for column, count in done.left_out.items():
        console.print(f"{count:,} values of {column!r} are left out: dataset.yaml does not admit them")
    if done.log and done.log.gone:
        console.print(f"{done.log.gone:,} records had left the log before they were read: let it keep them longer")
    if done.log and done.log.unreadable:
        console.print(f"{done.log.unreadable:,} records of the log are none of homefeed's, and left out")
    if done.left:
        console.print(f"{done.left:,} events have left the live store")


@feedback_app.command("export")
def export(
    data: Data,
    out: Annotated[pathlib.Path, typer.Option(help="File to write.")],
    to: Annotated[str, typer.Option("--format", help="vw (dsjson), obp (CSV), ubi or parquet.")] = "parquet",
    as_json: Json = False,
) -> None:
    """Write all sealed feedback as one file: a card that was seen, its probability, and what became of it."""
    from homefeed.serving.feedback.export import FORMATS, export

    found = next((name for name in FORMATS if name == to), None)
    if found is None:
        raise typer.BadParameter(f"--format {to!r} is none of {', '.join(FORMATS)}")
    count = export(data.resolve(), out, found)
    print_json({"out": str(out), "cards": count}) if as_json else console.print(f"wrote {out}: {count:,} cards")
