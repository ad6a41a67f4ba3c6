"""`homefeed init`: a team's files become a dataset."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Json, console, print_json


def init(
    files: Annotated[list[pathlib.Path], typer.Argument(help="The tables, or folders with them.")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="Folder that gets dataset.yaml; by default where the files are.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at your files and write the dataset.yaml that they need."""
    from homefeed.pipeline.datasets.init import describe  # pyarrow comes with it.

    folder = out or (files[0] if files[0].is_dir() else files[0].parent)
    found = describe(files, folder)
    if as_json:
        print_json(dataclasses.asdict(found) | {"path": str(found.path)})
        return
    for table, path in found.tables.items():
        names = ", ".join(our if our == name else f"{our} ← {name}" for our, name in found.columns[table].items())
        console.print(f"{table}: {path}: {names}", soft_wrap=True)
        if found.features[table]:
            kinds = ", ".join(f"{name} ({kind})" for name, kind in found.features[table].items())
            console.print(f"  features: {kinds}", soft_wrap=True)
        if found.left_out[table]:
            why = ", ".join(f"{name} ({reason})" for name, reason in found.left_out[table].items())
            console.print(f"  left out: {why}", soft_wrap=True)
    for path in found.ignored:
        console.print(f"{path} is no table of these", soft_wrap=True)
    for answer in found.answers:
        console.print(f"decided: {answer}", soft_wrap=True)
    console.print(f"wrote {found.path}; next: homefeed run --data {folder} --root root", soft_wrap=True)
