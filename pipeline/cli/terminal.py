"""Consoles, shared options and progress of the command line."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import rich.console
import typer

console = rich.console.Console(highlight=False)
errors = rich.console.Console(stderr=True, highlight=False)

Root = Annotated[pathlib.Path, typer.Option(help="Folder of artifacts, metadata and served models.")]
Data = Annotated[pathlib.Path, typer.Option(help="Folder with dataset.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
ConfigFile = Annotated[pathlib.Path | None, typer.Option("--config", help="YAML: component: {field: value}.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="component.field=value; may be repeated.")]
Metadata = Annotated[
    str | None, typer.Option(help="ML Metadata: a SQLite path or mysql://user:password@host/database.")
]


def print_json(value: Any) -> None:
    """Prints a value for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[Any], None]]:
    """Shows each component of a run as it begins and ends."""

    def finished(step: Any) -> None:
        took = "cached" if step.cached else f"{step.seconds:6.1f} s"
        console.print(f"[green]✓[/] {title:<20} {took:>8}  {step.summary}", soft_wrap=True)

    with console.status(f"{title} …"):
        yield finished


@contextlib.contextmanager
def silent(title: str) -> Iterator[Callable[[Any], None]]:
    """Shows nothing of a run."""
    yield lambda step: None
