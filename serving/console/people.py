"""People: what is known of somebody, as a file; a page that is the same for everybody; and forgetting."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import uuid
from typing import Any

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit import aside
from homefeed.serving.console.access import Operator
from homefeed.serving.console.desk import Asked, Desk, Done, Facts
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.gateway.site import SETTINGS

MAX_PAGES = 1_000  # Of somebody's file.


class NobodyError(HomefeedError, ValueError):
    """No person was named as they have to be."""


def _user(asked: Asked) -> str:
    """A user's id.

    Raises:
        NobodyError: it cannot be one.
    """
    try:
        return Ask(user_id=asked.get("user", "")).user_id or ""
    except ValueError as error:
        raise NobodyError("expected a user id of 1 to 128 characters that can be printed") from error


async def people(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page."""
    found: Facts = {"user": asked.get("user", ""), "known": None, "data": desk.home.config.data, "fault": ""}
    found |= {"job": desk.jobs.find(f"forget {asked.get('job', '')}")}
    if not found["user"]:
        return found
    try:
        user = _user(asked)
    except NobodyError as error:
        return found | {"fault": str(error)}
    return found | {"known": await _known(desk, user)}


async def _known(desk: Desk, user: str) -> dict[str, Any]:
    published, profile = desk.home.known.published, await desk.home.profile(user)
    return {
        "name": published.name(user),
        "history": len(published.known(user).profile.history),
        "events": len(await desk.home.events(user)),
        "pages": len(await desk.home.live.pages(published.name(user), MAX_PAGES)),
        "tags": sorted(profile.tags.items(), key=lambda tag: -tag[1]),
        "personalised": profile.is_personalised,
    }


async def export(desk: Desk, operator: Operator, asked: Asked) -> bytes:
    """All that pages know of somebody, as JSON: of the data, events and pages since.

    Raises:
        NobodyError: nobody is named.
    """
    user, published = _user(asked), desk.home.known.published
    name = published.name(user)
    pages = await desk.home.live.pages(name, MAX_PAGES)
    profile = published.known(user).profile
    await asyncio.to_thread(desk.home.trail.add, "export", operator.name, user_id=name)
    found = {
        "user_id": user,
        "features": dict(profile.features),
        "history": [dataclasses.asdict(event) for event in profile.history],
        "events": [dataclasses.asdict(event) for event in await desk.home.events(user)],
        "pages": [{"at": page.at, **orjson.loads(page.page)} for page in pages],
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str)


async def choose(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Gives somebody a page that is the same for everybody, or their own again."""
    user, personalised = _user(said), SETTINGS[said["act"]]
    event = {
        "event_id": uuid.uuid4().hex,
        "user_id": user,
        "type": "settings",
        "settings": {"personalised": personalised},
    }
    name, trail = desk.home.known.published.name(user), desk.home.trail
    async with aside(trail.change("settings", operator.name, user_id=name, personalised=personalised)):
        (answer,) = await desk.home.take([event])
        if answer.status == "rejected":
            raise NobodyError(f"{answer.field}: {answer.reason}")
    return Done(f"{said['act']}_done", user, "people", {"user": user})


async def forget(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Forgets somebody: at once where pages look, and by `homefeed forget` in tables, artifacts and stores.

    Raises:
        NobodyError: they were not named twice.
        JobsError, WishError: too much waits; nothing is done.
    """
    user = _user(said)
    if said.get("again", "") != user:
        raise NobodyError("the two ids are not the same: nobody was forgotten")
    desk.jobs.require_room()
    await asyncio.to_thread(desk.wishes.add, user)
    try:
        await desk.home.forget(user, operator.name)
    except HomefeedError:
        await asyncio.to_thread(desk.wishes.end, [user])
        raise
    return Done("forgetting", "", "people", {"job": _go_on(desk, user)})


def keep_promises(desk: Desk) -> None:
    """Goes on where a gateway stopped before everybody was forgotten whom it had promised it to.

    Raises:
        StoreError: it cannot be read who they are.
    """
    for user in desk.wishes.all():
        _go_on(desk, user)


def _go_on(desk: Desk, user: str) -> str:
    """Starts `homefeed forget`; gives the name of the job, as an address must not name who was forgotten."""
    config = desk.home.config
    data = ["--data", str(config.data)] if config.data else []
    store = ["--store", config.store] if config.store else []
    trail = ["--audit-dir", str(config.audit_dir)] if config.audit_dir else []
    job = hashlib.sha256(user.encode()).hexdigest()[:12]
    desk.jobs.start(f"forget {job}", "forget", "--root", str(desk.root), *data, *store, *trail, about=user)
    return job
