"""The options of a retraining on the command line: of `homefeed retrain`, and of what is compiled to run it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from homefeed.pipeline.loop.options import Options

KINDS: dict[str, Any] = {
    "window": Annotated[int, typer.Option(min=0, help="Learn from the newest good spans; 0: from all.")],
    "replay": Annotated[int, typer.Option(min=0, help="And from as many older ones, against forgetting.")],
    "drift_margin": Annotated[
        float, typer.Option(min=0, max=1, help="How far over its limit a distance (0 to 1) must be to reject a span.")
    ],
    "if_older_than": Annotated[float | None, typer.Option(min=0, help="Days: only if the last one is older.")],
    "min_new_events": Annotated[int | None, typer.Option(min=1, help="Only if so many events came since.")],
    "on_drift": Annotated[bool, typer.Option("--on-drift", help="Only if a new span drifted.")],
    "refit": Annotated[
        bool, typer.Option("--refit", help="Train from scratch, instead of going on from the models in service.")
    ],
    "check": Annotated[str, typer.Option(help="A command that tries what was pushed; if it fails, roll back.")],
}
"""Field of Options → its option; the default is the field's."""


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each of KINDS, in the place of its parameter `options`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in KINDS})
        command(options=options, **given)

    parameters = list[inspect.Parameter]()
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += _parameters() if parameter.name == "options" else [parameter]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameters() -> list[inspect.Parameter]:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(field.name, kind, default=field.default, annotation=KINDS[field.name])
        for field in dataclasses.fields(Options)
    ]
