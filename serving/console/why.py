"""Why: a page of somebody as it was, made again without an event, by other models, or under other rules."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homefeed.models.faithfulness.removal import Part, parts_of, without
from homefeed.serving.audit.pages import FACTS
from homefeed.serving.audit.versions import Version, history
from homefeed.serving.console.asking import LABELS
from homefeed.serving.console.desk import Asked, Desk, Facts
from homefeed.serving.console.policies import policy_with, text_of
from homefeed.serving.gateway.making import Draft, make
from homefeed.serving.gateway.making import asked as told_to_models
from homefeed.serving.gateway.models import Unavailable
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.replay import is_of_push
from homefeed.serving.gateway.whys.card import draft_again
from homefeed.serving.gateway.whys.whys import FEWEST_PLACES
from homefeed.serving.policy.errors import NotFound, PolicyError
from homefeed.serving.profiles import Exposure
from homefeed.serving.recommender import FUSED
from homefeed.serving.releases.server_config import STABLE

MAX_PAGES = 20  # Of a reader, that are listed.
MAX_SECONDS = 2.0  # For a model.
Rows = Mapping[str, Sequence[str]]


async def why(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page: a reader's last pages, and one of them beside what it would be."""
    user, page = asked.get("user", ""), asked.get("page", "")
    exposure = await desk.home.live.exposure(page[:64]) if page else None
    name = exposure.user_id if exposure else desk.home.known.published.name(user[:128])
    pages = await desk.home.live.pages(name, MAX_PAGES) if name else []
    found: Facts = {"user": user, "page": page, "pages": [_listed(one) for one in pages], "told": None, "lost": ""}
    found |= {"chosen": {name: asked.get(name, "") for name in ("without", "label", "rules")}}
    if exposure is None:
        return found | {"lost": "no_page" if page or (user and not pages) else ""}
    try:
        return found | await _told(desk, exposure, asked)
    except NotFound as error:
        return found | {"lost": str(error.args[0]).partition(": ")[2] or "no_page"}


def _listed(exposure: Exposure) -> dict[str, Any]:
    page = orjson.loads(exposure.page)
    return {"impression_id": exposure.impression_id, "at": exposure.at, **{name: page.get(name) for name in FACTS}}


async def _told(desk: Desk, exposure: Exposure, asked: Asked) -> Facts:
    known, page = desk.home.known, orjson.loads(exposure.page)
    versions = await asyncio.to_thread(history, desk.home.trail, "rules")
    if not is_of_push(page, known.published):
        raise NotFound("page: push_gone")
    if version := asked.get("rules"):
        policy = await policy_with(desk, "rules", await asyncio.to_thread(text_of, desk, version, versions))
    else:
        policy = await _policy_of(desk, page["rules_version"], versions)
    draft = await draft_again(desk.home.live, exposure, policy, known.tokenize)
    parts = parts_of(draft.reader.request)
    gone = [part for part in parts if part.name == asked.get("without") and part.kind == "event"]
    label = asked.get("label", "")
    answered, fault = None, ""
    if gone or label in LABELS:
        try:
            draft, answered = await _asked_again(desk, draft, gone, label or STABLE)
        except Unavailable as error:
            fault = str(error)
    made = await asyncio.to_thread(make, draft, policy.published.items, known.vectors.of, policy.ruling)
    was = {row["id"]: row["items"] for row in page["rows"]}
    now = {row.id: [card["item_id"] for card in row.cards] for row in made.rows}
    return {
        "told": _listed(exposure),
        "rows": [_beside(desk, name, was.get(name, ()), now.get(name, ())) for name in dict.fromkeys([*was, *now])],
        "is_same": was == now,
        "events": [(part.name, desk.title(part.name)) for part in parts if part.kind == "event"],
        "labels": LABELS if known.models else (),
        "versions": versions,
        "answered": answered,
        "fault": fault,
        "as_recorded": page.get("asked") == told_to_models(draft.reader.request) or bool(gone),
    }


async def _policy_of(desk: Desk, rules_version: str, versions: Sequence[Version]) -> Policy:
    """Rules and surfaces by which a page was made: those in force, or earlier rules that the trail has.

    Raises:
        NotFound: they are neither.
    """
    policy = desk.home.known.policies.policy
    earlier = [one.text for one in versions if one.version in rules_version.split("-")]
    for text in earlier if policy.version != rules_version else ():
        with contextlib.suppress(PolicyError):  # A file that it names is gone, or the catalogue lacks a column.
            policy = await policy_with(desk, "rules", text)
    if policy.version != rules_version:
        raise NotFound("page: rules_gone")
    return policy


async def _asked_again(desk: Desk, draft: Draft, gone: Sequence[Part], label: str) -> tuple[Draft, int | None]:
    """The draft with a list for a request without some parts, from the models of a label; and who answered."""
    models = desk.home.known.models
    if models is None:
        raise Unavailable("there is no model server")
    await models.refresh({label, *desk.home.known.policies.policy.experiments.labels})
    request = without(draft.reader.request, tuple(gone))
    (found,) = await models.of(label).find_all(FUSED, [request], max(FEWEST_PLACES, draft.k * 3), MAX_SECONDS)
    other = dataclasses.replace(draft.found, places=found.places, source=found.source, served_by=FUSED)
    return dataclasses.replace(draft, found=other), found.model_version


def _beside(desk: Desk, row: str, was: Sequence[str], now: Sequence[str]) -> dict[str, Any]:
    """Cards of a row then and now, place by place."""
    longest = max(len(was), len(now))
    places = [
        tuple((items[place], desk.title(items[place])) if place < len(items) else None for items in (was, now))
        for place in range(longest)
    ]
    return {"id": row, "places": places, "gone": set(was) - set(now), "come": set(now) - set(was)}
