"""What every verb of the command line shares: where it prints, and how."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated, Any

import rich.console
import typer

console = rich.console.Console(highlight=False)
errors = rich.console.Console(stderr=True, highlight=False)

Root = Annotated[pathlib.Path, typer.Option(help="Folder of artifacts, metadata and served models.")]
Data = Annotated[pathlib.Path, typer.Option(help="Folder with dataset.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


def print_json(value: Any) -> None:
    """Prints a value for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))
