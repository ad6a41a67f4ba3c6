"""The audit trail on the console."""

from __future__ import annotations

import asyncio
import heapq

from homefeed.serving.audit.pages import KINDS, PAGE, page_entry
from homefeed.serving.audit.pages import pages as pages_of
from homefeed.serving.audit.trail import WHATS, Entry, Wanted
from homefeed.serving.console.desk import Asked, Desk, Facts

MAX_LISTED = 100


async def audit(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page: entries that are about a page, a user or a kind of change, newest first.

    The next page begins with those of the same millisecond as the last entry of this one, of which `shown` were.
    """
    chosen = {name: asked.get(name, "")[:128] for name in ("user", "page", "what", "before")}
    before, shown = (int(asked.get(name) or 0) for name in ("before", "shown"))
    until = before + bool(shown) if before else None
    read = await _entries(desk, chosen, until, MAX_LISTED + shown)
    found = read[shown:][:MAX_LISTED]
    older = {}
    if len(found) == MAX_LISTED:
        last = found[-1].at
        older = {"before": last, "shown": sum(one.at == last for one in read[: shown + MAX_LISTED])}
    return {"entries": found, "kinds": KINDS, "chosen": chosen, "older": older}


async def _entries(desk: Desk, chosen: Asked, before: int | None, limit: int) -> list[Entry]:
    user, page, what = chosen["user"], chosen["page"], chosen["what"]
    names = list(dict.fromkeys([desk.home.known.published.name(user), user])) if user else []
    until = before / 1000 if before else None
    found: list[list[Entry]] = []
    if what != PAGE:
        kinds = [what] if what in WHATS else []
        wanted = Wanted(0.0, until, names, page, kinds, limit=limit)
        found.append(await asyncio.to_thread(desk.home.trail.entries, wanted))
    if what == PAGE or (not what and (user or page)):
        found.append(await _pages(desk, names, page, before, limit))
    return list(heapq.merge(*found, key=lambda entry: entry.at, reverse=True))


async def _pages(desk: Desk, names: list[str], page: str, before: int | None, limit: int) -> list[Entry]:
    """Pages of whatever store; the newest of all readers only where it is a file."""
    if page:
        one = await desk.home.live.exposure(page)
        return [page_entry(one)] if one and (before is None or one.at < before) else []
    if names:
        read = [one for name in names for one in await desk.home.live.pages(name, limit, before)]
        return sorted(map(page_entry, read), key=lambda one: -one.at)
    until = before / 1000 if before else None
    return await asyncio.to_thread(pages_of, desk.serving_dir, Wanted(until=until, limit=limit))
