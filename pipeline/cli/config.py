"""`homefeed config`: every setting, with what it may be, its default and what it means."""

from __future__ import annotations

import pathlib
from typing import Annotated

import rich.table
import rich.text
import typer

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.terminal import Json, console, print_json
from homefeed.pipeline.config import ConfigError, reference
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.words import near


def config(
    of: Annotated[
        str | None, typer.Argument(metavar="COMPONENT", help="One component's; or `dataset`: those of dataset.yaml.")
    ] = None,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print JSON Schema, by which editors complete and check the file.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference for docs/.")] = False,
    as_json: Json = False,
) -> None:
    """Show every setting: what it may be, its default and what it means."""
    dag = recommender(DatasetDir(pathlib.Path()))
    sections = reference.sections_of(dag)
    if of == reference.DATASET:
        sections = reference.dataset_sections()
    elif of is not None:
        known = [section.name for section in sections]
        if of not in known:
            raise ConfigError(f"no component {of!r}{near(of, [*known, reference.DATASET])}")
        sections = [section for section in sections if section.name == of]
    if json_schema:
        is_dataset = of == reference.DATASET
        print_json(reference.dataset_schema() if is_dataset else reference.config_schema(sections))
    elif markdown:
        print(reference.to_page(dag) if of is None else reference.to_markdown(sections), end="")
    elif as_json:
        print_json(reference.as_rows(sections))
    else:
        for section in sections:
            _print(section)


def _print(section: reference.Section) -> None:
    table = rich.table.Table("setting", "expected", "default", "meaning", title=section.name, title_justify="left")
    for title, settings in reference.groups_of(section).items():
        if title:
            table.add_section()
        for setting in settings:
            cells = (setting.name, setting.expected, setting.shown_default, setting.meaning)
            table.add_row(*map(rich.text.Text, cells))
    console.print(table)
