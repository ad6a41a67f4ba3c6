"""`homefeed retrain`: keeps the models fresh."""

from __future__ import annotations

import rich.text

from homefeed.pipeline.cli.retraining import takes_options
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


@takes_options
def retrain(
    data: Data,
    root: Root,
    options: Options,
    config: ConfigFile = None,
    settings: Settings = None,
    metadata: Metadata = None,
    as_json: Json = False,
) -> None:
    """Train on new spans of data and push what is no worse than the models in service.

    With several of the three conditions, one that holds is enough; with none, it always trains.
    """
    from homefeed.pipeline.loop.retrain import retrain  # Beam comes with it, which `--help` need not wait for.

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
