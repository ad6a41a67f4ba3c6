"""`homefeed retrain`: keeps the models fresh."""

from __future__ import annotations

from typing import Annotated

import rich.text
import typer

from homefeed.pipeline.cli.terminal import (
    ConfigFile,
    Data,
    Json,
    Metadata,
    Root,
    Settings,
    console,
    print_json,
    progress,
    silent,
)
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.runner.reports import publishing
from homefeed.pipeline.runner.root import RunRoot

Window = Annotated[int, typer.Option(min=0, help="Learn from the newest good spans; 0: from all.")]
Replay = Annotated[int, typer.Option(min=0, help="And from as many older ones, against forgetting.")]
DriftMargin = Annotated[
    float, typer.Option(min=0, max=1, help="How far over its limit a distance (0 to 1) must be to reject a span.")
]
IfOlderThan = Annotated[float | None, typer.Option(min=0, help="Days: only if the last one is older.")]
MinNewEvents = Annotated[int | None, typer.Option(min=1, help="Only if so many events came since.")]
OnDrift = Annotated[bool, typer.Option("--on-drift", help="Only if a new span drifted.")]
Refit = Annotated[
    bool, typer.Option("--refit", help="Train from scratch, instead of going on from the models in service.")
]
Check = Annotated[str, typer.Option(help="A command that tries what was pushed; if it fails, roll back.")]


def retrain(
    data: Data,
    root: Root,
    window: Window = 0,
    replay: Replay = 0,
    drift_margin: DriftMargin = 0.15,
    if_older_than: IfOlderThan = None,
    min_new_events: MinNewEvents = None,
    on_drift: OnDrift = False,
    refit: Refit = False,
    check: Check = "",
    config: ConfigFile = None,
    settings: Settings = None,
    metadata: Metadata = None,
    as_json: Json = False,
) -> None:
    """Train on new spans of data and push what is no worse than the models in service.

    With several of the three conditions, one that holds is enough; with none, it always trains.
    """
    from homefeed.pipeline.loop.retrain import retrain  # Beam comes with it, which `--help` need not wait for.

    options = Options(window, replay, drift_margin, if_older_than, min_new_events, on_drift, refit, check)
    with publishing(RunRoot(root.resolve()), silent if as_json else progress) as (observer, _):
        outcome = retrain(
            data.resolve(),
            root.resolve(),
            options,
            observer=observer,
            config_file=config,
            settings=settings or (),
            metadata=metadata,
        )
    if as_json:
        print_json(vars(outcome))
        return
    for span, reasons in outcome.rejected.items():
        left_out = (f"span {span} is left out", "yellow")
        console.print(rich.text.Text.assemble(left_out, ": " + "; ".join(reasons)), soft_wrap=True)
    console.print(outcome.message, soft_wrap=True)
