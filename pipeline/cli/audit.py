"""`homefeed audit`: who changed what, which pages were served, and which reasons were told."""

from __future__ import annotations

import datetime
import heapq
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import rich.table
import typer

from homefeed.pipeline.cli.terminal import AuditDir, Json, Root, console, print_json, require_folder
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import times
from homefeed.schemas.privacy import pseudonym
from homefeed.serving.audit import Entry, Trail, Wanted
from homefeed.serving.audit.pages import KINDS, PAGE, pages
from homefeed.serving.profiles import FILE_NAME, ProfileStore

MAX_SHOWN = 200  # Characters of an entry's details.
SECRET = ("text",)  # What a table has no room for; --json has it.


def audit(
    root: Root,
    since: Annotated[str, typer.Option(help="From this time on, such as 2024-01-31T18:00; empty: all.")] = "",
    until: Annotated[str, typer.Option(help="Before this time; empty: until now.")] = "",
    page: Annotated[str, typer.Option(help="`impression_id`: that page, and what is about it.")] = "",
    user: Annotated[
        str, typer.Option(help="What is about a user, by id or pseudonym, also that they were forgotten.")
    ] = "",
    what: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(KINDS)}; may be repeated. Default: all but pages.")
    ] = None,
    audit_dir: AuditDir = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest entries that are listed.")] = 100,
    as_json: Json = False,
) -> None:
    """List who changed what, which pages were served, and which reasons were told."""
    for name in what or ():
        if name not in KINDS:
            raise typer.BadParameter(f"--what {name!r} is none of {', '.join(KINDS)}")
    require_folder(audit_dir)
    serving_dir = RunRoot(root).pushed()
    users = _names(serving_dir, user) if user else []
    of_trail = [name for name in what or () if name != PAGE]
    wanted = Wanted(_moment(since) or 0.0, _moment(until), users, page, of_trail, limit=limit)
    found: list[list[Entry]] = []
    if of_trail or not what:
        folders = {one.resolve() for one in (serving_dir, audit_dir) if one}
        found.extend(Trail.beside(one).entries(wanted) for one in sorted(folders))
    if PAGE in (what or ()) or (not what and (user or page)):
        found.append(pages(serving_dir, wanted))
    listed = list(heapq.merge(*found, key=lambda entry: entry.at, reverse=True))[:limit]
    print_json([entry._asdict() for entry in listed]) if as_json else _show(listed)


def _moment(said: str) -> float | None:
    moment = times.moment(said) if said else None
    if said and moment is None:
        raise typer.BadParameter(f"{said!r} is no time such as 2024-01-31T18:00")
    return moment


def _names(serving_dir: pathlib.Path, user: str) -> list[str]:
    """A user by their id, and, where it is one already, by their pseudonym."""
    store = ProfileStore(serving_dir / FILE_NAME) if (serving_dir / FILE_NAME).is_file() else None
    return list(dict.fromkeys([pseudonym(user, store.key), user] if store else [user]))


def _show(entries: list[Entry]) -> None:
    table = rich.table.Table("at", "who", "what", "about", "details")
    for entry in entries:
        at = datetime.datetime.fromtimestamp(entry.at / 1000, datetime.UTC).isoformat(" ", "seconds")
        about = " ".join(filter(None, (entry.subject, entry.user_id, entry.impression_id)))
        table.add_row(at.removesuffix("+00:00"), entry.who, entry.what, about, ", ".join(_told(entry.details)))
    console.print(table)


def _told(details: Any) -> Iterator[str]:
    for name, value in details.items():
        if value not in (None, "", [], {}) and name not in SECRET:
            said = value if isinstance(value, str) else orjson.dumps(value).decode()
            yield f"{name}: {said[:MAX_SHOWN]}"
