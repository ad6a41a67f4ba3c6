"""`homefeed schema …`: curated schemas, under review."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homefeed.pipeline.cli.terminal import Data, Json, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.audit import Trail, operator

if TYPE_CHECKING:
    from homefeed.components.schema_gen.review import Proposal

schema_app = typer.Typer(no_args_is_help=True, help="Keep a curated schema beside the data, under review.")


@schema_app.command("infer")
def schema_infer(data: Data, as_json: Json = False) -> None:
    """Write what the data looks like now as the curated schema, `schema/<table>.pbtxt`."""
    from homefeed.components.schema_gen import review  # TFDV comes with it, which `--help` need not wait for.

    written = [str(path) for path in review.infer(data)]
    print_json(written) if as_json else console.print("\n".join(written))


@schema_app.command("diff")
def schema_diff(data: Data, as_json: Json = False) -> None:
    """List what the data would change in the curated schema; exit 1 if there is anything."""
    from homefeed.components.schema_gen import review

    proposals = review.diff(data)
    _show(proposals, as_json)
    if proposals:
        raise typer.Exit(1)


@schema_app.command("accept")
def schema_accept(
    data: Data,
    features: Annotated[list[str] | None, typer.Argument(help="table.column …; all if none is named.")] = None,
    root: Annotated[pathlib.Path | None, typer.Option(help="Root in whose audit trail it is written.")] = None,
    as_json: Json = False,
) -> None:
    """Write proposals into the curated schema."""
    from homefeed.components.schema_gen import review

    noting: contextlib.AbstractContextManager[dict[str, Any]] = contextlib.nullcontext({})
    if root:
        noting = Trail.beside(RunRoot(root).serving).change("review", operator(), subject="schema")
    with noting as told:
        accepted = review.accept(data, features or None)
        told["accepted"] = [f"{one.feature}: {one.change}" for one in accepted]
    _show(accepted, as_json)


def _show(proposals: list[Proposal], as_json: bool) -> None:
    if as_json:
        print_json([dataclasses.asdict(proposal) for proposal in proposals])
    for proposal in () if as_json else proposals:
        console.print(f"{proposal.feature}: {proposal.change}")
        console.print("\n".join(proposal.lines))
