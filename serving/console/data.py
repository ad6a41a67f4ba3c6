"""Data: spans that were sealed, what the gate said of each, and the pages that runs have written."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import re
import sqlite3
from typing import Any

import orjson

from homefeed.schemas.spans import LEDGER
from homefeed.serving.console.desk import Asked, Desk, Facts, NotThere
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.profiles.sealing import TO_A_LOG
from homefeed.serving.profiles.store import LIVE_FILE_NAME, open_to_read

MAX_LISTED = 60
_LINK = re.compile(r'href="([\w.-]+\.html)"')


async def data(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page."""
    return await asyncio.to_thread(_facts, desk.root, desk.serving_dir)


def _facts(root: pathlib.Path, serving_dir: pathlib.Path) -> Facts:
    ledger = _ledger(root / LEDGER)
    # Where gateways have a log, spans are written from its copy, and earlier ones from the store.
    sealed = [*_sealed(serving_dir / LIVE_FILE_NAME), *_sealed(serving_dir / LOG_FILE_NAME)]
    sealed.sort(key=lambda one: -one["at"])
    return {
        "sealed": sealed[:MAX_LISTED],
        "verdicts": list(reversed(ledger["spans"].items()))[:MAX_LISTED],
        "runs": list(reversed(ledger["runs"]))[:MAX_LISTED],
        "reports": {name: path.stem for name, path in reports(root).items()},
    }


def _ledger(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {"spans": {}, "runs": []}
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


def _sealed(path: pathlib.Path) -> list[dict[str, Any]]:
    """The newest spans that a live store, or a copy of a log, was sealed into."""
    if not path.is_file():
        return []
    query = (
        "SELECT span, at, events_to - events_after, pages_to - pages_after, is_done FROM sealed "
        f"WHERE span NOT LIKE '{TO_A_LOG}%' ORDER BY at DESC LIMIT ?"
    )
    names = ("span", "at", "events", "pages", "is_done")
    with contextlib.closing(open_to_read(path)) as database, contextlib.suppress(sqlite3.OperationalError):
        return [dict(zip(names, row, strict=True)) for row in database.execute(query, (MAX_LISTED,))]
    return []  # Of an earlier homefeed.


def reports(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Name → page that runs have written: of the data set, of drift, of the evaluation, and the index over them."""
    return {path.name: path for path in sorted((root / "reports").glob("*.html"))}


async def report(desk: Desk, name: str) -> str:
    """A page that runs have written.

    Raises:
        NotThere: there is none of this name.
    """
    found = (await asyncio.to_thread(reports, desk.root)).get(name)
    if found is None:
        raise NotThere(name)
    text = await asyncio.to_thread(found.read_text, encoding="utf-8")
    return _LINK.sub(r'href="/console/report?name=\1"', text)
