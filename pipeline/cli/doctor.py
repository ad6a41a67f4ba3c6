"""`homefeed doctor`: what is wrong here, and what mends it."""

from __future__ import annotations

import pathlib
from typing import Annotated

import rich.text
import typer

from homefeed.pipeline.cli.terminal import Json, console, print_json

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fault": ("✗", "red")}


def doctor(
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder with dataset.yaml, to check too.")] = None,
    root: Annotated[pathlib.Path | None, typer.Option(help="Folder of a run, to check too.")] = None,
    as_json: Json = False,
) -> None:
    """Check this machine, your data and a root, and say what mends each fault. Exit 1 if there is one."""
    from homefeed.pipeline.doctor import DoctorError, examine

    found = examine(data, root)
    if as_json:
        print_json([vars(one) for one in found])
    else:
        for one in found:
            told = rich.text.Text.assemble(MARKS[one.verdict], f" {one.subject:<18} {one.told}")
            console.print(told, soft_wrap=True)
    faults = [f"{one.subject}: {one.told}" for one in found if one.verdict == "fault"]
    if faults:
        raise DoctorError("; ".join(faults))
